//! Agent: tasks, status updates, recovery, sandboxes and HTTP of one node, and its link to the
//! master.
//!
//! ```text
//!  master ◄──link──► supervisor ──► actor (one per task) ──► machine, updates   decide, purely
//!                     │  book        │                 └───► launch ──► fetcher, containerizer
//!  http ──snapshot────┘              └── journal (checkpoint)
//! ```
//!
//! Invariants: this crate touches no cgroup and no namespace itself; every task has exactly one
//! owner (`task::actor`), and the agent as a whole another (`supervisor`); a status update is
//! written down before it is sent, when its framework checkpoints.
#![forbid(unsafe_code)]

mod activation;
mod adoption;
pub mod audit;
mod book;
mod checkpoint;
mod checks;
mod cleanup;
mod clock;
mod complaint;
mod config;
mod container;
mod devices;
mod disks;
mod docker;
mod drain;
mod excess;
mod executor;
mod fetching;
mod flags;
mod garbage;
mod gc;
mod ground;
mod group;
mod host;
mod http;
mod isolation;
#[cfg(test)]
mod lease;
mod link;
mod lock;
mod logs;
mod networks;
mod notify;
mod paths;
mod ports;
mod profiles;
mod provisioning;
mod quota;
mod recovery;
mod removal;
mod rights;
mod runs;
mod sandbox;
mod secrets;
mod service;
#[cfg(test)]
mod small_disk;
mod start;
mod supervisor;
mod task;
pub mod upgrade;

pub use cleanup::{CleanupError, cleanup};
pub use flags::{Flags, Recover};
pub use provisioning::{ImageError, Images, OpenError};
pub use recovery::Reconfiguration;
pub use rights::Rights;
pub use service::Service;
pub use start::{Handle, StartError, start};
pub use supervisor::Dismissal;
