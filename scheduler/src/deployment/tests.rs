use std::collections::BTreeSet;

use serde_json::json;

use super::plan::{Cyclic, plan};
use super::*;
use crate::app::App;
use crate::root::Root;

const T0: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(T0 + second * 1000)
}

fn id(text: &str) -> AppId {
    text.parse().unwrap()
}

fn revision(path: &str, instances: u32, dependencies: &[&str]) -> Arc<Revision> {
    let body = json!({
        "id": path, "cmd": "sleep 1", "instances": instances, "dependencies": dependencies,
    });
    Arc::new(Revision::first(App::create(&body).unwrap(), at(0)))
}

fn root(apps: &[Arc<Revision>]) -> Root {
    let apps = apps
        .iter()
        .map(|r| (r.app.id.clone(), Arc::clone(r)))
        .collect();
    Root {
        apps,
        ..Root::default()
    }
}

fn steps(before: &Root, after: &Root) -> Vec<String> {
    let steps = plan(before, after, &BTreeSet::new()).unwrap();
    let text = |step: &Step| {
        let actions: Vec<_> = step.iter().map(|(app, a)| format!("{a:?} {app}")).collect();
        actions.join(", ")
    };
    steps.iter().map(text).collect()
}

fn deployment(before: &Root, after: &Root) -> Deployment {
    Deployment {
        id: DeploymentId::new(Uuid::nil()),
        version: at(9),
        apps: before.app_differences(after),
        groups: before.group_differences(after),
        steps: plan(before, after, &BTreeSet::new()).unwrap(),
        current: 0,
    }
}

#[test]
fn a_new_app_is_registered_and_then_scaled() {
    let after = root(&[revision("/a", 2, &[])]);
    assert_eq!(steps(&Root::default(), &after), ["Start /a", "Scale /a"]);
}

#[test]
fn an_unchanged_tree_needs_no_step() {
    let root = root(&[revision("/a", 2, &[])]);
    assert!(steps(&root, &root).is_empty());
}

#[test]
fn gone_apps_stop_first() {
    let before = root(&[revision("/a", 1, &[])]);
    let after = root(&[revision("/b", 1, &[])]);
    assert_eq!(steps(&before, &after), ["Stop /a", "Start /b", "Scale /b"]);
}

#[test]
fn a_changed_number_scales_and_a_changed_definition_restarts() {
    let old = revision("/a", 1, &[]);
    let scaled = Arc::new(old.scaled(3, at(5)));
    assert_eq!(
        steps(&root(std::slice::from_ref(&old)), &root(&[scaled])),
        ["Scale /a"]
    );
    let restarted = Arc::new(old.restarted(at(5)));
    assert_eq!(steps(&root(&[old]), &root(&[restarted])), ["Restart /a"]);
}

#[test]
fn dependencies_come_up_first() {
    let after = root(&[
        revision("/web", 1, &["/api", "/nowhere"]),
        revision("/api", 1, &["/db"]),
        revision("/db/main", 1, &[]),
        revision("/db/copy", 1, &["/db/main"]),
    ]);
    let expected = [
        "Start /api, Start /db/copy, Start /db/main, Start /web",
        "Scale /db/main",
        "Scale /db/copy",
        "Scale /api",
        "Scale /web",
    ];
    assert_eq!(steps(&Root::default(), &after), expected);
}

#[test]
fn a_group_lends_its_dependencies_to_its_apps() {
    let mut after = root(&[
        revision("/c/backward/bc", 1, &[]),
        revision("/c/forward/fc", 1, &[]),
    ]);
    let group = Group {
        dependencies: vec![id("/c/forward")],
    };
    after.groups.insert(id("/c/backward"), group);
    let steps = steps(&Root::default(), &after);
    assert_eq!(steps[1..], ["Scale /c/forward/fc", "Scale /c/backward/bc"]);
}

#[test]
fn a_cycle_is_refused() {
    let after = root(&[revision("/a", 1, &["/b"]), revision("/b", 1, &["/a"])]);
    assert_eq!(
        plan(&Root::default(), &after, &BTreeSet::new()),
        Err(Cyclic)
    );
}

#[test]
fn a_chain_of_dependencies_may_be_longer_than_the_stack_is_deep() {
    const LENGTH: usize = 1000;
    let link = |n: usize| revision(&format!("/a{n}"), 1, &[&format!("/a{}", n + 1)]);
    let after = root(&(0..LENGTH).map(link).collect::<Vec<_>>());
    let planned = std::thread::Builder::new()
        .stack_size(128 << 10)
        .spawn(move || plan(&Root::default(), &after, &BTreeSet::new()));
    let steps = planned.unwrap().join().unwrap().unwrap();
    // The first registers them all.
    assert_eq!(steps.len(), 1 + LENGTH);
    assert!(steps[1].contains_key(&id(&format!("/a{}", LENGTH - 1))));
}

#[test]
fn an_app_keeps_what_it_was_until_its_turn() {
    let (a, b) = (revision("/a", 1, &["/b"]), revision("/b", 1, &[]));
    let before = root(&[a.clone(), b.clone()]);
    let (new_a, new_b) = (Arc::new(a.restarted(at(5))), Arc::new(b.scaled(2, at(5))));
    let mut deployment = deployment(&before, &root(&[new_a.clone(), new_b.clone()]));
    assert_eq!(deployment.goal(&id("/a")), Some(Goal::keep(&a)));
    assert_eq!(deployment.goal(&id("/b")), Some(Goal::keep(&new_b)));
    deployment.current = 1;
    assert_eq!(
        deployment.goal(&id("/a")),
        Some(Goal::Replace { revision: new_a })
    );
    assert_eq!(deployment.goal(&id("/b")), Some(Goal::keep(&new_b)));
    assert_eq!(deployment.goal(&id("/c")), None);
}

#[test]
fn a_new_app_has_no_instance_before_its_turn() {
    let after = root(&[revision("/a", 3, &[])]);
    let deployment = deployment(&Root::default(), &after);
    let expected = Goal::Keep {
        revision: after.apps[&id("/a")].clone(),
        count: 0,
    };
    assert_eq!(deployment.goal(&id("/a")), Some(expected));
}

#[test]
fn a_stored_deployment_reads_back_the_same() {
    let before = root(&[revision("/a", 1, &[])]);
    let after = root(&[revision("/a", 2, &[]), revision("/b", 1, &[])]);
    let deployment = deployment(&before, &after);
    let text = serde_json::to_string(&deployment).unwrap();
    assert_eq!(
        serde_json::from_str::<Deployment>(&text).unwrap(),
        deployment
    );
}
