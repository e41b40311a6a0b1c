//! What the operator has decided for every task, where a task does not or may not say.

use isolators::{Device, Swap};

use super::namespaces::Sharing;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    pub sharing: Sharing,
    /// Processes and threads of each, at most.
    pub pids: Option<u64>,
    pub swap: Swap,
    /// Devices that all may use.
    pub devices: Vec<Device>,
}
