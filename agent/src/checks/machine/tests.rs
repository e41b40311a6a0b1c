use proptest::prelude::*;
use proto::v1::check_status_info;

use super::super::asked::{Ip, Probe};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn check(kind: Kind, probe: Probe) -> Check {
    Check {
        kind,
        probe,
        delay: 2 * SECOND,
        interval: 5 * SECOND,
        timeout: None,
    }
}

fn health(grace: Duration, failures: u32) -> Check {
    let (port, ip) = (80, Ip::V4);
    check(Kind::Health { grace, failures }, Probe::Tcp { port, ip })
}

/// Looks when it is due, and finds this; says what is told.
fn look(machine: &mut Machine, outcome: Outcome) -> Option<Finding> {
    let now = machine.due().unwrap();
    assert_eq!(machine.step(Event::Due, now), Some(Effect::Probe));
    assert_eq!(machine.due(), None);
    match machine.step(Event::Done(outcome), now)? {
        Effect::Tell(finding) => Some(finding),
        Effect::Probe => panic!("looks twice"),
    }
}

fn bad() -> Outcome {
    Outcome::Failed("refused".into())
}

fn unhealthy(said: &str, is_last: bool) -> Option<Finding> {
    Some(Finding::Unhealthy {
        failures: said.split(' ').next().unwrap().parse().unwrap(),
        said: format!("Health check failed ({said}): refused"),
        is_last,
    })
}

#[test]
fn it_is_looked_after_the_delay_and_an_interval_after_each_end() {
    let now = Instant::now();
    let mut machine = Machine::begin(&health(Duration::ZERO, 3), &Past::default(), now);
    assert_eq!(machine.due(), Some(now + 2 * SECOND));
    assert_eq!(machine.step(Event::Due, now), None);
    assert_eq!(
        machine.step(Event::Due, now + 3 * SECOND),
        Some(Effect::Probe)
    );
    assert_eq!(machine.step(Event::Due, now + 3 * SECOND), None);
    let done = now + 9 * SECOND;
    machine.step(Event::Done(bad()), done);
    assert_eq!(machine.due(), Some(done + 5 * SECOND));
    // Nobody asked.
    assert_eq!(machine.step(Event::Done(bad()), done), None);
}

#[test]
fn after_a_restart_looks_go_on_as_they_would_have() {
    let since = Instant::now();
    let due = |seconds: u32| {
        let past = Past {
            since: Some(since),
            ..Past::default()
        };
        let now = since + seconds * SECOND;
        let due = Machine::begin(&health(Duration::ZERO, 3), &past, now).due();
        (due.unwrap() - since).as_secs()
    };
    let table = [(0, 2), (2, 2), (3, 7), (7, 7), (8, 12), (10_000, 10_002)];
    for (seconds, wanted) in table {
        assert_eq!(due(seconds), wanted, "{seconds}");
    }
}

#[test]
fn a_task_is_unhealthy_at_each_failure_and_ended_at_the_last() {
    let now = Instant::now();
    let mut machine = Machine::begin(&health(Duration::ZERO, 3), &Past::default(), now);
    assert_eq!(
        look(&mut machine, bad()),
        unhealthy("1 in a row of 3", false)
    );
    assert_eq!(
        look(&mut machine, Outcome::Connected),
        Some(Finding::Healthy)
    );
    assert_eq!(look(&mut machine, Outcome::Connected), None);
    assert_eq!(
        look(&mut machine, bad()),
        unhealthy("1 in a row of 3", false)
    );
    assert_eq!(
        look(&mut machine, bad()),
        unhealthy("2 in a row of 3", false)
    );
    assert_eq!(
        look(&mut machine, bad()),
        unhealthy("3 in a row of 3", true)
    );
    assert_eq!(machine.due(), None);
    assert_eq!(machine.step(Event::Due, now + 100 * SECOND), None);
}

#[test]
fn failures_do_not_count_in_the_grace_period_until_the_first_success() {
    let begin = || Machine::begin(&health(10 * SECOND, 2), &Past::default(), Instant::now());
    let mut late = begin();
    // After 2 and 7 seconds.
    assert_eq!(look(&mut late, bad()), None);
    assert_eq!(look(&mut late, bad()), None);
    assert_eq!(look(&mut late, bad()), unhealthy("1 in a row of 2", false));
    let mut early = begin();
    assert_eq!(look(&mut early, Outcome::Connected), Some(Finding::Healthy));
    assert_eq!(look(&mut early, bad()), unhealthy("1 in a row of 2", false));
}

#[test]
fn after_a_restart_failures_go_on_being_counted_and_nothing_is_told_twice() {
    let begin = |healthy, failures| {
        let past = Past {
            since: Some(Instant::now()),
            healthy: Some(healthy),
            failures,
            status: None,
        };
        Machine::begin(&health(1000 * SECOND, 3), &past, Instant::now())
    };
    assert_eq!(
        look(&mut begin(false, 2), bad()),
        unhealthy("3 in a row of 3", true)
    );
    assert_eq!(
        look(&mut begin(false, 2), Outcome::Connected),
        Some(Finding::Healthy)
    );
    assert_eq!(look(&mut begin(true, 0), Outcome::Connected), None);
    assert_eq!(
        look(&mut begin(true, 0), bad()),
        unhealthy("1 in a row of 3", false)
    );
}

#[test]
fn only_what_is_as_it_should_be_is_a_sign_of_health() {
    let exited = |status, said: &str| Outcome::Exited {
        status,
        said: said.to_owned(),
    };
    let table = [
        (exited(0, "fine"), None),
        (exited(1, ""), Some("command exited with status 1")),
        (
            exited(7, "no host"),
            Some("command exited with status 7: no host"),
        ),
        (Outcome::Answered(199), Some("HTTP status 199")),
        (Outcome::Answered(200), None),
        (Outcome::Answered(399), None),
        (Outcome::Answered(400), Some("HTTP status 400")),
        (Outcome::Connected, None),
        (bad(), Some("refused")),
        (Outcome::TimedOut(SECOND), Some("timed out after 1secs")),
    ];
    for (outcome, why) in table {
        assert_eq!(outcome.failure().as_deref(), why);
    }
}

#[test]
fn what_a_check_finds_is_told_when_it_changes() {
    let (port, ip) = (80, Ip::V4);
    let probe = Probe::Http {
        scheme: "http".into(),
        port,
        path: "/".into(),
        ip,
    };
    let check = check(Kind::General, probe);
    let mut machine = Machine::begin(&check, &Past::default(), Instant::now());
    let told = |code: Option<u32>| {
        let mut status = check.probe.unknown();
        status.http = Some(check_status_info::Http { status_code: code });
        Some(Finding::Status(status))
    };
    // Nothing is what is told from the beginning.
    assert_eq!(look(&mut machine, bad()), None);
    assert_eq!(look(&mut machine, Outcome::Answered(500)), told(Some(500)));
    assert_eq!(look(&mut machine, Outcome::Answered(500)), None);
    assert_eq!(look(&mut machine, Outcome::TimedOut(SECOND)), told(None));
    assert_eq!(look(&mut machine, Outcome::Answered(204)), told(Some(204)));
    let past = Past {
        status: Some(machine_told(&machine)),
        ..Past::default()
    };
    let mut next = Machine::begin(&check, &past, Instant::now());
    assert_eq!(look(&mut next, Outcome::Answered(204)), None);
}

fn machine_told(machine: &Machine) -> CheckStatusInfo {
    match &machine.judge {
        Judge::General { told, .. } => *told,
        Judge::Health { .. } => panic!("a health check"),
    }
}

#[test]
fn a_port_that_refuses_is_known_and_one_that_does_not_answer_is_not() {
    let (port, ip) = (80, Ip::V6);
    let check = check(Kind::General, Probe::Tcp { port, ip });
    let shown = |outcome: Outcome| {
        outcome
            .shown_in(check.probe.unknown())
            .tcp
            .unwrap()
            .succeeded
    };
    assert_eq!(shown(Outcome::Connected), Some(true));
    assert_eq!(shown(bad()), Some(false));
    assert_eq!(shown(Outcome::TimedOut(SECOND)), None);
}

/// The same as sentences of the protocol read, over all that was found since the task began.
fn naive(found: &[(u64, bool)], grace: u64, limit: u32) -> Vec<(bool, bool)> {
    let mut told = Vec::new();
    for (at, (seconds, good)) in found.iter().enumerate() {
        let before = &found[..at];
        let never_good = before.iter().all(|(_, good)| !good);
        let since_good = before.iter().rev().take_while(|(_, good)| !good);
        let counted = since_good.filter(|(when, _)| !never_good || *when > grace);
        let counted = u32::try_from(counted.count()).unwrap();
        match good {
            true if never_good || counted > 0 => told.push((true, false)),
            true => {}
            false if never_good && *seconds <= grace && grace > 0 => {}
            false => {
                let is_last = counted + 1 >= limit;
                told.push((false, is_last));
                if is_last {
                    return told;
                }
            }
        }
    }
    told
}

proptest! {
    #[test]
    fn health_is_told_as_the_protocol_reads(
        grace in 0_u64..30,
        limit in 0_u32..5,
        looks in prop::collection::vec((any::<bool>(), 0_u64..4), 0..40),
    ) {
        let begun = Instant::now();
        let check = health(Duration::from_secs(grace), limit);
        let mut machine = Machine::begin(&check, &Past::default(), begun);
        let (mut found, mut told) = (Vec::new(), Vec::new());
        for (good, takes) in looks {
            let Some(due) = machine.due() else {
                break;
            };
            prop_assert_eq!(machine.step(Event::Due, due), Some(Effect::Probe));
            let now = due + Duration::from_secs(takes);
            found.push(((now - begun).as_secs(), good));
            let outcome = if good { Outcome::Connected } else { bad() };
            match machine.step(Event::Done(outcome), now) {
                None => {}
                Some(Effect::Tell(Finding::Healthy)) => told.push((true, false)),
                Some(Effect::Tell(Finding::Unhealthy { is_last, .. })) => told.push((false, is_last)),
                other => prop_assert!(false, "{other:?}"),
            }
            prop_assert_eq!(machine.due().is_none(), told.last().is_some_and(|(_, last)| *last));
        }
        prop_assert_eq!(told, naive(&found, grace, limit));
    }
}
