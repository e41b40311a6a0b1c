//! What becomes of a task that an earlier process of this agent had. Pure.

use std::time::{Duration, Instant};

use proto::task::is_terminal;
use proto::v1::{self, TaskState};

use super::StoredTask;
use crate::book;
use crate::clock::Clock;
use crate::task::command_executor::policy;
use crate::task::ending::{self, Report};
use crate::task::journal::History;
use crate::task::machine::{Cause, Phase, Requester};

/// What is to be done about one stored task.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// Its story has been told to the end.
    Done,
    /// It has ended; updates about it are still to be acknowledged.
    Deliver,
    /// It goes on, in this phase.
    Adopt(Phase),
    /// It is no more, and this is what to say about it.
    Lost(Report),
}

/// Pure. `is_alive`: the containerizer knows its container, be it that it has just ended.
pub fn decide(
    framework: &v1::FrameworkInfo,
    task: &v1::TaskInfo,
    history: &History,
    is_alive: bool,
    rebooted: bool,
    now: Instant,
    clock: Clock,
) -> Fate {
    let last = history.updates.last().map(v1::TaskStatus::state);
    if last.is_some_and(is_terminal) {
        let all = history.acknowledged == history.updates.len();
        return if all { Fate::Done } else { Fate::Deliver };
    }
    // Staging is told of, too: how far a fetch has come.
    let before = [
        None,
        Some(TaskState::TaskStaging),
        Some(TaskState::TaskStarting),
    ];
    let was_running = !before.contains(&last);
    if is_alive {
        if let Some(killing) = &history.killing {
            return Fate::Adopt(killing.phase(now, clock));
        }
        let policy = policy(framework, task);
        return Fate::Adopt(match last {
            Some(TaskState::TaskKilling) => Phase::Killing {
                cause: Cause::Asked(Requester::Unknown),
                deadline: Some(now + policy.grace),
            },
            _ if was_running => Phase::Running {
                time_up: policy
                    .max_completion_time
                    .map(|limit| now + limit.saturating_sub(age(history, clock))),
            },
            _ => Phase::Launching,
        });
    }
    let begun = history.killing.as_ref();
    if let Some(killing) = begun.filter(|killing| killing.during_launch && !was_running) {
        return Fate::Lost(ending::killed_during_launch(killing.by()));
    }
    Fate::Lost(match was_running {
        false => ending::never_ran(framework),
        true => ending::vanished(framework, rebooted),
    })
}

/// How long ago the task said that it was running.
pub fn age(history: &History, clock: Clock) -> Duration {
    if let Some(since) = history.running_since {
        return Duration::from_millis(clock.boot_ms().saturating_sub(since));
    }
    // An earlier version of this program has written it.
    let running = history
        .updates
        .iter()
        .find(|s| s.state() == TaskState::TaskRunning);
    let since = running.and_then(|status| status.timestamp).unwrap_or(0.0);
    let now = Duration::from_millis(clock.wall_ms()).as_secs_f64();
    Duration::try_from_secs_f64(now - since).unwrap_or_default()
}

/// The book's entry of a stored task: its newest status and those before it.
pub fn record(task: &StoredTask, framework: &v1::FrameworkInfo) -> v1::Task {
    let id = framework.id.clone().unwrap_or_default();
    let mut record = proto::task::new(&task.info, &id, TaskState::TaskStaging);
    for status in &task.history.updates {
        book::note(&mut record, status);
    }
    let told = &task.history.updates[..task.history.acknowledged];
    if let Some(status) = told.last() {
        record.set_status_update_state(status.state());
        record.status_update_uuid.clone_from(&status.uuid);
    }
    record
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proto::v1::task_status::Reason;

    use super::*;
    use crate::task::killing::{Killing, Why};

    fn history(states: &[TaskState], acknowledged: usize) -> History {
        let update = |state: &TaskState| v1::TaskStatus {
            state: *state as i32,
            timestamp: Some(1000.0),
            ..Default::default()
        };
        History {
            updates: states.iter().map(update).collect(),
            acknowledged,
            killing: None,
            handed_over: false,
            came_as: None,
            running_since: None,
        }
    }

    fn clock() -> Clock {
        Clock {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1010),
            since_boot: Duration::from_secs(500),
        }
    }

    fn fate(history: &History, is_alive: bool, rebooted: bool) -> Fate {
        let (framework, task) = (v1::FrameworkInfo::default(), v1::TaskInfo::default());
        decide(
            &framework,
            &task,
            history,
            is_alive,
            rebooted,
            Instant::now(),
            clock(),
        )
    }

    const RUNNING: &[TaskState] = &[TaskState::TaskStarting, TaskState::TaskRunning];
    const FETCHING: &[TaskState] = &[TaskState::TaskStaging; 2];
    const FINISHED: &[TaskState] = &[TaskState::TaskStarting, TaskState::TaskFinished];

    #[test]
    fn a_story_that_was_told_is_not_told_again() {
        assert_eq!(fate(&history(FINISHED, 2), false, false), Fate::Done);
        assert_eq!(fate(&history(FINISHED, 1), false, true), Fate::Deliver);
    }

    #[test]
    fn a_live_container_goes_on_where_it_was() {
        let running = fate(&history(RUNNING, 2), true, false);
        assert_eq!(running, Fate::Adopt(Phase::Running { time_up: None }));
        let starting = fate(&history(&RUNNING[..1], 0), true, false);
        assert_eq!(starting, Fate::Adopt(Phase::Launching));
        for states in [&[], FETCHING] {
            let launching = fate(&history(states, 0), true, false);
            assert_eq!(launching, Fate::Adopt(Phase::Launching), "{states:?}");
        }
    }

    #[test]
    fn a_kill_that_had_begun_goes_on() {
        let killing = |during_launch| Killing {
            excess: None,
            why: Why::Framework as i32,
            during_launch,
            deadline: 0,
            grace: 30_000,
            boot_deadline: Some(505_000),
        };
        let mut running = history(RUNNING, 2);
        running.killing = Some(killing(false));
        match fate(&running, true, false) {
            Fate::Adopt(Phase::Killing {
                cause,
                deadline: Some(deadline),
            }) => {
                assert_eq!(cause, Cause::Asked(Requester::Framework));
                let left = deadline.saturating_duration_since(Instant::now());
                assert!(left <= Duration::from_secs(5), "{left:?}");
            }
            other => panic!("{other:?}"),
        }
        let mut launching = history(&RUNNING[..1], 1);
        launching.killing = Some(killing(true));
        match fate(&launching, false, false) {
            Fate::Lost(report) => assert_eq!(report.state, TaskState::TaskKilled),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_completion_time_counts_from_when_the_task_began_to_run() {
        let task = v1::TaskInfo {
            max_completion_time: Some(v1::DurationInfo {
                nanoseconds: 30_000_000_000,
            }),
            ..Default::default()
        };
        let now = Instant::now();
        let framework = v1::FrameworkInfo::default();
        let mut history = history(RUNNING, 2);
        let decide =
            |history: &History, clock| decide(&framework, &task, history, true, false, now, clock);
        let time_up = Some(now + Duration::from_secs(20));
        let wanted = Fate::Adopt(Phase::Running { time_up });
        assert_eq!(decide(&history, clock()), wanted);
        history.running_since = Some(490_000);
        let day = Duration::from_secs(86_400);
        for set in [
            clock(),
            clock().set_forward(day),
            clock().set_back(day / 100),
        ] {
            assert_eq!(decide(&history, set), wanted);
        }
    }

    #[test]
    fn a_task_without_a_container_gets_an_end_that_says_why() {
        let end = |states, rebooted| match fate(&history(states, 0), false, rebooted) {
            Fate::Lost(report) => (report.state, report.reason),
            other => panic!("{other:?}"),
        };
        let restarted = (TaskState::TaskLost, Some(Reason::AgentRestarted));
        assert_eq!(end(&[], false), restarted);
        assert_eq!(end(FETCHING, false), restarted);
        assert_eq!(end(&RUNNING[..1], false), restarted);
        let vanished = (
            TaskState::TaskLost,
            Some(Reason::ExecutorReregistrationTimeout),
        );
        assert_eq!(end(RUNNING, false), vanished);
        let rebooted = (TaskState::TaskFailed, Some(Reason::ExecutorTerminated));
        assert_eq!(end(RUNNING, true), rebooted);
    }
}
