//! What an earlier process of this agent has found out of a task, as its updates tell it. Pure.

use std::time::Instant;

use proto::v1::CheckStatusInfo;
use proto::v1::task_status::Reason;

use crate::clock::Clock;
use crate::recovery::age;
use crate::task::journal::History;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Past {
    /// When the task began to run; `None` for one that does so now.
    pub since: Option<Instant>,
    pub healthy: Option<bool>,
    /// In a row, until the last that was told.
    pub failures: u32,
    pub status: Option<CheckStatusInfo>,
}

impl Past {
    /// Of a task that runs. Of its updates that were acknowledged the older ones may be gone.
    pub fn of(history: &History, now: Instant, clock: Clock) -> Past {
        let health = Some(Reason::TaskHealthCheckStatusUpdated as i32);
        let last = history.updates.last();
        let unhealthy = (history.updates.iter().rev()).take_while(|it| it.healthy == Some(false));
        let told = unhealthy.filter(|it| it.reason == health).count();
        let healthy = last.and_then(|status| status.healthy);
        Past {
            since: now.checked_sub(age(history, clock)),
            healthy,
            failures: match healthy {
                Some(false) => u32::try_from(told).unwrap_or(u32::MAX).max(1),
                Some(true) | None => 0,
            },
            status: last.and_then(|status| status.check_status),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::v1::TaskStatus;

    use super::*;

    #[test]
    fn failures_in_a_row_go_on_being_counted_and_what_was_told_between_is_no_failure() {
        use Reason::{TaskCheckStatusUpdated, TaskHealthCheckStatusUpdated};
        let status = |healthy, reason: Option<Reason>| TaskStatus {
            healthy,
            reason: reason.map(|reason| reason as i32),
            ..Default::default()
        };
        let health = |healthy| status(Some(healthy), Some(TaskHealthCheckStatusUpdated));
        let other = |healthy| status(Some(healthy), Some(TaskCheckStatusUpdated));
        let (bad, good) = (|| health(false), || health(true));
        let table = [
            (vec![], None, 0),
            (vec![status(None, None)], None, 0),
            (vec![bad(), good()], Some(true), 0),
            (
                vec![bad(), good(), bad(), other(false), bad()],
                Some(false),
                2,
            ),
            // The others are told and forgotten.
            (vec![other(false)], Some(false), 1),
        ];
        for (updates, healthy, failures) in table {
            let history = History {
                updates,
                running_since: Some(Clock::read().boot_ms()),
                ..Default::default()
            };
            let (now, clock) = (
                Instant::now(),
                Clock::read().later(Duration::from_millis(1)),
            );
            let past = Past::of(&history, now, clock);
            assert_eq!((past.healthy, past.failures), (healthy, failures));
            assert!(past.since.is_some_and(|since| since < now));
        }
    }
}
