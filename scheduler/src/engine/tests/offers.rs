use std::collections::{BTreeMap, BTreeSet};

use proto::v1::task_status::Reason;
use serde_json::json;

use super::*;

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
    let (_, demand) = bench.engine.demands().next().unwrap();
    assert_eq!(demand.tally.last_used_at, Some(at(bench.now)));
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
fn more_instances_than_the_cluster_can_hold_wait_until_the_deployment_is_stopped() {
    let mut bench = Bench::new();
    bench.create(app(200));
    let fitting = bench.offer();
    assert_eq!(fitting.len(), 80, "8 cpus hold 80 times 0.1");
    bench.run(&fitting);
    bench.step(Event::Offers(vec![offer("o", "a", 0.05)]));
    let (_, demand) = bench.engine.demands().next().unwrap();
    let newest = &demand.tally.newest["agent-a"];
    let reason = crate::placement::Reason::InsufficientCpus;
    assert_eq!((demand.count, newest.reason), (120, reason));
    bench.now += 3_600_000;
    bench.step(Event::Tick);
    let deployment = bench.engine.deployments().next().unwrap().id;
    let (_, effects) = bench.change(Change::StopDeployment { deployment }).unwrap();
    assert!(killed(&effects).is_empty());
    assert_eq!(bench.engine.deployments().count(), 0);
    assert_eq!(bench.engine.all_instances().count(), 80);
}

#[test]
fn a_unique_app_has_one_instance_per_host_and_the_rest_waits() {
    let mut bench = Bench::new();
    let mut body = app(4);
    body["constraints"] = json!([["hostname", "UNIQUE"]]);
    bench.create(body);
    let offers = ["x", "y", "z"].map(|host| offer(host, host, 8.0));
    let effects = bench.step(Event::Offers(offers.into()));
    assert_eq!(launched(&effects).len(), 3);
    let again = ["x", "y", "z"].map(|host| offer(host, host, 8.0));
    assert!(launched(&bench.step(Event::Offers(again.into()))).is_empty());
    let (_, demand) = bench.engine.demands().next().unwrap();
    let reason = crate::placement::Reason::UnfulfilledConstraint;
    let reasons: Vec<_> = demand.tally.newest.values().map(|u| u.reason).collect();
    assert_eq!((demand.count, reasons), (1, vec![reason; 3]));
}

#[test]
fn who_cannot_be_launched_at_a_port_gets_another_one_next() {
    let mut bench = Bench::new();
    bench.create(app(1));
    let mut two = offer("o", "a", 8.0);
    two.resources.pop();
    let ports = proto::resources::Resources::parse("ports:[31000-31000,31005-31005]", "*");
    two.resources.extend(ports.unwrap().to_protos());
    let launch = |bench: &mut Bench| {
        let effects = bench.step(Event::Offers(vec![two.clone()]));
        let instance = bench.engine.instances(&id("/a")).next().unwrap();
        (launched(&effects)[0].clone(), instance.ports[0])
    };
    let fail = |bench: &mut Bench, task: &str, reason: Reason| {
        let mut failed = status(task, v1::TaskState::TaskFailed);
        failed.reason = Some(reason.into());
        bench.step(Event::Update(Box::new(failed)));
        // Its delay is over by then.
        bench.now += 60_000;
        bench.step(Event::Tick);
    };
    let (task, first) = launch(&mut bench);
    fail(&mut bench, &task, Reason::ContainerLaunchFailed);
    for _ in 0..6 {
        let (task, next) = launch(&mut bench);
        assert_ne!(next, first);
        fail(&mut bench, &task, Reason::CommandExecutorFailed);
    }
}

#[test]
fn a_port_of_choice_is_any_of_those_that_are_offered() {
    let chosen = |seed| {
        let mut bench = Bench::new();
        bench.engine = Engine::new(config(), seed, Snapshot::default(), at(0));
        bench.step(Event::Subscribed {
            framework_id: "f".into(),
        });
        bench.create(app(20));
        let hosts = (0..20).map(|number| number.to_string());
        let offers = hosts.map(|host| offer(&host, &host, 8.0)).collect();
        let effects = bench.step(Event::Offers(offers));
        assert_eq!(launched(&effects).len(), 20);
        let instances = bench.engine.all_instances();
        let ports = instances.map(|it| (it.agent_id.clone(), it.ports[0]));
        ports.collect::<BTreeMap<_, _>>()
    };
    // One on each host, where each port is free.
    let ports = chosen(1);
    assert_eq!(ports.len(), 20);
    let few = ports.values().collect::<BTreeSet<_>>();
    assert!(few.len() > 10, "{ports:?}");
    let halves = few.iter().map(|port| **port < 31_500);
    assert_eq!(halves.collect::<BTreeSet<_>>().len(), 2, "{ports:?}");
    assert_eq!(ports, chosen(1));
    assert_ne!(ports, chosen(2));
}
