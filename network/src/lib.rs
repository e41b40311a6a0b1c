//! The network of a node: one bridge, an address for each container on it, and ports of the host that lead
//! to containers.
//!
//! The kernel is told by netlink, without any program. What it should have is data (`ruleset`, `lease`); what
//! must be done for that is found by comparing (`plan`), and done by `host` and `node`. All rules are there
//! from the beginning: a container adds elements to maps, so it costs the same whether it is the first or the
//! thousandth.
//!
//! What one container says to another goes by the host, though they are on one bridge: the host knows by whom
//! it is said, and whether that may be. One that is held to a policy has no other way.
//!
//! Invariant: this crate changes nothing of a node on which no container has asked for a network of its own,
//! and never a namespace of the calling thread.
#![forbid(unsafe_code)]

pub mod audit;
mod conntrack;
mod egress;
pub mod files;
mod host;
mod known;
mod lease;
mod netlink;
mod nftables;
mod node;
mod plan;
mod pool;
mod port;
mod route;
mod ruleset;
mod settings;
mod subnet;
mod sysctl;
mod watch;

pub use egress::{Allowed, BadPolicy, Policy};
pub use files::Dns;
pub use host::{HostError, flush, remove};
pub use known::Damaged;
pub use lease::{JournalError, Lease, Wants};
pub use node::{AttachError, Namespace, Node, Rates, route_socket};
pub use port::{Port, Protocol};
pub use settings::{BadSettings, Settings};
pub use subnet::{BadSubnet, Subnet};
pub use watch::Watch;

#[cfg(test)]
mod tests;
