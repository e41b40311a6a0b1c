//! What agent and master both know about tasks.

use crate::secret;
use crate::v1::{self, TaskState};

pub use ending::{Ending, ended, exit_code, signal_name, told};

mod ending;

/// The task as endpoints and the registry know it, newly launched in `state`: without the values of its secrets.
#[must_use]
pub fn new(info: &v1::TaskInfo, framework: &v1::FrameworkId, state: TaskState) -> v1::Task {
    let executor = info.executor.as_ref();
    let command = info
        .command
        .as_ref()
        .or_else(|| executor.and_then(|e| e.command.as_ref()));
    let (mut container, mut health_check) = (info.container.clone(), info.health_check.clone());
    container.iter_mut().for_each(secret::hide_in_container);
    let checks = health_check.iter_mut();
    checks
        .filter_map(|check| check.command.as_mut())
        .for_each(secret::hide_in_command);
    v1::Task {
        name: info.name.clone(),
        task_id: info.task_id.clone(),
        framework_id: framework.clone(),
        // A command task has an executor of the agent's making, which clients must not see here.
        executor_id: executor.map(|executor| executor.executor_id.clone()),
        agent_id: info.agent_id.clone(),
        state: state.into(),
        resources: info.resources.clone(),
        labels: info.labels.clone(),
        discovery: info.discovery.clone().map(Box::new),
        container: container.map(Box::new),
        user: command.and_then(|command| command.user.clone()),
        health_check: health_check.map(Box::new),
        kill_policy: info.kill_policy,
        limits: info.limits.clone(),
        ..v1::Task::default()
    }
}

/// Statuses of one task that are kept; the oldest makes room. An executor may go back and forth
/// between two states for ever.
const MAX_STATUSES: usize = 64;

/// Adds the newest status of a task to those that are shown: of consecutive ones of one state only the newest
/// is, and what a framework and its executor say to each other in it never.
pub fn keep(statuses: &mut Vec<v1::TaskStatus>, status: &v1::TaskStatus) {
    let kept = v1::TaskStatus {
        data: None,
        ..status.clone()
    };
    match statuses.last_mut() {
        Some(last) if last.state == status.state => *last = kept,
        Some(_) | None => {
            // Two are all that most tasks ever have; a vector takes room for four.
            statuses.reserve_exact(1);
            statuses.push(kept);
        }
    }
    let surplus = statuses.len().saturating_sub(MAX_STATUSES);
    statuses.drain(..surplus);
}

/// Whether a task in this state has ended: no other state follows.
#[must_use]
pub fn is_terminal(state: TaskState) -> bool {
    match state {
        TaskState::TaskFinished
        | TaskState::TaskFailed
        | TaskState::TaskKilled
        | TaskState::TaskError
        | TaskState::TaskLost
        | TaskState::TaskDropped
        | TaskState::TaskGone
        | TaskState::TaskGoneByOperator => true,
        // An unreachable or unknown task may come back.
        TaskState::TaskStaging
        | TaskState::TaskStarting
        | TaskState::TaskRunning
        | TaskState::TaskKilling
        | TaskState::TaskUnreachable
        | TaskState::TaskUnknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> v1::TaskInfo {
        v1::TaskInfo {
            name: "web".to_owned(),
            task_id: v1::TaskId {
                value: "web.1".to_owned(),
            },
            agent_id: v1::AgentId {
                value: "a-S0".to_owned(),
            },
            ..v1::TaskInfo::default()
        }
    }

    #[test]
    fn a_command_task_has_no_executor_and_runs_as_its_commands_user() {
        let user = Some("nobody".to_owned());
        let command = Some(v1::CommandInfo {
            user: user.clone(),
            ..v1::CommandInfo::default()
        });
        let info = v1::TaskInfo { command, ..info() };
        let framework = v1::FrameworkId {
            value: "f".to_owned(),
        };
        let task = new(&info, &framework, TaskState::TaskStaging);
        assert_eq!((task.executor_id.clone(), task.user.clone()), (None, user));
        assert_eq!(task.state(), TaskState::TaskStaging);
    }

    #[test]
    fn a_task_of_an_executor_names_it() {
        let executor_id = v1::ExecutorId {
            value: "e".to_owned(),
        };
        let executor = Some(v1::ExecutorInfo {
            executor_id: executor_id.clone(),
            ..v1::ExecutorInfo::default()
        });
        let info = v1::TaskInfo { executor, ..info() };
        let task = new(&info, &v1::FrameworkId::default(), TaskState::TaskRunning);
        assert_eq!(task.executor_id, Some(executor_id));
    }

    #[test]
    fn the_statuses_of_a_task_are_its_newest_and_few() {
        let status = |state: TaskState, message: usize| v1::TaskStatus {
            state: state.into(),
            message: Some(message.to_string()),
            data: Some(vec![1]),
            ..v1::TaskStatus::default()
        };
        let mut statuses = Vec::new();
        for number in 0..100 {
            keep(&mut statuses, &status(TaskState::TaskStarting, number));
            keep(&mut statuses, &status(TaskState::TaskRunning, number));
            keep(
                &mut statuses,
                &status(TaskState::TaskRunning, 1000 + number),
            );
        }
        assert_eq!(statuses.len(), MAX_STATUSES);
        let newest = v1::TaskStatus {
            data: None,
            ..status(TaskState::TaskRunning, 1099)
        };
        assert_eq!(statuses.last(), Some(&newest));
    }

    #[test]
    fn unreachable_tasks_may_come_back() {
        assert!(!is_terminal(TaskState::TaskUnreachable));
        assert!(is_terminal(TaskState::TaskLost));
    }
}
