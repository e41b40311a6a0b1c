//! The engine against a master in memory that loses, delays and kills at random.
//!
//! Whatever happens, there are never more instances than the strategy allows, no id is used
//! twice; and once the world is calm, what was asked for runs.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::tests::{at, config, id, offer, status};
use super::*;
use crate::app::App;

/// The part of the cluster that the engine cannot see but for what it is told.
struct World {
    engine: Engine,
    now: i64,
    /// Task to state.
    tasks: BTreeMap<String, v1::TaskState>,
    used: BTreeSet<String>,
    wants_offers: bool,
    offers: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let engine = Engine::new(config(), seed, Snapshot::default(), at(0));
        let mut world = Self {
            engine,
            now: 0,
            tasks: BTreeMap::new(),
            used: BTreeSet::new(),
            wants_offers: true,
            offers: 0,
        };
        world.step(Event::Subscribed {
            framework_id: "f".into(),
        });
        world
    }

    fn step(&mut self, event: Event) {
        self.now += 1;
        let effects = self.engine.step(event, at(self.now));
        self.perform(effects);
    }

    fn perform(&mut self, effects: Effects) {
        for call in effects.calls {
            match call {
                Call::Revive => self.wants_offers = true,
                Call::Suppress => self.wants_offers = false,
                Call::Accept { tasks, .. } => {
                    for task in tasks {
                        let task = task.task_id.value;
                        assert!(self.used.insert(task.clone()), "{task} was used before");
                        self.tasks.insert(task, v1::TaskState::TaskStaging);
                    }
                }
                Call::Kill { task, .. } => {
                    if let Some(state) = self.tasks.get_mut(&task) {
                        *state = v1::TaskState::TaskKilling;
                    }
                }
                Call::Decline { .. } | Call::Acknowledge { .. } => {}
                // Asked again with every subscription; see `reconnect`.
                Call::Reconcile { .. } => {}
            }
        }
    }

    fn change(&mut self, body: serde_json::Value) {
        self.now += 1;
        let edit = Edit {
            app: id("/a"),
            body,
            partial: true,
            missing: Missing::Create,
        };
        let change = Change::Update {
            edits: vec![edit],
            force: true,
        };
        let (_, effects) = self.engine.change(change, at(self.now)).unwrap();
        self.perform(effects);
    }

    fn offer(&mut self) {
        if self.wants_offers {
            self.offers += 1;
            let name = format!("o{}", self.offers);
            self.step(Event::Offers(vec![
                offer(&name, "a", 4.0),
                offer(&name, "b", 4.0),
            ]));
        }
    }

    /// Moves the `pick`th task one state on; badly if `fails`.
    fn progress(&mut self, pick: usize, fails: bool) {
        use v1::TaskState::*;
        let Some((task, state)) = self.tasks.iter().nth(pick % self.tasks.len().max(1)) else {
            return;
        };
        let task = task.clone();
        let next = match (state, fails) {
            (TaskKilling, _) => TaskKilled,
            (_, true) => TaskFailed,
            (TaskStaging, false) => TaskStarting,
            (TaskStarting, false) => TaskRunning,
            _ => return,
        };
        self.tell(&task, next);
    }

    fn tell(&mut self, task: &str, state: v1::TaskState) {
        if proto::task::is_terminal(state) {
            self.tasks.remove(task);
        } else {
            self.tasks.insert(task.to_owned(), state);
        }
        self.step(Event::Update(Box::new(status(task, state))));
    }

    /// The connection breaks, and kills on the way are lost with it.
    fn reconnect(&mut self) {
        self.step(Event::Disconnected);
        self.step(Event::Subscribed {
            framework_id: "f".into(),
        });
        for (task, state) in self.tasks.clone() {
            self.step(Event::Update(Box::new(status(&task, state))));
        }
    }

    /// Nothing bad happens for a while.
    fn calm_down(&mut self) {
        for _ in 0..200 {
            self.now += 60_000;
            self.step(Event::Tick);
            self.offer();
            for pick in 0..self.tasks.len() {
                self.progress(pick, false);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Happening {
    Offer,
    Progress(usize),
    Fail(usize),
    Wait(i64),
    Scale(u32),
    NewCommand(u8),
    Reconnect,
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
