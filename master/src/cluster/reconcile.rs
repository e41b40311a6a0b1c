//! Reconciliation: a framework asks what the master knows of its tasks.

use proto::v1;
use proto::v1::TaskState;
use proto::v1::scheduler::call::reconcile;
use proto::v1::scheduler::call::reconcile_operations;
use proto::v1::task_status::Reason;

use super::clock::time_info;
use super::framework::MAX_TASKS;
use super::ids::FrameworkId;
use super::task::{or_lost, status};
use super::{Cluster, Refusal, Task, events};

impl Cluster {
    /// Without tasks, all that have not ended are reported.
    pub(super) fn reconcile(&mut self, id: &FrameworkId, tasks: &[reconcile::Task]) {
        if tasks.len() > MAX_TASKS {
            return self.refuse(Refusal::Invalid(format!(
                "RECONCILE names {} tasks: name at most {MAX_TASKS}, or none to ask for all",
                tasks.len()
            )));
        }
        for task in tasks {
            self.reconcile_one(id, task);
        }
        if !tasks.is_empty() {
            return;
        }
        let Some(framework) = self.frameworks.get(id) else {
            return;
        };
        let live = framework.tasks.values().filter(|task| !task.is_terminal());
        let known = live.map(|task| self.known(task)).collect::<Vec<_>>();
        for status in known {
            self.tell(id, events::update(status));
        }
    }

    pub(super) fn reconcile_one(&mut self, id: &FrameworkId, asked: &reconcile::Task) {
        let Some(framework) = self.frameworks.get(id) else {
            return;
        };
        let status = match framework.tasks.get(asked.task_id.value.as_str()) {
            Some(task) => Some(self.known(task)),
            None => self.unknown(id, asked),
        };
        if let Some(status) = status {
            self.tell(id, events::update(status));
        }
    }

    fn known(&self, task: &Task) -> v1::TaskStatus {
        let told = task.wire.status_update_state.is_some();
        let state = if told {
            task.wire.status_update_state()
        } else {
            TaskState::TaskStaging
        };
        self.describe(
            task,
            state,
            Reason::Reconciliation,
            "Reconciliation: Latest task state",
        )
    }

    /// A status of the master's own making, with what is known of the container.
    pub(super) fn describe(
        &self,
        task: &Task,
        state: TaskState,
        reason: Reason,
        message: &str,
    ) -> v1::TaskStatus {
        let agent = Some(task.agent.wire());
        let made = status(
            &task.wire.task_id,
            agent,
            state,
            reason,
            message.to_owned(),
            self.now,
        );
        let last = task.wire.statuses.last();
        v1::TaskStatus {
            executor_id: task.wire.executor_id.clone(),
            healthy: last.and_then(|last| last.healthy),
            container_status: last.and_then(|last| last.container_status.clone()),
            ..made
        }
    }

    /// `None` while the agents that might run the task are still expected back.
    fn unknown(&self, id: &FrameworkId, asked: &reconcile::Task) -> Option<v1::TaskStatus> {
        let framework = self.frameworks.get(id)?;
        let task_id = asked.task_id.value.as_str();
        let remembered = framework
            .unreachable
            .get(task_id)
            .map(|task| task.agent.wire());
        let agent = asked.agent_id.clone().or(remembered);
        let name = agent.as_ref().map(|agent| agent.value.as_str());
        let mut since = None;
        let (state, message) = match name {
            None if !self.recovered.is_empty() => return None,
            Some(name) if self.recovered.contains_key(name) => return None,
            Some(name) if self.agents.contains_key(name) => (
                TaskState::TaskGone,
                "Reconciliation: Task is unknown to the agent",
            ),
            Some(name) if self.unreachable.contains_key(name) => {
                since = self.unreachable.get(name).copied();
                (
                    TaskState::TaskUnreachable,
                    "Reconciliation: Task is unreachable",
                )
            }
            Some(_) | None => (TaskState::TaskUnknown, "Reconciliation: Task is unknown"),
        };
        let state = or_lost(self.partition_aware(id), state);
        let (reason, message) = (Reason::Reconciliation, message.to_owned());
        let made = status(&asked.task_id, agent, state, reason, message, self.now);
        Some(v1::TaskStatus {
            unreachable_time: since.map(time_info),
            ..made
        })
    }

    /// No operation outlives its ACCEPT here, so none is known.
    pub(super) fn reconcile_operations(
        &mut self,
        id: &FrameworkId,
        asked: Vec<reconcile_operations::Operation>,
    ) {
        for operation in asked {
            let status = v1::OperationStatus {
                operation_id: Some(operation.operation_id),
                state: v1::OperationState::OperationUnknown.into(),
                agent_id: operation.agent_id,
                resource_provider_id: operation.resource_provider_id,
                message: Some("Reconciliation: Operation is unknown".to_owned()),
                ..v1::OperationStatus::default()
            };
            self.tell(id, events::operation(status));
        }
    }
}
