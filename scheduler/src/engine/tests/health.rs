//! Health checks, by the scheduler and by agents.

use proto::v1::task_status::Reason;

use super::*;
use crate::health::Outcome;

/// With one check that the scheduler makes.
fn looked_at(check: Value) -> Value {
    let mut body = app(1);
    body["portDefinitions"] = json!([{"port": 0}]);
    body["healthChecks"] = json!([check]);
    body["backoffSeconds"] = json!(7);
    body
}

fn tcp() -> Value {
    json!({"protocol": "TCP", "intervalSeconds": 10, "gracePeriodSeconds": 0,
           "maxConsecutiveFailures": 2})
}

impl Bench {
    /// Launches the one instance of `body`, which runs; its task.
    fn running(&mut self, body: Value) -> String {
        self.create(body);
        let task = self.offer().remove(0);
        self.report(&task, v1::TaskState::TaskRunning);
        task
    }

    /// The check-up that is asked for after so many seconds.
    fn due_in(&mut self, seconds: i64) -> Vec<Checkup> {
        self.now += seconds * 1000;
        self.step(Event::Tick).checkups
    }

    fn found(&mut self, checkup: &Checkup, is_good: bool) -> Effects {
        let outcome = match is_good {
            true => Outcome::Connected,
            false => Outcome::Failed("refused".to_owned()),
        };
        self.step(Event::Checked {
            instance: checkup.instance.clone(),
            check: checkup.check,
            outcome,
        })
    }

    /// As an agent tells of health.
    fn told(
        &mut self,
        task: &str,
        state: v1::TaskState,
        healthy: bool,
        reason: Option<Reason>,
    ) -> Effects {
        let status = v1::TaskStatus {
            healthy: Some(healthy),
            reason: reason.map(Into::into),
            message: Some("Health check failed: refused".into()),
            ..status(task, state)
        };
        self.step(Event::Update(Box::new(status)))
    }

    fn is_deploying(&self) -> bool {
        self.engine.deployments().count() > 0
    }
}

#[test]
fn an_instance_is_looked_at_soon_and_then_each_interval() {
    let mut bench = Bench::new();
    let task = bench.running(looked_at(tcp()));
    assert!(bench.is_deploying(), "nobody knows whether it is healthy");
    assert_eq!(bench.due_in(4), []);
    let checkups = bench.due_in(1);
    let [checkup] = checkups.as_slice() else {
        panic!("{checkups:?}");
    };
    let port = bench.engine.all_instances().next().unwrap().ports[0];
    let host = "a".to_owned();
    assert_eq!(checkup.target, Target::Tcp { host, port });
    assert_eq!(checkup.timeout, Duration::from_secs(20));
    // One at a time, however long it takes.
    assert_eq!(bench.due_in(100), []);
    bench.found(checkup, true);
    assert!(!bench.is_deploying());
    let instance = bench.engine.all_instances().next().unwrap();
    assert_eq!((instance.task_id(), instance.healthy), (task, Some(true)));
    assert!(
        bench
            .engine
            .health(&instance.id.clone())
            .all(|it| it.is_alive())
    );
    assert_eq!(bench.due_in(9), []);
    assert_eq!(bench.due_in(1).len(), 1);
}

#[test]
fn an_instance_that_fails_too_often_is_killed_and_replaced_later() {
    let mut bench = Bench::new();
    let task = bench.running(looked_at(tcp()));
    let checkup = bench.due_in(5).remove(0);
    assert_eq!(killed(&bench.found(&checkup, false)), [""; 0]);
    let again = bench.due_in(10).remove(0);
    assert_eq!(killed(&bench.found(&again, false)), [task.as_str()]);
    // It is on its way out: nobody looks any more.
    assert_eq!(bench.due_in(10), []);
    bench.report(&task, v1::TaskState::TaskKilled);
    let failure = bench.engine.last_failure(&id("/a")).unwrap();
    assert_eq!(failure.state, "TASK_KILLED");
    assert_eq!(
        failure.message,
        "Killed because a health check failed: refused"
    );
    assert!(bench.offer().is_empty(), "it backs off");
    bench.due_in(8);
    assert_eq!(bench.offer().len(), 1);
}

#[test]
fn failures_do_not_count_in_the_grace_period_before_the_first_success_nor_without_a_limit() {
    let mut check = tcp();
    check["gracePeriodSeconds"] = json!(60);
    check["maxConsecutiveFailures"] = json!(1);
    let mut bench = Bench::new();
    bench.running(looked_at(check.clone()));
    let checkup = bench.due_in(5).remove(0);
    assert_eq!(killed(&bench.found(&checkup, false)), [""; 0]);
    let instance = bench.engine.all_instances().next().unwrap();
    assert_eq!(instance.healthy, None);
    let checkup = bench.due_in(10).remove(0);
    bench.found(&checkup, true);
    let checkup = bench.due_in(10).remove(0);
    assert_eq!(killed(&bench.found(&checkup, false)).len(), 1);

    check["gracePeriodSeconds"] = json!(0);
    check["maxConsecutiveFailures"] = json!(0);
    let mut bench = Bench::new();
    bench.running(looked_at(check));
    for wait in [5, 10, 10, 10, 10] {
        let checkup = bench.due_in(wait).remove(0);
        assert_eq!(killed(&bench.found(&checkup, false)), [""; 0]);
    }
    assert_eq!(
        bench.engine.all_instances().next().unwrap().healthy,
        Some(false)
    );
}

#[test]
fn an_agents_findings_are_counted_once_and_what_it_kills_is_replaced() {
    use v1::TaskState::{TaskKilled, TaskRunning};
    let found = Some(Reason::TaskHealthCheckStatusUpdated);
    let mut bench = Bench::new();
    let task = bench.running(looked_at(json!({"protocol": "MESOS_TCP"})));
    assert_eq!(bench.due_in(100), [], "the agent looks");
    assert!(bench.is_deploying());
    bench.told(&task, TaskRunning, true, found);
    assert!(!bench.is_deploying());
    let failures = |bench: &Bench| {
        let instance = bench.engine.all_instances().next().unwrap();
        let counts = bench
            .engine
            .health(&instance.id)
            .map(|it| it.consecutive_failures);
        (instance.healthy, counts.sum::<u32>())
    };
    bench.told(&task, TaskRunning, false, found);
    bench.told(&task, TaskRunning, false, found);
    for repeated in [
        Some(Reason::Reconciliation),
        Some(Reason::TaskCheckStatusUpdated),
        None,
    ] {
        bench.told(&task, TaskRunning, false, repeated);
    }
    assert_eq!(failures(&bench), (Some(false), 2));
    let effects = bench.told(&task, TaskKilled, false, None);
    let backs_off = |write: &Write| matches!(write, Write::Backoff(_, Some(_)));
    assert!(effects.writes.iter().any(backs_off), "{:?}", effects.writes);
    let failure = bench.engine.last_failure(&id("/a")).unwrap();
    assert_eq!(
        (failure.state.as_str(), failure.message.as_str()),
        ("TASK_KILLED", "Health check failed: refused")
    );
    bench.due_in(8);
    assert_eq!(bench.offer().len(), 1);
}

#[test]
fn the_next_process_goes_on_looking_and_takes_nobody_for_unhealthy_meanwhile() {
    let mut bench = Bench::new();
    bench.running(looked_at(tcp()));
    let checkup = bench.due_in(5).remove(0);
    bench.found(&checkup, true);
    let revision = Arc::clone(&bench.engine.root().apps[&id("/a")]);
    let snapshot = Snapshot {
        framework_id: Some("f".into()),
        root: bench.engine.root().clone(),
        history: [(id("/a"), VecDeque::from([revision]))].into(),
        instances: bench.engine.all_instances().cloned().collect(),
        ..Snapshot::default()
    };
    let mut next = Bench::with(snapshot);
    assert_eq!(
        next.engine.all_instances().next().unwrap().healthy,
        Some(true)
    );
    // What the one before asked for comes to nobody.
    assert_eq!(next.found(&checkup, false).writes, []);
    let checkup = next.due_in(10).remove(0);
    next.found(&checkup, false);
    assert_eq!(
        next.engine.all_instances().next().unwrap().healthy,
        Some(false)
    );
}

#[test]
fn a_task_that_is_out_of_reach_is_looked_at_when_it_is_back() {
    use v1::TaskState::{TaskRunning, TaskUnreachable};
    let mut bench = Bench::new();
    let mut patient = looked_at(tcp());
    patient["unreachableStrategy"] = json!("disabled");
    let task = bench.running(patient);
    let checkup = bench.due_in(5).remove(0);
    bench.report(&task, TaskUnreachable);
    assert_eq!(bench.found(&checkup, false).writes, []);
    assert_eq!(bench.due_in(10), []);
    bench.report(&task, TaskRunning);
    assert_eq!(bench.due_in(5).len(), 1);
}
