//! A task as the master accounts for it.

use proto::resources::Resources;
use proto::v1;
use proto::v1::task_status::{Reason, Source};
use proto::v1::{TaskState, TaskStatus};

use super::clock::Now;
use super::ids::{AgentId, TaskId};

#[derive(Debug, Clone)]
pub struct Task {
    pub id: TaskId,
    pub agent: AgentId,
    /// The role whose share the resources count against.
    pub role: String,
    /// Empty as soon as the task has ended.
    pub resources: Resources,
    /// What clients see of the task.
    pub wire: v1::Task,
    /// The newest update that found no scheduler; it goes out when one subscribes.
    pub held: Option<TaskStatus>,
    /// A kill the agent may not have seen: sent again when it registers again.
    pub kill: Kill,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kill {
    NotAsked,
    Asked(Option<v1::KillPolicy>),
}

impl Task {
    pub fn is_terminal(&self) -> bool {
        proto::task::is_terminal(self.wire.state())
    }

    /// Ended, the framework was told so, and it has said that it knows.
    pub fn is_over(&self, acknowledged: &[u8]) -> bool {
        self.is_terminal()
            && proto::task::is_terminal(self.wire.status_update_state())
            && self.wire.status_update_uuid.as_deref() == Some(acknowledged)
    }

    /// Takes in one update; `latest` may be ahead of it. Only the newest of several statuses with
    /// one state in a row is kept.
    pub fn record(&mut self, status: &TaskStatus, latest: TaskState) {
        if !self.is_terminal() {
            self.wire.set_state(latest);
        }
        self.wire.set_status_update_state(status.state());
        self.wire.status_update_uuid = status.uuid.clone();
        proto::task::keep(&mut self.wire.statuses, status);
    }
}

/// `state` in a word that the framework knows: those that tell the fates of a task without an agent
/// apart are all "lost" to older ones. An end that was asked for stays what it is.
pub fn or_lost(partition_aware: bool, state: TaskState) -> TaskState {
    let is_finer = matches!(
        state,
        TaskState::TaskDropped
            | TaskState::TaskUnreachable
            | TaskState::TaskGone
            | TaskState::TaskGoneByOperator
            | TaskState::TaskUnknown
    );
    if is_finer && !partition_aware {
        TaskState::TaskLost
    } else {
        state
    }
}

/// A status the master makes up: it carries no uuid, so nobody acknowledges it.
pub fn status(
    task: &v1::TaskId,
    agent: Option<v1::AgentId>,
    state: TaskState,
    reason: Reason,
    message: String,
    now: Now,
) -> TaskStatus {
    TaskStatus {
        task_id: task.clone(),
        state: state.into(),
        agent_id: agent,
        source: Some(Source::Master.into()),
        reason: Some(reason.into()),
        message: Some(message),
        timestamp: Some(now.wall),
        ..TaskStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_frameworks_hear_lost_for_a_lost_agent_and_killed_for_a_kill() {
        assert_eq!(or_lost(false, TaskState::TaskGone), TaskState::TaskLost);
        assert_eq!(or_lost(true, TaskState::TaskGone), TaskState::TaskGone);
        assert_eq!(or_lost(false, TaskState::TaskKilled), TaskState::TaskKilled);
    }
}
