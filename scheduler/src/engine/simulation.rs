//! The engine against a master in memory that loses, delays and kills at random, while agents go
//! and come back, and the process itself may die at any time.
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
    CheckUp(bool),
    Scale(u32),
    NewCommand(u8),
    LoseAgent(usize, v1::TaskState),
    FindAgents,
    Reconnect,
    Crash,
    CrashOnAnOffer,
}

/// How the master tells of tasks whose agent is lost.
const LOST: [v1::TaskState; 6] = [
    v1::TaskState::TaskLost,
    v1::TaskState::TaskDropped,
    v1::TaskState::TaskGone,
    v1::TaskState::TaskGoneByOperator,
    v1::TaskState::TaskUnknown,
    v1::TaskState::TaskUnreachable,
];

fn loss() -> impl Strategy<Value = Happening> {
    let state = proptest::sample::select(LOST.as_slice());
    (any::<usize>(), state).prop_map(|(pick, state)| Happening::LoseAgent(pick, state))
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => Just(Happening::Offer),
        8 => any::<usize>().prop_map(Happening::Progress),
        2 => any::<usize>().prop_map(Happening::Fail),
        2 => (1i64..400_000).prop_map(Happening::Wait),
        2 => any::<bool>().prop_map(Happening::CheckUp),
        1 => (0u32..6).prop_map(Happening::Scale),
        1 => any::<u8>().prop_map(Happening::NewCommand),
        1 => loss(),
        1 => Just(Happening::FindAgents),
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
        patience in prop_oneof![
            Just(json!({"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0})),
            Just(json!({"inactiveAfterSeconds": 60, "expungeAfterSeconds": 120})),
            Just(json!("disabled")),
        ],
        checks in prop_oneof![
            Just(json!([])),
            Just(json!([
                {"protocol": "TCP", "port": 1, "gracePeriodSeconds": 0, "maxConsecutiveFailures": 1},
                {"protocol": "HTTP", "port": 2, "gracePeriodSeconds": 60},
            ])),
        ],
        happenings in proptest::collection::vec(happening(), 0..120),
    ) {
        let mut world = World::new(seed);
        world.change(json!({
            "cmd": "0", "cpus": 0.1, "mem": 1, "instances": 3,
            "unreachableStrategy": patience,
            "healthChecks": checks,
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
                Happening::CheckUp(is_good) => world.check_up(is_good),
                Happening::Scale(instances) => world.change(json!({"instances": instances})),
                Happening::NewCommand(n) => world.change(json!({"cmd": n.to_string()})),
                Happening::LoseAgent(pick, state) => world.lose_agent(pick, state),
                Happening::FindAgents => world.find_agents(),
                Happening::Reconnect => world.reconnect(),
                Happening::Crash => world.crash(),
                Happening::CrashOnAnOffer => world.crash_on_an_offer(),
            }
            let app = &world.engine.root().apps[&id("/a")].app;
            let bounds = crate::deployment::replace::bounds(app.instances, app.upgrade_strategy);
            most = most.max(bounds.max_total as usize);
            // One that comes back was replaced meanwhile; nothing else may be one too many.
            let count = world.tasks.keys().filter(|t| !world.returned.contains(*t)).count();
            prop_assert!(count <= most, "{count} tasks, at most {most}");
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

#[test]
fn a_lost_agent_leads_to_replacements_at_once() {
    for state in LOST {
        let mut world = World::new(1);
        world.change(json!({"cmd": "0", "cpus": 0.1, "mem": 1, "instances": 4}));
        world.calm_down();
        let before = world.tasks.clone();
        world.lose_agent(0, state);
        let left = world.tasks.len();
        assert!(left < 4, "{state:?}: {left} tasks are left");
        // No time passes but that of the messages.
        world.offer();
        assert_eq!(world.tasks.len(), 4, "{state:?}");
        let new = world
            .tasks
            .keys()
            .filter(|task| !before.contains_key(*task));
        assert_eq!(new.count(), 4 - left, "{state:?}");
        world.find_agents();
        world.calm_down();
        assert_eq!(world.tasks.len(), 4, "{state:?}: what came back is killed");
        assert!(
            world
                .tasks
                .values()
                .all(|s| *s == v1::TaskState::TaskRunning)
        );
    }
}
