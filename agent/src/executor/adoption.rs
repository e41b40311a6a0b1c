//! What becomes of a custom executor that an earlier process of this agent had. Pure.

use std::time::Instant;

use proto::task::is_terminal;
use proto::v1::TaskState;

use super::machine::{Machine, Phase, Policy};
use super::record::goes_on;
use super::tasks::{Assigned, Tasks, Wish};
use crate::clock::Clock;
use crate::recovery::StoredTask;
use crate::task::killing::Killing;

/// It is to subscribe again, in the phase that it was found in.
///
/// `told`: its tasks whose story was told to the end; they show that it has had some.
pub fn resume<'a>(
    policy: Policy,
    killing: Option<&Killing>,
    tasks: impl Iterator<Item = &'a StoredTask>,
    told: usize,
    now: Instant,
    clock: Clock,
) -> Machine {
    let mut all = Tasks::default();
    let mut tasks: Vec<_> = tasks.collect();
    tasks.sort_by_key(|task| task.history.came_as);
    for task in tasks {
        all.add(assigned(task));
    }
    all.served |= told > 0;
    let phase = match killing {
        Some(killing) => goes_on(killing, now, clock),
        // It may be on its way to its first subscription.
        None if !all.served => Phase::Registering {
            deadline: now + policy.registration.max(policy.reregistration),
        },
        None => Phase::Reconnecting {
            deadline: now + policy.reregistration,
        },
    };
    Machine::resume(policy, phase, all)
}

fn assigned(stored: &StoredTask) -> Assigned {
    let history = &stored.history;
    let mut task = Assigned::new(stored.info.clone());
    task.handed_over = history.handed_over || !history.updates.is_empty();
    if let Some(killing) = &history.killing {
        task.kill = Wish::Kill(killing.kill_policy());
    }
    for update in &history.updates {
        task.take(update.state(), update.uuid());
    }
    task
}

/// By when their stories ended.
pub fn oldest_first(told: &mut [StoredTask]) {
    let end = |task: &StoredTask| {
        let last = task.history.updates.last();
        last.and_then(|update| update.timestamp).unwrap_or_default()
    };
    told.sort_by(|one, other| end(one).total_cmp(&end(other)));
}

/// Everything about the task is told.
pub fn is_told(stored: &StoredTask) -> bool {
    let history = &stored.history;
    let last: Option<TaskState> = history.updates.last().map(|update| update.state());
    last.is_some_and(is_terminal) && history.acknowledged == history.updates.len()
}

#[cfg(test)]
mod tests {
    use proto::v1::{TaskInfo, TaskStatus};

    use super::*;
    use crate::checkpoint::Journal;
    use crate::task::journal::{History, TaskJournal};

    #[test]
    fn tasks_that_have_ended_are_in_the_order_of_their_ends() {
        let task = |id: &str, end| {
            let mut info = TaskInfo::default();
            info.task_id.value = id.into();
            let last = TaskStatus {
                timestamp: Some(end),
                ..Default::default()
            };
            let journal = Journal::new("/w/j".as_ref());
            StoredTask {
                info,
                journal: TaskJournal::of(journal),
                history: History {
                    updates: vec![TaskStatus::default(), last],
                    acknowledged: 2,
                    ..History::default()
                },
            }
        };
        let mut told = [task("a", 3.0), task("b", 1.0), task("c", 2.0)];
        oldest_first(&mut told);
        let ids = told.map(|task| task.info.task_id.value);
        assert_eq!(ids, ["b", "c", "a"]);
    }
}
