//! What the master has seen since it started, by the names of its metrics.

use std::collections::BTreeMap;

use proto::v1::TaskState;

/// Counts that exporters expect from the start, at 0.
const KNOWN: &[&str] = &[
    "allocator/mesos/allocation_runs",
    "master/dropped_messages",
    "master/invalid_executor_to_framework_messages",
    "master/invalid_framework_to_executor_messages",
    "master/invalid_status_update_acknowledgements",
    "master/invalid_status_updates",
    "master/messages_decline_offers",
    "master/messages_executor_to_framework",
    "master/messages_exited_executor",
    "master/messages_framework_to_executor",
    "master/messages_kill_task",
    "master/messages_launch_tasks",
    "master/messages_reconcile_tasks",
    "master/messages_register_framework",
    "master/messages_register_slave",
    "master/messages_reregister_slave",
    "master/messages_resource_request",
    "master/messages_revive_offers",
    "master/messages_status_update",
    "master/messages_status_update_acknowledgement",
    "master/messages_suppress_offers",
    "master/messages_unregister_framework",
    "master/messages_unregister_slave",
    "master/recovery_slave_removals",
    "master/slave_registrations",
    "master/slave_removals",
    "master/slave_removals/reason_unregistered",
    "master/slave_reregistrations",
    "master/slave_unreachable_completed",
    "master/tasks_launched",
    "master/valid_executor_to_framework_messages",
    "master/valid_framework_to_executor_messages",
    "master/valid_status_update_acknowledgements",
    "master/valid_status_updates",
];

/// Ends of tasks, which are counted; states before the end are measured when asked.
const ENDS: &[(TaskState, &str)] = &[
    (TaskState::TaskFinished, "master/tasks_finished"),
    (TaskState::TaskFailed, "master/tasks_failed"),
    (TaskState::TaskKilled, "master/tasks_killed"),
    (TaskState::TaskError, "master/tasks_error"),
    (TaskState::TaskLost, "master/tasks_lost"),
    (TaskState::TaskDropped, "master/tasks_dropped"),
    (TaskState::TaskGone, "master/tasks_gone"),
    (
        TaskState::TaskGoneByOperator,
        "master/tasks_gone_by_operator",
    ),
];

#[derive(Debug)]
pub struct Counters(BTreeMap<&'static str, u64>);

impl Default for Counters {
    fn default() -> Self {
        let names = KNOWN.iter().chain(ENDS.iter().map(|(_, name)| name));
        Self(names.map(|name| (*name, 0)).collect())
    }
}

impl Counters {
    pub fn count(&mut self, name: &'static str) {
        *self.0.entry(name).or_insert(0) += 1;
    }

    pub fn count_state(&mut self, state: TaskState) {
        if let Some((_, name)) = ENDS.iter().find(|(end, _)| *end == state) {
            self.count(name);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(name, count)| (*name, *count))
    }
}
