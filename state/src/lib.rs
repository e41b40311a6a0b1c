//! Files that a later process is to read: what lies in their place may be anything.
//!
//! `source` reads without waiting, and no more than it is asked for; `sealed` puts a checksum into JSON; `record`
//! adds a version, and tells what it cannot read from what is not there.
//!
//! Invariant: reading changes nothing.
#![forbid(unsafe_code)]

mod record;
pub mod sealed;
mod source;

pub use record::{BadRecord, Fault, VERSION, encode, read as read_record};
pub use source::{Unreadable, read};
