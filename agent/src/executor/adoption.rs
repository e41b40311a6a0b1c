//! What becomes of a custom executor that an earlier process of this agent had. Pure.

use std::time::{Instant, SystemTime};

use proto::task::is_terminal;
use proto::v1::TaskState;

use super::machine::{Machine, Phase, Policy};
use super::record::goes_on;
use super::tasks::{Assigned, Tasks, Wish};
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
    wall: SystemTime,
) -> Machine {
    let mut all = Tasks::default();
    let mut tasks: Vec<_> = tasks.collect();
    tasks.sort_by_key(|task| task.history.came_as);
    for task in tasks {
        all.add(assigned(task));
    }
    all.served |= told > 0;
    let phase = match killing {
        Some(killing) => goes_on(killing, now, wall),
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

/// Everything about the task is told.
pub fn is_told(stored: &StoredTask) -> bool {
    let history = &stored.history;
    let last: Option<TaskState> = history.updates.last().map(|update| update.state());
    last.is_some_and(is_terminal) && history.acknowledged == history.updates.len()
}
