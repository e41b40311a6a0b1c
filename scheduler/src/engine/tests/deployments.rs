use serde_json::json;

use super::*;

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
    bench.force("/a", json!({"cmd": "b"})).unwrap();
    assert!(
        bench
            .engine
            .delayed_until(&id("/a"), at(bench.now))
            .is_none()
    );
    let failure = bench.engine.last_failure(&id("/a")).unwrap();
    assert_eq!(
        (failure.state.as_str(), &failure.task),
        ("TASK_FAILED", &tasks[0])
    );
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
    bench.force("/a", json!({"instances": 2})).unwrap();
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
        at: String::new(),
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

#[test]
fn a_killed_instance_can_still_be_scaled_away_but_only_once() {
    let mut bench = Bench::new();
    bench.create(app(3));
    let tasks = bench.offer();
    bench.run(&tasks);
    let victim = InstanceId::parse(&tasks[1]).unwrap();
    let count = |bench: &Bench| bench.engine.root().apps[&id("/a")].app.instances;
    let mut kill = |then| {
        let instances = vec![victim.clone()];
        bench.change(Change::Kill { instances, then }).unwrap();
        count(&bench)
    };
    let scale = AfterKill::Scale { force: false };
    assert_eq!(kill(AfterKill::Replace), 3);
    assert_eq!(kill(scale), 2, "it was to be replaced, and now is not");
    assert_eq!(
        kill(AfterKill::Scale { force: true }),
        2,
        "a client that tries again"
    );
    bench.report(&tasks[1], v1::TaskState::TaskKilled);
    assert!(bench.offer().is_empty());
    assert_eq!(bench.engine.deployments().count(), 0);
}
