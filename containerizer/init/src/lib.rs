//! What `init` is told to do: a [`Program`], as data and as bytes.
//!
//! The containerizer compiles a container's OCI spec into a program; the binary of this package, the
//! first process of every container, carries it out step by step. A choice that depends on the host
//! or the spec has been made by the compiler; what only the container's own files can answer (is a
//! masked path a file or a directory, is there one at all) is answered where the step is done.
#![forbid(unsafe_code)]

mod checksum;
mod exit_record;
pub mod hook;
mod interpreter;
pub mod line;
pub mod mount_attributes;
pub mod passwd;
pub mod program;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod region;
pub mod unsaid;
mod wire;

pub use checksum::checksum;
pub use exit_record::{ExitRecord, Sender, exit_record, failure, failure_record};
pub use interpreter::{HEAD, interpreter};
pub use line::{Awaited, Report, Stage, Word};
pub use program::{
    Attributes, Capabilities, Exec, Filter, Gate, Hook, IdMap, Idmap, Instruction, Maps,
    MemoryPolicy, Mount, NEW_LISTENER, Origin, Owners, Preserved, Program, Rlimit, Scheduler,
    Scheduling, Source, Step, Terminal, Then, Unsaid,
};
pub use region::Region;
pub use wire::BadProgram;

/// The byte of a log that whoever takes bytes out of its beginning locks: far from where a command would
/// lock anything, and a lock of the open file's, so that the command's own are others.
pub const LOG_LOCK: i64 = i64::MAX - 1;

/// Descriptors that `init` finds open when it starts; all others are closed by it first.
pub mod fd {
    /// In an `init` that watches over a command with a terminal: the terminal's other end, for who wants
    /// to type or to change its size.
    pub const TERMINAL: i32 = 0;
    /// The encoded program: a regular file or memfd, read from its start.
    pub const PROGRAM: i32 = 3;
    /// One of two connected sockets: see [`line`](crate::line).
    pub const LINE: i32 = 4;
    /// The exit record: see [`exit_record`](crate::exit_record).
    pub const STATUS: i32 = 5;
    /// The first of the files that [`Step::EnterCgroups`](crate::Step::EnterCgroups) writes to.
    pub const FIRST_CGROUP: i32 = 6;
}
