use serde_json::json;

use super::*;

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

/// An app whose only task ran until its agent got out of reach.
fn out_of_reach(strategy: Value) -> (Bench, Vec<String>) {
    let mut bench = Bench::new();
    let mut body = app(1);
    body["unreachableStrategy"] = strategy;
    bench.create(body);
    let tasks = bench.offer();
    bench.run(&tasks);
    bench.report(&tasks[0], v1::TaskState::TaskUnreachable);
    (bench, tasks)
}

#[test]
fn a_patient_app_waits_for_its_unreachable_instance() {
    let (mut bench, tasks) =
        out_of_reach(json!({"inactiveAfterSeconds": 10, "expungeAfterSeconds": 20}));
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
fn an_app_can_be_deleted_while_an_instance_that_it_waits_for_is_out_of_reach() {
    for strategy in [
        json!("disabled"),
        json!({"inactiveAfterSeconds": 600, "expungeAfterSeconds": 900}),
    ] {
        let (mut bench, tasks) = out_of_reach(strategy);
        assert_eq!(bench.states("/a"), ["TASK_UNREACHABLE"]);
        let (app, force) = (id("/a"), false);
        bench.change(Change::Delete { app, force }).unwrap();
        assert_eq!(bench.engine.deployments().count(), 0);
        let effects = bench.report(&tasks[0], v1::TaskState::TaskRunning);
        assert_eq!(killed(&effects), [tasks[0].as_str()]);
    }
}

#[test]
fn less_patience_holds_for_an_instance_that_is_out_of_reach_already() {
    let (mut bench, _) = out_of_reach(json!("disabled"));
    let strategy = json!({"inactiveAfterSeconds": 10, "expungeAfterSeconds": 20});
    let body = json!({"unreachableStrategy": strategy});
    bench.update("/a", body).unwrap();
    bench.now += 30_000;
    bench.step(Event::Tick);
    assert_eq!(bench.states("/a"), [""; 0]);
}

#[test]
fn waiting_for_an_instance_out_of_reach_keeps_nobody_busy() {
    let (mut bench, _) =
        out_of_reach(json!({"inactiveAfterSeconds": 10, "expungeAfterSeconds": 20}));
    bench.now += 12_000;
    bench.step(Event::Tick);
    bench.step(Event::Tick);
    assert!(bench.engine.next_alarm().unwrap() > at(bench.now));
}

#[test]
fn a_task_that_comes_back_before_it_started_has_to_start_in_time() {
    let mut bench = Bench::new();
    let mut body = app(1);
    body["unreachableStrategy"] = json!("disabled");
    bench.create(body);
    let tasks = bench.offer();
    bench.report(&tasks[0], v1::TaskState::TaskUnreachable);
    bench.now += 300_000;
    assert!(killed(&bench.step(Event::Tick)).is_empty());
    bench.report(&tasks[0], v1::TaskState::TaskStaging);
    assert_eq!(killed(&bench.step(Event::Tick)), [tasks[0].as_str()]);
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
        ..Snapshot::default()
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
fn a_framework_that_was_removed_says_nothing_until_it_is_subscribed_anew() {
    let mut bench = Bench::new();
    bench.create(app(1));
    let tasks = bench.offer();
    bench.run(&tasks);
    let effects = bench.step(Event::Removed);
    assert!(effects.calls.is_empty(), "{effects:?}");
    let framework_id = "f2".into();
    let effects = bench.step(Event::Subscribed { framework_id });
    assert!(effects.calls.contains(&Call::Revive), "{effects:?}");
    assert_eq!(bench.offer().len(), 1, "its tasks went with the old id");
}
