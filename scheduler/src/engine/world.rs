//! A cluster in memory around an engine: it loses, delays and kills as a test wants it.

use std::collections::{BTreeMap, BTreeSet};

use super::tests::{at, config, id, offer, status};
use super::*;
use crate::store::Store;

/// The part of the cluster that the engine cannot see but for what it is told.
pub struct World {
    pub engine: Engine,
    store: Store,
    pub now: i64,
    /// Task to state, but for those on agents that are out of reach.
    pub tasks: BTreeMap<String, v1::TaskState>,
    /// Task to its agent.
    agents: BTreeMap<String, String>,
    /// Tasks that go on where nobody sees them.
    pub out_of_reach: BTreeSet<String>,
    /// Tasks that came back from there, beside what was launched in their place.
    pub returned: BTreeSet<String>,
    /// Every task there ever was.
    pub used: BTreeSet<String>,
    /// Every task that was ever killed.
    pub killed: BTreeSet<String>,
    /// Tasks that the engine wants to hear about.
    asked: Vec<String>,
    wants_offers: bool,
    /// Check-ups that are under way.
    checkups: Vec<Checkup>,
    /// What the engine says does not get to the master.
    is_mute: bool,
    offers: u32,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let engine = Engine::new(config(), seed, Snapshot::default(), at(0));
        let mut world = Self {
            engine,
            store: Store::in_memory(),
            now: 0,
            tasks: BTreeMap::new(),
            agents: BTreeMap::new(),
            out_of_reach: BTreeSet::new(),
            returned: BTreeSet::new(),
            used: BTreeSet::new(),
            killed: BTreeSet::new(),
            asked: Vec::new(),
            wants_offers: true,
            checkups: Vec::new(),
            is_mute: false,
            offers: 0,
        };
        world.step(Event::Subscribed {
            framework_id: "f".into(),
        });
        world
    }

    pub fn step(&mut self, event: Event) {
        self.now += 1;
        let effects = self.engine.step(event, at(self.now));
        self.perform(effects);
    }

    fn perform(&mut self, effects: Effects) {
        if !effects.writes.is_empty() {
            self.store.apply(&effects.writes).unwrap();
        }
        if self.is_mute {
            return;
        }
        self.checkups.extend(effects.checkups);
        for call in effects.calls {
            match call {
                Call::Revive => self.wants_offers = true,
                Call::Suppress => self.wants_offers = false,
                Call::Accept { tasks, .. } => {
                    for task in tasks {
                        let agent = task.agent_id.value;
                        let task = task.task_id.value;
                        self.agents.insert(task.clone(), agent);
                        assert!(self.used.insert(task.clone()), "{task} was used before");
                        self.tasks.insert(task, v1::TaskState::TaskStaging);
                    }
                }
                Call::Kill { task, .. } => {
                    if let Some(state) = self.tasks.get_mut(&task) {
                        *state = v1::TaskState::TaskKilling;
                    }
                    self.killed.insert(task);
                }
                Call::Decline { .. } | Call::Acknowledge { .. } => {}
                Call::Reconcile { tasks } => {
                    self.asked.extend(tasks.into_iter().map(|(task, _)| task));
                }
            }
        }
    }

    pub fn change(&mut self, body: serde_json::Value) {
        self.now += 1;
        let edit = Edit {
            app: id("/a"),
            body,
            partial: true,
            missing: Missing::Create,
            at: String::new(),
        };
        let change = Change::Update {
            edits: vec![edit],
            force: true,
        };
        let (_, effects) = self.engine.change(change, at(self.now)).unwrap();
        self.perform(effects);
    }

    pub fn offer(&mut self) {
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
    pub fn progress(&mut self, pick: usize, fails: bool) {
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

    /// Every task does its work and is done.
    pub fn finish_all(&mut self) {
        let tasks: Vec<String> = self.tasks.keys().cloned().collect();
        for task in tasks {
            self.tell(&task, v1::TaskState::TaskFinished);
        }
    }

    fn tell(&mut self, task: &str, state: v1::TaskState) {
        if proto::task::is_terminal(state) {
            self.tasks.remove(task);
        } else {
            self.tasks.insert(task.to_owned(), state);
        }
        self.step(Event::Update(Box::new(status(task, state))));
    }

    /// The `pick`th task's agent is lost with all that runs there; each of its tasks ends in
    /// `state`, or goes on unseen if that is UNREACHABLE.
    pub fn lose_agent(&mut self, pick: usize, state: v1::TaskState) {
        let Some(task) = self.tasks.keys().nth(pick % self.tasks.len().max(1)) else {
            return;
        };
        let lost = self.agents[task].clone();
        let there = |task: &&String| self.agents[*task] == lost;
        let tasks: Vec<String> = self.tasks.keys().filter(there).cloned().collect();
        for task in &tasks {
            self.tasks.remove(task);
            if state == v1::TaskState::TaskUnreachable {
                self.out_of_reach.insert(task.clone());
            }
        }
        for task in tasks {
            self.step(Event::Update(Box::new(status(&task, state))));
        }
    }

    /// Every agent that was out of reach is back, and its tasks are as they were.
    pub fn find_agents(&mut self) {
        for task in std::mem::take(&mut self.out_of_reach) {
            self.returned.insert(task.clone());
            self.tell(&task, v1::TaskState::TaskRunning);
        }
    }

    /// The connection breaks, and kills on the way are lost with it.
    pub fn reconnect(&mut self) {
        self.step(Event::Disconnected);
        self.subscribe();
    }

    /// The process dies, and another takes its place.
    pub fn crash(&mut self) {
        let (seed, now) = (self.now.unsigned_abs(), at(self.now));
        self.engine = Engine::new(config(), seed, self.store.load().unwrap(), now);
        self.checkups.clear();
        self.subscribe();
    }

    /// The process stores what it decides about the next offer, and dies before it says so.
    pub fn crash_on_an_offer(&mut self) {
        self.is_mute = true;
        self.offer();
        self.is_mute = false;
        self.crash();
    }

    /// Every check-up that is under way shows this.
    pub fn check_up(&mut self, is_good: bool) {
        for checkup in std::mem::take(&mut self.checkups) {
            let outcome = match is_good {
                true => Outcome::Connected,
                false => Outcome::Failed("refused".to_owned()),
            };
            let (instance, check) = (checkup.instance, checkup.check);
            self.step(Event::Checked {
                instance,
                check,
                outcome,
            });
        }
    }

    fn subscribe(&mut self) {
        self.step(Event::Subscribed {
            framework_id: "f".into(),
        });
        for (task, state) in self.tasks.clone() {
            self.step(Event::Update(Box::new(status(&task, state))));
        }
        self.answer();
    }

    /// Tells of tasks that the engine asked about and that are not there.
    fn answer(&mut self) {
        for task in std::mem::take(&mut self.asked) {
            if self.tasks.contains_key(&task) {
                continue;
            }
            let state = match self.out_of_reach.contains(&task) {
                true => v1::TaskState::TaskUnreachable,
                false => v1::TaskState::TaskGone,
            };
            self.step(Event::Update(Box::new(status(&task, state))));
        }
    }

    /// Nothing bad happens for a while.
    pub fn calm_down(&mut self) {
        self.find_agents();
        for _ in 0..200 {
            self.now += 60_000;
            self.step(Event::Tick);
            self.answer();
            self.offer();
            for pick in 0..self.tasks.len() {
                self.progress(pick, false);
            }
            self.check_up(true);
        }
    }
}
