//! What an engine's container writes, brought into its sandbox: each line once, whatever is interrupted.
//!
//! An engine tells its lines with their times, from any time on. What was written to the sandbox last is noted
//! after it was written; who goes on there asks from a little before on, passes by what was noted, and then as
//! many bytes as the sandbox's log has got since the note.

mod follow;
mod mark;
mod writer;

pub use follow::{Follow, follow};
pub use mark::nanoseconds;
pub use writer::{OutputError, begin};
