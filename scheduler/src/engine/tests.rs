use serde_json::{Value, json};

use super::*;
use crate::app::App;
use crate::instance::Phase;

pub(super) fn config() -> Config {
    Config {
        max_instances_per_offer: 100,
        decline_offer_duration: Duration::from_secs(120),
        task_launch_timeout: Duration::from_secs(300),
        kill_retry_timeout: Duration::from_secs(30),
        reconciliation_initial_delay: Duration::from_secs(15),
        reconciliation_interval: Duration::from_secs(600),
        max_running_deployments: 100,
        max_versions: 3,
        local_ports: 10_000..=10_009,
    }
}

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

pub(super) fn id(text: &str) -> AppId {
    text.parse().unwrap()
}

pub(super) fn offer(name: &str, host: &str, cpus: f64) -> v1::Offer {
    let resource = |name: &str, value| v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..v1::Resource::default()
    };
    let range = vec![v1::value::Range {
        begin: 31000,
        end: 31999,
    }];
    let ports = v1::Resource {
        name: "ports".into(),
        r#type: v1::value::Type::Ranges.into(),
        ranges: Some(v1::value::Ranges { range }),
        ..v1::Resource::default()
    };
    v1::Offer {
        id: v1::OfferId { value: name.into() },
        framework_id: v1::FrameworkId { value: "f".into() },
        agent_id: v1::AgentId {
            value: format!("agent-{host}"),
        },
        hostname: host.into(),
        resources: vec![resource("cpus", cpus), resource("mem", 100_000.0), ports],
        ..v1::Offer::default()
    }
}

pub(super) fn status(task: &str, state: v1::TaskState) -> v1::TaskStatus {
    v1::TaskStatus {
        task_id: v1::TaskId { value: task.into() },
        agent_id: Some(v1::AgentId {
            value: "agent-a".into(),
        }),
        uuid: Some(vec![7; 16]),
        state: state.into(),
        ..v1::TaskStatus::default()
    }
}

/// An engine with a clock of its own and a master that never runs out of offers.
struct Bench {
    engine: Engine,
    now: i64,
}

impl Bench {
    fn new() -> Self {
        Self::with(Snapshot::default())
    }

    fn with(snapshot: Snapshot) -> Self {
        let mut bench = Self {
            engine: Engine::new(config(), 1, snapshot, at(0)),
            now: 0,
        };
        bench.step(Event::Subscribed {
            framework_id: "f".into(),
        });
        bench
    }

    fn step(&mut self, event: Event) -> Effects {
        self.now += 1;
        self.engine.step(event, at(self.now))
    }

    fn change(&mut self, change: Change) -> Result<(Done, Effects), Refusal> {
        self.now += 1;
        self.engine.change(change, at(self.now))
    }

    fn create(&mut self, body: Value) -> Effects {
        let app = App::create(&body).unwrap();
        self.change(Change::Create {
            app: Box::new(app),
            force: false,
        })
        .unwrap()
        .1
    }

    fn update(&mut self, app: &str, body: Value) -> Result<(Done, Effects), Refusal> {
        let edit = Edit {
            app: id(app),
            body,
            partial: true,
            missing: Missing::Refuse,
        };
        self.change(Change::Update {
            edits: vec![edit],
            force: false,
        })
    }

    /// One offer of 8 cpus; returns the tasks that were launched on it.
    fn offer(&mut self) -> Vec<String> {
        let effects = self.step(Event::Offers(vec![offer("o", "a", 8.0)]));
        launched(&effects)
    }

    fn report(&mut self, task: &str, state: v1::TaskState) -> Effects {
        self.step(Event::Update(Box::new(status(task, state))))
    }

    fn run(&mut self, tasks: &[String]) {
        for task in tasks {
            self.report(task, v1::TaskState::TaskRunning);
        }
    }

    fn states(&self, app: &str) -> Vec<&'static str> {
        self.engine
            .instances(&id(app))
            .map(Instance::state_name)
            .collect()
    }
}

fn launched(effects: &Effects) -> Vec<String> {
    let tasks = effects.calls.iter().flat_map(|call| match call {
        Call::Accept { tasks, .. } => tasks.as_slice(),
        _ => &[],
    });
    tasks.map(|t| t.task_id.value.clone()).collect()
}

fn killed(effects: &Effects) -> Vec<&str> {
    let kills = effects.calls.iter().filter_map(|call| match call {
        Call::Kill { task, .. } => Some(task.as_str()),
        _ => None,
    });
    kills.collect()
}

fn app(instances: u32) -> Value {
    json!({"id": "/a", "cmd": "sleep 1", "cpus": 0.1, "mem": 10, "instances": instances})
}

#[test]
fn offers_are_asked_for_only_while_something_waits() {
    let mut bench = Bench::new();
    let effects = bench.create(app(2));
    assert_eq!(effects.calls, [Call::Revive]);
    let effects = bench.step(Event::Offers(vec![offer("o", "a", 8.0)]));
    assert_eq!(launched(&effects).len(), 2);
    assert_eq!(effects.calls.last(), Some(&Call::Suppress));
}

#[test]
fn a_hundred_instances_are_launched_by_one_accept() {
    let mut bench = Bench::new();
    bench.create(json!({"id": "/a", "cmd": "sleep 1", "cpus": 0.01, "mem": 1, "instances": 100}));
    let effects = bench.step(Event::Offers(vec![offer("o", "a", 8.0)]));
    let accepts = effects
        .calls
        .iter()
        .filter(|c| matches!(c, Call::Accept { .. }))
        .count();
    assert_eq!((accepts, launched(&effects).len()), (1, 100));
}

#[test]
fn instances_are_spread_evenly_over_the_offers_at_hand() {
    let mut bench = Bench::new();
    bench.create(app(4));
    let offers = vec![offer("1", "a", 8.0), offer("2", "b", 8.0)];
    let effects = bench.step(Event::Offers(offers));
    let sizes: Vec<usize> = effects
        .calls
        .iter()
        .filter_map(|c| match c {
            Call::Accept { tasks, .. } => Some(tasks.len()),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, [2, 2]);
}

#[test]
fn an_offer_that_was_cut_short_is_asked_for_again_at_once() {
    let mut bench = Bench::new();
    bench.engine.config.max_instances_per_offer = 5;
    bench.create(app(7));
    let effects = bench.step(Event::Offers(vec![offer("o", "a", 8.0)]));
    assert_eq!(launched(&effects).len(), 5);
    assert_eq!(effects.calls.last(), Some(&Call::Revive));
    assert_eq!(bench.offer().len(), 2);
}

#[test]
fn what_fits_nowhere_is_declined_and_says_why() {
    let mut bench = Bench::new();
    bench.create(json!({"id": "/a", "cmd": "sleep 1", "cpus": 100}));
    let effects = bench.step(Event::Offers(vec![offer("o", "a", 8.0)]));
    assert!(
        matches!(effects.calls.as_slice(), [Call::Decline { .. }]),
        "{effects:?}"
    );
    let (_, demand) = bench.engine.demands().next().unwrap();
    let reason = crate::placement::Reason::InsufficientCpus;
    assert_eq!(demand.tally.reasons, [(reason, 1)].into());
}

#[test]
fn a_deployment_ends_when_all_instances_run() {
    let mut bench = Bench::new();
    bench.create(app(2));
    let tasks = bench.offer();
    bench.run(&tasks[..1]);
    assert_eq!(bench.engine.deployments().count(), 1);
    bench.run(&tasks[1..]);
    assert_eq!(bench.engine.deployments().count(), 0);
}

#[test]
fn an_update_is_acknowledged_and_its_state_is_stored() {
    let mut bench = Bench::new();
    bench.create(app(1));
    let tasks = bench.offer();
    let effects = bench.report(&tasks[0], v1::TaskState::TaskRunning);
    assert!(
        matches!(effects.calls.as_slice(), [Call::Acknowledge { .. }]),
        "{effects:?}"
    );
    let stored = effects
        .writes
        .iter()
        .any(|w| matches!(w, Write::Instance(i) if i.phase == Phase::Running));
    assert!(stored, "{effects:?}");
}

#[test]
fn a_task_that_ends_is_replaced_after_a_growing_delay() {
    let mut bench = Bench::new();
    bench.create(json!({
        "id": "/a", "cmd": "true", "cpus": 0.1, "mem": 1, "backoffSeconds": 1, "backoffFactor": 2,
    }));
    for delay in [1000, 2000, 4000] {
        let tasks = bench.offer();
        bench.run(&tasks);
        let effects = bench.report(&tasks[0], v1::TaskState::TaskFinished);
        assert!(!effects.calls.contains(&Call::Revive), "{effects:?}");
        assert_eq!(
            bench.engine.delayed_until(&id("/a"), at(bench.now)),
            Some(at(bench.now + delay))
        );
        assert!(bench.offer().is_empty());
        bench.now = bench.engine.next_alarm().unwrap().millis() - at(0).millis();
        assert!(bench.step(Event::Tick).calls.contains(&Call::Revive));
    }
}

#[test]
fn a_changed_definition_starts_without_delay_and_a_changed_number_does_not() {
    let mut bench = Bench::new();
    bench.create(app(1));
    let tasks = bench.offer();
    bench.run(&tasks);
    bench.report(&tasks[0], v1::TaskState::TaskFailed);
    bench.update("/a", json!({"instances": 2})).unwrap();
    assert!(
        bench
            .engine
            .delayed_until(&id("/a"), at(bench.now))
            .is_some()
    );
    let edit = Edit {
        app: id("/a"),
        body: json!({"cmd": "b"}),
        partial: true,
        missing: Missing::Refuse,
    };
    bench
        .change(Change::Update {
            edits: vec![edit],
            force: true,
        })
        .unwrap();
    assert!(
        bench
            .engine
            .delayed_until(&id("/a"), at(bench.now))
            .is_none()
    );
    let failure = bench.engine.last_failure(&id("/a")).unwrap();
    assert_eq!((failure.state, &failure.task), ("TASK_FAILED", &tasks[0]));
}

#[test]
fn scaling_keeps_the_tasks_that_stay() {
    let mut bench = Bench::new();
    bench.create(app(1));
    let first = bench.offer();
    bench.run(&first);
    bench.update("/a", json!({"instances": 3})).unwrap();
    let more = bench.offer();
    assert_eq!(more.len(), 2);
    bench.run(&more);
    let (_, effects) = bench.update("/a", json!({"instances": 1})).unwrap();
    let mut gone = killed(&effects);
    gone.sort_unstable();
    let mut expected: Vec<&str> = more.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(gone, expected, "the youngest go first");
}

#[test]
fn the_same_definition_changes_nothing() {
    let mut bench = Bench::new();
    bench.create(app(1));
    let tasks = bench.offer();
    bench.run(&tasks);
    let version = bench.engine.root().apps[&id("/a")].version;
    let (_, effects) = bench.update("/a", app(1)).unwrap();
    assert!(
        effects.writes.is_empty() && effects.calls.is_empty(),
        "{effects:?}"
    );
    assert_eq!(bench.engine.root().apps[&id("/a")].version, version);
}

#[test]
fn a_new_command_replaces_the_old_tasks_once_the_new_ones_run() {
    let mut bench = Bench::new();
    bench.create(app(2));
    let old = bench.offer();
    bench.run(&old);
    let (_, effects) = bench.update("/a", json!({"cmd": "sleep 2"})).unwrap();
    assert!(killed(&effects).is_empty());
    let new = bench.offer();
    assert_eq!(new.len(), 2);
    let effects = bench.report(&new[0], v1::TaskState::TaskRunning);
    assert_eq!(killed(&effects).len(), 1);
    let effects = bench.report(&new[1], v1::TaskState::TaskRunning);
    assert_eq!(killed(&effects).len(), 1);
    for task in &old {
        bench.report(task, v1::TaskState::TaskKilled);
    }
    assert_eq!(bench.engine.deployments().count(), 0);
    assert_eq!(bench.states("/a"), ["TASK_RUNNING", "TASK_RUNNING"]);
    assert!(
        bench
            .engine
            .delayed_until(&id("/a"), at(bench.now))
            .is_none()
    );
}

#[test]
fn a_locked_app_is_refused_and_force_takes_it_over() {
    let mut bench = Bench::new();
    bench.create(app(1));
    let lock = bench.engine.deployments().next().unwrap().id;
    let refusal = bench.update("/a", json!({"instances": 2})).unwrap_err();
    assert!(matches!(refusal, Refusal::Locked(locks) if locks == [lock]));
    let edit = Edit {
        app: id("/a"),
        body: json!({"instances": 2}),
        partial: true,
        missing: Missing::Refuse,
    };
    bench
        .change(Change::Update {
            edits: vec![edit],
            force: true,
        })
        .unwrap();
    assert_eq!(bench.engine.deployments().count(), 1);
    assert_ne!(bench.engine.deployments().next().unwrap().id, lock);
    assert_eq!(bench.offer().len(), 2);
}

#[test]
fn rolling_back_the_first_deployment_removes_the_app() {
    let mut bench = Bench::new();
    bench.create(app(1));
    let tasks = bench.offer();
    let deployment = bench.engine.deployments().next().unwrap().id;
    let (_, effects) = bench.change(Change::RollBack { deployment }).unwrap();
    assert_eq!(killed(&effects), [tasks[0].as_str()]);
    assert!(bench.engine.root().apps.is_empty());
    bench.report(&tasks[0], v1::TaskState::TaskKilled);
    assert_eq!(bench.engine.deployments().count(), 0);
}

#[test]
fn rolling_back_a_replace_keeps_the_tasks_that_still_run_the_old_definition() {
    let mut bench = Bench::new();
    bench.create(app(2));
    let old = bench.offer();
    bench.run(&old);
    bench.update("/a", json!({"cmd": "sleep 2"})).unwrap();
    let new = bench.offer();
    let deployment = bench.engine.deployments().next().unwrap().id;
    let (_, effects) = bench.change(Change::RollBack { deployment }).unwrap();
    let mut gone = killed(&effects);
    gone.sort_unstable();
    let mut expected: Vec<&str> = new.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(gone, expected);
    for task in &new {
        bench.report(task, v1::TaskState::TaskKilled);
    }
    assert_eq!(bench.engine.deployments().count(), 0);
    assert_eq!(
        bench.engine.root().apps[&id("/a")].app.cmd.as_deref(),
        Some("sleep 1")
    );
}

#[test]
fn a_task_of_no_app_is_killed() {
    let mut bench = Bench::new();
    let effects = bench.report("ghost", v1::TaskState::TaskRunning);
    assert_eq!(killed(&effects), ["ghost"]);
    let effects = bench.report("ghost", v1::TaskState::TaskKilled);
    assert!(killed(&effects).is_empty());
}

#[test]
fn an_unreachable_instance_is_replaced_at_once_and_killed_when_it_returns() {
    let mut bench = Bench::new();
    bench.create(app(1));
    let tasks = bench.offer();
    bench.run(&tasks);
    let effects = bench.report(&tasks[0], v1::TaskState::TaskUnreachable);
    assert!(effects.calls.contains(&Call::Revive));
    assert_eq!(bench.offer().len(), 1);
    let effects = bench.report(&tasks[0], v1::TaskState::TaskRunning);
    assert_eq!(killed(&effects), [tasks[0].as_str()]);
}

#[test]
fn a_patient_app_waits_for_its_unreachable_instance() {
    let mut bench = Bench::new();
    let mut body = app(1);
    body["unreachableStrategy"] = json!({"inactiveAfterSeconds": 10, "expungeAfterSeconds": 20});
    bench.create(body);
    let tasks = bench.offer();
    bench.run(&tasks);
    bench.report(&tasks[0], v1::TaskState::TaskUnreachable);
    assert!(bench.offer().is_empty());
    bench.now += 10_000;
    assert!(bench.step(Event::Tick).calls.contains(&Call::Revive));
    let second = bench.offer();
    bench.run(&second);
    let effects = bench.report(&tasks[0], v1::TaskState::TaskRunning);
    assert_eq!(
        killed(&effects).len(),
        1,
        "one too many since the first is back"
    );
}

#[test]
fn a_task_that_never_starts_is_killed_and_replaced() {
    let mut bench = Bench::new();
    bench.create(app(1));
    let tasks = bench.offer();
    bench.now += 300_000;
    let effects = bench.step(Event::Tick);
    assert_eq!(killed(&effects), [tasks[0].as_str()]);
    bench.now += 30_000;
    assert_eq!(
        killed(&bench.step(Event::Tick)),
        [tasks[0].as_str()],
        "nobody confirmed the kill"
    );
    bench.report(&tasks[0], v1::TaskState::TaskKilled);
    bench.now += 1_000;
    bench.step(Event::Tick);
    assert_eq!(bench.offer().len(), 1);
}

#[test]
fn killing_with_scale_takes_exactly_the_named_instance() {
    let mut bench = Bench::new();
    bench.create(app(3));
    let tasks = bench.offer();
    bench.run(&tasks);
    let victim = InstanceId::parse(&tasks[1]).unwrap();
    let then = AfterKill::Scale { force: false };
    let change = Change::Kill {
        instances: vec![victim.clone()],
        then,
    };
    let (_, effects) = bench.change(change).unwrap();
    assert_eq!(killed(&effects), [tasks[1].as_str()]);
    assert_eq!(bench.engine.root().apps[&id("/a")].app.instances, 2);
    bench.report(&tasks[1], v1::TaskState::TaskKilled);
    assert!(bench.engine.deployments().next().is_none());
    assert!(bench.offer().is_empty());
}

#[test]
fn only_so_many_versions_are_kept() {
    let mut bench = Bench::new();
    bench.create(app(0));
    for n in 1..=4 {
        bench
            .update("/a", json!({"labels": {"n": n.to_string()}}))
            .unwrap();
    }
    let history: Vec<_> = bench.engine.history(&id("/a")).map(|r| r.version).collect();
    assert_eq!(history.len(), 3);
    assert!(history.is_sorted());
    let back = bench
        .update("/a", json!({"version": history[0].to_string()}))
        .unwrap();
    assert!(matches!(back.0, Done::Deployed { .. }));
    assert_eq!(bench.engine.root().apps[&id("/a")].app.labels["n"], "2");
}

#[test]
fn a_restarted_scheduler_goes_on_where_it_was() {
    let mut bench = Bench::new();
    bench.create(app(2));
    let tasks = bench.offer();
    bench.run(&tasks[..1]);
    let snapshot = Snapshot {
        framework_id: Some("f".into()),
        root: bench.engine.root.clone(),
        history: bench.engine.history.clone(),
        deployments: bench.engine.deployments().cloned().collect(),
        instances: bench.engine.all_instances().cloned().collect(),
    };
    let mut engine = Engine::new(config(), 2, snapshot, at(1000));
    let effects = engine.step(
        Event::Subscribed {
            framework_id: "f".into(),
        },
        at(1001),
    );
    let asked = effects.calls.iter().find_map(|call| match call {
        Call::Reconcile { tasks } if !tasks.is_empty() => Some(tasks.len()),
        _ => None,
    });
    assert_eq!(asked, Some(2));
    assert!(killed(&effects).is_empty() && launched(&effects).is_empty());
    engine.step(
        Event::Update(Box::new(status(&tasks[1], v1::TaskState::TaskRunning))),
        at(1002),
    );
    assert_eq!(engine.deployments().count(), 0);
}

#[test]
fn dependent_apps_wait_for_what_they_need() {
    let mut bench = Bench::new();
    let edits = [
        json!({"id": "/web", "cmd": "w", "cpus": 1, "dependencies": ["/db"]}),
        json!({"id": "/db", "cmd": "d", "cpus": 1}),
    ]
    .map(|body| Edit {
        app: id(body["id"].as_str().unwrap()),
        body,
        partial: true,
        missing: Missing::Create,
    });
    bench
        .change(Change::Update {
            edits: edits.into(),
            force: false,
        })
        .unwrap();
    let first = bench.offer();
    assert!(first.len() == 1 && first[0].starts_with("db."), "{first:?}");
    bench.run(&first);
    let second = bench.offer();
    assert!(
        second.len() == 1 && second[0].starts_with("web."),
        "{second:?}"
    );
}
