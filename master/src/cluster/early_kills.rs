//! Kills of tasks whose agents are not back after a restart of the master.
//!
//! The master knows that such an agent was there and not what it runs: it keeps the kill until the
//! agent tells. Otherwise a scheduler would have to find out by itself that nothing came of it.

use std::collections::BTreeMap;

use proto::v1;

use super::ids::{AgentId, FrameworkId, TaskId};

/// More than tasks on an agent; who asks for more has to ask again.
const MOST_PER_AGENT: usize = 10_000;

type Policies = BTreeMap<(FrameworkId, TaskId), Option<v1::KillPolicy>>;

#[derive(Debug, Default)]
pub(super) struct EarlyKills(BTreeMap<AgentId, Policies>);

impl EarlyKills {
    /// The newest policy counts.
    pub fn keep(
        &mut self,
        agent: AgentId,
        owner: FrameworkId,
        task: TaskId,
        policy: Option<v1::KillPolicy>,
    ) {
        let kills = self.0.entry(agent).or_default();
        if kills.len() < MOST_PER_AGENT || kills.contains_key(&(owner.clone(), task.clone())) {
            kills.insert((owner, task), policy);
        }
    }

    /// All for an agent that has come back.
    pub fn take(&mut self, agent: &AgentId) -> Policies {
        self.0.remove(agent).unwrap_or_default()
    }

    /// Nobody else is expected back.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
