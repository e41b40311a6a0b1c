use containerizer::{Death, ExitStatus};
use proptest::prelude::*;
use proto::v1::task_status::Reason;

use super::*;
use crate::quota::Overrun;

const POLICY: Policy = Policy {
    grace: Duration::from_secs(3),
    reports_killing: false,
    max_completion_time: None,
};

const KILL: Event = Event::Kill {
    grace: None,
    by: Requester::Framework,
};

fn exit(status: i32) -> Event {
    Event::Ended(Box::new(Termination {
        status: Some(ExitStatus::Exited(status)),
        out_of_memory: None,
        death: Death::default(),
        leftovers: vec![],
    }))
}

fn launching(policy: Policy, now: Instant) -> Machine {
    let mut machine = Machine::start(policy);
    machine.step(Event::Fetched(None), now);
    machine
}

fn running(policy: Policy, now: Instant) -> Machine {
    let mut machine = launching(policy, now);
    machine.step(Event::Launched, now);
    machine
}

fn states(effects: &[Effect]) -> Vec<TaskState> {
    effects
        .iter()
        .filter_map(|e| match e {
            Effect::Report(report) => Some(report.state),
            Effect::CancelLaunch | Effect::Terminate | Effect::Kill => None,
        })
        .collect()
}

#[test]
fn a_task_starts_once_its_files_are_there_runs_and_finishes() {
    let now = Instant::now();
    let mut machine = Machine::start(POLICY);
    assert_eq!(
        states(&machine.step(Event::Fetched(None), now)),
        [TaskState::TaskStarting]
    );
    assert_eq!(
        states(&machine.step(Event::Launched, now)),
        [TaskState::TaskRunning]
    );
    assert_eq!(
        states(&machine.step(exit(0), now)),
        [TaskState::TaskFinished]
    );
}

#[test]
fn a_killed_task_is_killed_whatever_its_exit_status() {
    let now = Instant::now();
    let mut machine = running(POLICY, now);
    assert_eq!(machine.step(KILL, now), [Effect::Terminate]);
    assert_eq!(states(&machine.step(exit(0), now)), [TaskState::TaskKilled]);
}

#[test]
fn task_killing_is_said_to_those_who_asked_for_it() {
    let now = Instant::now();
    let mut machine = running(
        Policy {
            reports_killing: true,
            ..POLICY
        },
        now,
    );
    let effects = machine.step(KILL, now);
    assert_eq!(states(&effects), [TaskState::TaskKilling]);
    assert_eq!(effects.last(), Some(&Effect::Terminate));
}

#[test]
fn sigkill_follows_when_the_grace_is_over_and_only_once() {
    let now = Instant::now();
    let mut machine = running(POLICY, now);
    machine.step(KILL, now);
    assert_eq!(machine.wake_at(), Some(now + Duration::from_secs(3)));
    assert_eq!(machine.step(Event::Woke, now + Duration::from_secs(2)), []);
    assert_eq!(
        machine.step(Event::Woke, now + Duration::from_secs(3)),
        [Effect::Kill]
    );
    assert_eq!(machine.step(Event::Woke, now + Duration::from_secs(9)), []);
}

#[test]
fn a_later_kill_shortens_the_grace_and_never_prolongs_it() {
    let now = Instant::now();
    let mut machine = running(POLICY, now);
    let kill = |secs| Event::Kill {
        grace: Some(Duration::from_secs(secs)),
        by: Requester::Framework,
    };
    machine.step(kill(10), now);
    machine.step(kill(60), now);
    assert_eq!(machine.wake_at(), Some(now + Duration::from_secs(10)));
    machine.step(kill(1), now);
    assert_eq!(machine.wake_at(), Some(now + Duration::from_secs(1)));
}

#[test]
fn a_kill_during_launch_calls_it_off_and_is_reported_as_such() {
    let now = Instant::now();
    for outcome in [Event::LaunchCancelled, Event::LaunchFailed("no".into())] {
        for mut machine in [Machine::start(POLICY), launching(POLICY, now)] {
            assert_eq!(machine.step(KILL, now), [Effect::CancelLaunch]);
            let effects = machine.step(outcome.clone(), now);
            let [Effect::Report(report)] = effects.as_slice() else {
                panic!("{effects:?}")
            };
            assert_eq!(report.state, TaskState::TaskKilled);
            assert_eq!(report.reason, Some(Reason::TaskKilledDuringLaunch));
        }
    }
}

#[test]
fn a_launch_that_could_not_be_called_off_is_killed_at_once() {
    let now = Instant::now();
    let mut machine = launching(POLICY, now);
    machine.step(KILL, now);
    assert_eq!(machine.step(Event::Launched, now), [Effect::Kill]);
    assert_eq!(
        states(&machine.step(exit(137), now)),
        [TaskState::TaskKilled]
    );
}

#[test]
fn a_task_past_its_completion_time_is_killed_without_grace_and_fails() {
    let now = Instant::now();
    let limit = Duration::from_secs(5);
    let mut machine = running(
        Policy {
            max_completion_time: Some(limit),
            ..POLICY
        },
        now,
    );
    assert_eq!(machine.step(Event::Woke, now + limit), [Effect::Kill]);
    let effects = machine.step(exit(0), now + limit);
    let [Effect::Report(report)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(report.state, TaskState::TaskFailed);
    assert_eq!(report.reason, Some(Reason::MaxCompletionTimeReached));
}

fn over_disk() -> Event {
    Event::Exceeds(Excess::Disk(Overrun {
        used: 2,
        limit: 1,
        largest: ".".into(),
    }))
}

#[test]
fn a_task_that_fills_its_disk_is_killed_without_grace_and_fails() {
    let now = Instant::now();
    let mut machine = running(POLICY, now);
    assert_eq!(machine.step(over_disk(), now), [Effect::Kill]);
    assert_eq!(machine.step(KILL, now), []);
    let effects = machine.step(exit(0), now);
    let [Effect::Report(report)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(report.state, TaskState::TaskFailed);
    assert_eq!(report.reason, Some(Reason::ContainerLimitationDisk));
}

#[test]
fn who_fills_the_disk_while_it_is_killed_has_had_its_grace() {
    let now = Instant::now();
    let mut machine = running(POLICY, now);
    machine.step(KILL, now);
    assert_eq!(machine.step(over_disk(), now), [Effect::Kill]);
    assert_eq!(states(&machine.step(exit(0), now)), [TaskState::TaskKilled]);
}

#[test]
fn how_far_a_fetch_has_come_is_told_until_all_is_there() {
    let now = Instant::now();
    let come = || Event::Fetching("fetching: 1MB of 3MB, 1MB/s".into());
    let mut machine = Machine::start(POLICY);
    for _ in 0..2 {
        match &*machine.step(come(), now) {
            [Effect::Report(report)] => {
                assert_eq!(report.state, TaskState::TaskStaging);
                assert_eq!(
                    report.message.as_deref(),
                    Some("fetching: 1MB of 3MB, 1MB/s")
                );
            }
            other => panic!("{other:?}"),
        }
    }
    machine.step(Event::Fetched(None), now);
    assert_eq!(machine.step(come(), now), []);
    let mut killed = Machine::start(POLICY);
    killed.step(KILL, now);
    assert_eq!(killed.step(come(), now), []);
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Fetching("1KB".into())),
        Just(Event::Fetched(None)),
        Just(Event::Launched),
        Just(Event::LaunchFailed("no".into())),
        Just(Event::LaunchCancelled),
        (0..20_u64).prop_map(|s| Event::Kill {
            grace: Some(Duration::from_secs(s)),
            by: Requester::Framework,
        }),
        Just(KILL),
        Just(Event::Woke),
        Just(over_disk()),
        (0..3).prop_map(exit),
    ]
}

proptest! {
    /// Whatever happens in whatever order: states never go back, exactly one of them is
    /// terminal and it is the last, and nothing is signalled after SIGKILL or the end.
    #[test]
    fn any_story_has_one_end(
        events in proptest::collection::vec((any_event(), 0..5_u64), 0..30),
        reports_killing: bool,
        limit in proptest::option::of(0..20_u64),
    ) {
        let policy = Policy {
            reports_killing,
            max_completion_time: limit.map(Duration::from_secs),
            ..POLICY
        };
        let mut now = Instant::now();
        let mut machine = Machine::start(policy);
        let mut effects = Vec::new();
        let mut deadline = None;
        for (event, seconds) in events {
            now += Duration::from_secs(seconds);
            effects.extend(machine.step(event, now));
            // Once set, the moment of SIGKILL only moves nearer.
            if let Phase::Killing { deadline: new, .. } = machine.phase {
                prop_assert!(deadline.is_none() || new <= deadline);
                deadline = new;
            }
        }
        let rank = |state: &TaskState| match state {
            TaskState::TaskStaging => 0,
            TaskState::TaskStarting => 1,
            TaskState::TaskRunning => 2,
            TaskState::TaskKilling => 3,
            _ => 4,
        };
        // How far it has come may be told again and again.
        let mut told = states(&effects);
        told.dedup_by(|one, other| one == other && *one == TaskState::TaskStaging);
        let ranks: Vec<_> = told.iter().map(rank).collect();
        prop_assert!(ranks.windows(2).all(|w| w[0] < w[1]), "{ranks:?}");
        prop_assert_eq!(ranks.last() == Some(&4), machine.phase == Phase::Ended);
        let kills = effects.iter().filter(|e| **e == Effect::Kill).count();
        prop_assert!(kills <= 1);
    }
}
