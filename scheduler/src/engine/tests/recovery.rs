//! The process dies, and another goes on with what was stored.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::engine::world::World;

const SIZE: usize = 3;

/// A cluster that runs the app, with a replace of all its instances just begun.
fn replacing(strategy: Value) -> (World, BTreeSet<String>) {
    let mut world = World::new(1);
    world.change(json!({
        "cmd": "0", "cpus": 0.1, "mem": 1, "instances": SIZE, "upgradeStrategy": strategy,
    }));
    world.calm_down();
    let old: BTreeSet<String> = world.tasks.keys().cloned().collect();
    assert_eq!(old.len(), SIZE);
    world.change(json!({"cmd": "1"}));
    (world, old)
}

/// Lets one thing happen at a time. Returns whether the deployment is over.
fn go_on(world: &mut World, turn: usize) -> bool {
    if turn.is_multiple_of(3) {
        world.offer();
    }
    world.progress(turn, false);
    world.engine.deployments().count() == 0
}

#[test]
fn a_rolling_replace_survives_the_death_of_the_process_at_any_moment() {
    for strategy in [
        json!({"minimumHealthCapacity": 1, "maximumOverCapacity": 1}),
        json!({"minimumHealthCapacity": 1, "maximumOverCapacity": 0}),
        json!({"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0}),
    ] {
        let mut death = 0;
        loop {
            let (mut world, old) = replacing(strategy.clone());
            let mut turn = 0;
            let mut was_over_before = false;
            while !go_on(&mut world, turn) {
                if turn == death {
                    world.crash();
                }
                turn += 1;
                assert!(turn < 500, "{strategy}, dead after {death}: never ends");
            }
            was_over_before |= turn < death;
            let context = format!("{strategy}, dead after {death}");
            assert_eq!(world.killed, old, "{context}: only old tasks are killed");
            assert_eq!(world.used.len(), 2 * SIZE, "{context}: no task too many");
            assert!(world.tasks.keys().all(|t| !old.contains(t)), "{context}");
            assert_eq!(world.tasks.len(), SIZE, "{context}");
            if was_over_before {
                break;
            }
            death += 1;
        }
        assert!(death > SIZE, "{strategy}: {death} moments to die at");
    }
}

#[test]
fn a_launch_that_was_stored_and_never_said_is_made_up_for() {
    let (mut world, old) = replacing(json!({}));
    world.crash_on_an_offer();
    assert_eq!(world.tasks.len(), SIZE, "nothing was launched");
    world.calm_down();
    assert_eq!(world.engine.deployments().count(), 0);
    assert_eq!(world.tasks.len(), SIZE);
    assert!(world.tasks.keys().all(|task| !old.contains(task)));
}

#[test]
fn a_restart_forgets_neither_the_delay_of_an_app_nor_its_last_failure() {
    let mut world = World::new(1);
    world.change(json!({
        "cmd": "0", "cpus": 0.1, "mem": 1, "backoffSeconds": 1000, "maxLaunchDelaySeconds": 3600,
    }));
    world.offer();
    world.progress(0, true);
    let app = id("/a");
    let until = world.engine.delayed_until(&app, at(world.now));
    let failure = world.engine.last_failure(&app).cloned();
    assert!(until.is_some() && failure.is_some());
    world.crash();
    assert_eq!(world.engine.delayed_until(&app, at(world.now)), until);
    assert_eq!(world.engine.last_failure(&app).cloned(), failure);
    world.offer();
    assert!(world.tasks.is_empty(), "it still waits");
    world.now += 1_000_000;
    world.step(Event::Tick);
    world.offer();
    assert_eq!(
        world.tasks.len(),
        1,
        "it rings although nothing else happens"
    );
}

#[test]
fn the_delay_of_an_app_that_finishes_again_and_again_grows_across_restarts() {
    let mut world = World::new(1);
    world.change(json!({
        "cmd": "true", "cpus": 0.1, "mem": 1,
        "backoffSeconds": 1, "backoffFactor": 2, "maxLaunchDelaySeconds": 5,
    }));
    let app = id("/a");
    for delay in [1000, 2000, 4000, 5000, 5000] {
        world.offer();
        world.finish_all();
        let until = at(world.now + delay);
        assert_eq!(world.engine.delayed_until(&app, at(world.now)), Some(until));
        world.crash();
        world.offer();
        assert!(
            world.tasks.is_empty(),
            "{delay}: it waits after the restart too"
        );
        assert_eq!(world.engine.delayed_until(&app, at(world.now)), Some(until));
        world.now += delay;
        world.step(Event::Tick);
        world.offer();
        assert_eq!(world.tasks.len(), 1, "{delay}");
    }
    assert!(
        world.engine.last_failure(&app).is_none(),
        "nothing went wrong"
    );
}

#[test]
fn the_delay_starts_over_after_a_restart_that_was_long_enough() {
    let mut world = World::new(1);
    world.change(json!({
        "cmd": "true", "cpus": 0.1, "mem": 1,
        "backoffSeconds": 1, "backoffFactor": 2, "maxLaunchDelaySeconds": 5,
    }));
    let app = id("/a");
    for _ in 0..2 {
        world.offer();
        world.finish_all();
        world.now += 2_000;
        world.step(Event::Tick);
    }
    world.offer();
    // While nothing runs here, the delay of two seconds and the longest one pass.
    world.now += 7_001;
    world.crash();
    world.finish_all();
    let until = at(world.now + 1000);
    assert_eq!(world.engine.delayed_until(&app, at(world.now)), Some(until));
}
