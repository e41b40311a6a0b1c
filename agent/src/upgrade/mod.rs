//! Upgrade in place: the running agent is replaced by another process, with the program that is on the
//! disk now, and nobody notices but by the version.
//!
//! ```text
//!  the agent                                         its successor, a child with the same arguments
//!  starts it, with a line to it as stdin ──────────► gets socket and locks over the line
//!                                        ◄────────── prepared: flags are read, the host is looked at
//!  begins no task; launches come up
//!  writes down what only it knows
//!  actors end
//!                                   go ────────────► recovers as after any death, registers
//!                                        ◄────────── ready
//!  what the master ordered, and `yours` ───────────► lets clients in, carries that out
//!                                        ◄────────── serving
//!  answers those who had come before, and goes
//! ```
//!
//! Invariants: one process acts for the agent at any time, and until the last word it is the first one
//! that can: `machine` decides. A successor whose line ends before `yours` has nothing and goes. The
//! state that is handed over is the one on the disk, which a death hands over just as well.

mod line;
mod machine;
mod outcome;
mod predecessor;
mod program;
mod request;
mod successor;
mod word;

pub use outcome::{OutcomeError, announce};
pub use predecessor::{Rest, Upgrade, upgrade};
pub use program::{Program, ProgramError};
pub use request::{RequestError, Upgraded, request};
pub use successor::{InheritError, Inheritance};
