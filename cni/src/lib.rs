//! Named networks: what an operator configures, and plugins connect containers with. CNI, 0.1.0 to 1.1.0.
//!
//! ```text
//!  files ──► Network ──► Call (pure: plan) ──► run: one plugin ──► Outcome
//!                          ▲       chain: the plugins of a network, one after the other
//!                        Record: what a container has been given, from before it has it
//! ```
//!
//! Files are read anew for each container, and what it was connected with is kept, so that it is disconnected
//! in the same way whatever has become of the files.
//!
//! Invariant: a plugin, which is a program of somebody else, holds nobody up for longer than its time limit,
//! and nothing that it prints is taken for more than a claim.
#![forbid(unsafe_code)]

mod chain;
mod directory;
mod journal;
mod namespace;
mod network;
mod node;
mod outcome;
mod plan;
mod run;
mod version;

pub use chain::Failure;
pub use directory::{BadFile, Fault, Found};
pub use journal::{Attachment, JournalError, Record};
pub use network::{BadNetwork, Network};
pub use node::{AttachError, Damaged, Node, ReleaseError, Settings, Wish};
pub use outcome::{Address, BadOutcome, Dns, Outcome};
pub use plan::{Bandwidth, PortMapping, Runtime, RuntimeDns};
pub use run::RunError;
pub use version::Version;

#[cfg(test)]
mod tests;
