//! Logs without a process: a task holds its `stdout` and `stderr` open itself and appends, whether
//! an agent is there or not; the agent rotates them in place, and no task ever waits for it.
//!
//! ```text
//!  keeper ──pace──► size large? ──► rotate: place ──► plan ──► copy, take out, name
//!  files API ──► stream: by the offsets of all that was ever written
//! ```
//!
//! `stdout.N` … `stdout.1`, `stdout` one after the other are the end of the stream that the task
//! wrote, byte for byte, whatever was interrupted.

mod append;
mod keeper;
mod limits;
mod pace;
mod place;
mod plan;
mod record;
mod rotate;
mod stream;

pub use append::{appending, end};
pub use keeper::{Begun, Counters, Keeper};
pub use limits::{Asked, BadLimit, Limits, notes};
pub use stream::{Bounds, Gone, Piece, Stream, read_at};

#[cfg(test)]
pub use limits::Limit;
#[cfg(test)]
pub use rotate::attend;

#[cfg(test)]
mod tests;
