//! The engine against a master in memory that loses, delays and kills at random, while the process
//! itself may die at any time.
//!
//! Whatever happens, there are never more instances than the strategy allows, no id is used
//! twice; and once the world is calm, what was asked for runs.

use proptest::prelude::*;
use serde_json::json;

use super::tests::id;
use super::world::World;
use super::*;
use crate::app::App;

#[derive(Debug, Clone)]
enum Happening {
    Offer,
    Progress(usize),
    Fail(usize),
    Wait(i64),
    Scale(u32),
    NewCommand(u8),
    Reconnect,
    Crash,
    CrashOnAnOffer,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => Just(Happening::Offer),
        8 => any::<usize>().prop_map(Happening::Progress),
        2 => any::<usize>().prop_map(Happening::Fail),
        2 => (1i64..400_000).prop_map(Happening::Wait),
        1 => (0u32..6).prop_map(Happening::Scale),
        1 => any::<u8>().prop_map(Happening::NewCommand),
        1 => Just(Happening::Reconnect),
        1 => Just(Happening::Crash),
        1 => Just(Happening::CrashOnAnOffer),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_the_app_ends_as_it_was_asked_for(
        seed in any::<u64>(),
        health in 0u32..=2,
        over in 0u32..=2,
        happenings in proptest::collection::vec(happening(), 0..120),
    ) {
        let mut world = World::new(seed);
        world.change(json!({
            "cmd": "0", "cpus": 0.1, "mem": 1, "instances": 3,
            "upgradeStrategy": {
                "minimumHealthCapacity": f64::from(health) / 2.0,
                "maximumOverCapacity": f64::from(over) / 2.0,
            },
        }));
        // The most that any wish so far allowed: scaling down does not undo at once.
        let mut most = 0;
        for happening in happenings {
            match happening {
                Happening::Offer => world.offer(),
                Happening::Progress(pick) => world.progress(pick, false),
                Happening::Fail(pick) => world.progress(pick, true),
                Happening::Wait(millis) => {
                    world.now += millis;
                    world.step(Event::Tick);
                }
                Happening::Scale(instances) => world.change(json!({"instances": instances})),
                Happening::NewCommand(n) => world.change(json!({"cmd": n.to_string()})),
                Happening::Reconnect => world.reconnect(),
                Happening::Crash => world.crash(),
                Happening::CrashOnAnOffer => world.crash_on_an_offer(),
            }
            let app = &world.engine.root().apps[&id("/a")].app;
            let bounds = crate::deployment::replace::bounds(app.instances, app.upgrade_strategy);
            most = most.max(bounds.max_total as usize);
            prop_assert!(world.tasks.len() <= most, "{} tasks, at most {most}", world.tasks.len());
        }
        world.calm_down();
        let wanted: App = world.engine.root().apps[&id("/a")].app.clone();
        let running =
            world.tasks.values().filter(|s| **s == v1::TaskState::TaskRunning).count();
        prop_assert_eq!(running, wanted.instances as usize);
        prop_assert_eq!(world.tasks.len(), running);
        prop_assert_eq!(world.engine.deployments().count(), 0);
        let definition = world.engine.root().apps[&id("/a")].last_config_change_at;
        let all_new = world.engine.all_instances().all(|i| i.definition == definition);
        prop_assert!(all_new, "a forced change finishes the replace it interrupted");
    }
}
