//! What the cluster keeps for good, and its changes: which agents belong to it, and which were lost.

use std::collections::BTreeMap;

use proto::v1;

use super::ids::AgentId;

/// What a master begins with.
#[derive(Debug, Default, PartialEq)]
pub struct Registered {
    pub admitted: BTreeMap<AgentId, v1::AgentInfo>,
    /// With the time since when, in seconds since 1970.
    pub unreachable: BTreeMap<AgentId, f64>,
}

/// A change of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Adds an agent, or replaces what is known of it; it is then reachable.
    Admit { id: AgentId, info: v1::AgentInfo },
    /// `since` is in seconds since 1970.
    Unreachable { id: AgentId, since: f64 },
    /// Forgets the agent.
    Remove { id: AgentId },
}
