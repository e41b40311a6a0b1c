//! The engine: everything the scheduler knows, and what follows from each event.
//!
//! `step(event, now) -> effects` is all there is; nothing here does I/O, reads a clock or draws
//! randomness that was not seeded. The engine is level-triggered: an event only changes what is
//! known and marks apps as *dirty*; then each dirty app is driven towards its goal, which is
//! computed anew from the root and the running deployments. So nothing depends on the order of
//! events, and a restarted process goes on from what was stored.
//!
//! ```text
//! change ─┐                  ┌─► drive each dirty app: kill, or ask for launches
//! status ─┼─► state, dirty ──┼─► finish steps of deployments (which dirties more apps)
//! alarm  ─┘                  └─► revive or suppress offers
//! offers ───► place waiting instances: accept or decline
//! ```

mod alarm;
mod change;
mod drive;
mod effects;
mod groups;
mod health;
mod history;
mod meaning;
mod notice;
mod offers;
mod search;
mod service_ports;
mod shunned;
mod status;
mod victims;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use proto::v1;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

use crate::app::{AppId, Timestamp};
use crate::backoff::Backoff;
use crate::deployment::{Deployment, DeploymentId, Goal};
use crate::health::Outcome;
use crate::instance::{Instance, InstanceId};
use crate::root::{Revision, Root, RootChange};

pub use change::{AfterKill, Change, Done, Edit, Missing, Refusal};
pub use effects::{Call, Effects, Write};
pub use groups::{GroupChange, GroupId, is_below};
pub use health::{Checkup, Target};
pub use notice::Notice;
pub use offers::{Demand, Unused};
pub use status::TaskFailure;

use alarm::{Alarm, Alarms};
use health::Watch;
use offers::Link;
use shunned::Shunned;

#[derive(Debug, Clone)]
pub struct Config {
    pub max_instances_per_offer: usize,
    pub decline_offer_duration: Duration,
    pub task_launch_timeout: Duration,
    pub kill_retry_timeout: Duration,
    pub reconciliation_initial_delay: Duration,
    pub reconciliation_interval: Duration,
    pub max_running_deployments: usize,
    /// Versions kept per app, the current one included.
    pub max_versions: usize,
    /// Service ports are chosen here.
    pub local_ports: RangeInclusive<u16>,
}

/// What survives the process.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub framework_id: Option<String>,
    pub root: Root,
    /// Oldest first; the last one is current.
    pub history: BTreeMap<AppId, VecDeque<Arc<Revision>>>,
    pub deployments: Vec<Deployment>,
    pub instances: Vec<Instance>,
    /// Oldest first.
    pub changes: VecDeque<RootChange>,
    pub backoffs: BTreeMap<AppId, Backoff>,
    pub failures: BTreeMap<AppId, TaskFailure>,
}

#[derive(Debug)]
pub enum Event {
    Subscribed {
        framework_id: String,
    },
    Disconnected,
    /// The master will never know our framework id again.
    Removed,
    Offers(Vec<v1::Offer>),
    Update(Box<v1::TaskStatus>),
    /// What a check-up has shown.
    Checked {
        instance: InstanceId,
        check: usize,
        outcome: Outcome,
    },
    /// Time has passed.
    Tick,
}

pub struct Engine {
    config: Config,
    rng: StdRng,
    framework_id: Option<String>,
    link: Link,
    root: Root,
    last_version: Timestamp,
    history: BTreeMap<AppId, VecDeque<Arc<Revision>>>,
    changes: VecDeque<RootChange>,
    deployments: BTreeMap<DeploymentId, Deployment>,
    instances: BTreeMap<InstanceId, Instance>,
    by_app: BTreeMap<AppId, BTreeSet<InstanceId>>,
    backoffs: BTreeMap<AppId, Backoff>,
    demands: BTreeMap<AppId, Demand>,
    failures: BTreeMap<AppId, TaskFailure>,
    shunned: Shunned,
    /// Of instances whose app has checks, by check.
    health: BTreeMap<InstanceId, Vec<Watch>>,
    dirty: BTreeSet<AppId>,
    alarms: Alarms,
}

impl Engine {
    pub fn new(config: Config, seed: u64, snapshot: Snapshot, now: Timestamp) -> Self {
        let last_version = last_version(&snapshot);
        let mut engine = Self {
            config,
            rng: StdRng::seed_from_u64(seed),
            framework_id: snapshot.framework_id,
            link: Link::Down,
            last_version,
            root: snapshot.root,
            history: snapshot.history,
            changes: snapshot.changes,
            deployments: snapshot
                .deployments
                .into_iter()
                .map(|d| (d.id, d))
                .collect(),
            instances: BTreeMap::new(),
            by_app: BTreeMap::new(),
            backoffs: snapshot.backoffs,
            demands: BTreeMap::new(),
            failures: snapshot.failures,
            shunned: Shunned::default(),
            health: BTreeMap::new(),
            dirty: BTreeSet::new(),
            alarms: Alarms::default(),
        };
        for instance in snapshot.instances {
            engine.watch(&instance, now);
            engine.insert(instance);
        }
        for (app, backoff) in &engine.backoffs {
            let over = Alarm::BackoffOver(app.clone());
            engine.alarms.set(backoff.until(), over);
        }
        let known = engine.root.apps.keys().chain(engine.by_app.keys()).cloned();
        engine.dirty = known
            .chain(engine.deployments.values().flat_map(app_ids))
            .collect();
        engine
    }

    pub fn step(&mut self, event: Event, now: Timestamp) -> Effects {
        let mut effects = Effects::default();
        self.ring(now, &mut effects);
        match event {
            Event::Subscribed { framework_id } => {
                self.subscribed(framework_id, now, &mut effects);
            }
            Event::Disconnected => self.link = Link::Down,
            Event::Removed => {
                self.link = Link::Down;
                self.framework_id = None;
                effects.writes.push(Write::FrameworkId(None));
                self.lose_all(&mut effects);
            }
            Event::Offers(offers) => self.consider(offers, now, &mut effects),
            Event::Update(status) => self.update(*status, now, &mut effects),
            Event::Checked {
                instance,
                check,
                outcome,
            } => self.checked(&instance, check, outcome, now, &mut effects),
            Event::Tick => {}
        }
        self.settle(now, &mut effects);
        self.hold_back(&mut effects);
        effects
    }

    /// Without a subscription nothing can be said; the next one begins with all that matters.
    fn hold_back(&self, effects: &mut Effects) {
        if !self.link.is_up() {
            effects.calls.clear();
        }
    }

    /// When `step` wants to be called again even if nothing happens.
    pub fn next_alarm(&self) -> Option<Timestamp> {
        self.alarms.next()
    }

    pub fn framework_id(&self) -> Option<&str> {
        self.framework_id.as_deref()
    }

    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Oldest first; the last one is current.
    pub fn history(&self, app: &AppId) -> impl DoubleEndedIterator<Item = &Arc<Revision>> {
        self.history.get(app).into_iter().flatten()
    }

    pub fn deployments(&self) -> impl Iterator<Item = &Deployment> {
        self.deployments.values()
    }

    pub fn deployment_of(&self, app: &AppId) -> Option<&Deployment> {
        self.deployments.values().find(|d| d.touches(app))
    }

    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.instances.get(id)
    }

    pub fn all_instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    pub fn instances(&self, app: &AppId) -> impl Iterator<Item = &Instance> {
        self.by_app
            .get(app)
            .into_iter()
            .flatten()
            .filter_map(|id| self.instances.get(id))
    }

    /// Apps that wait for instances to be launched.
    pub fn demands(&self) -> impl Iterator<Item = (&AppId, &Demand)> {
        self.demands.iter()
    }

    /// When a backed-off app may launch again, if that is still to come.
    pub fn delayed_until(&self, app: &AppId, now: Timestamp) -> Option<Timestamp> {
        let backoff = self.backoffs.get(app).filter(|b| !b.is_over(now));
        backoff.map(Backoff::until)
    }

    pub fn last_failure(&self, app: &AppId) -> Option<&TaskFailure> {
        self.failures.get(app)
    }

    fn goal(&self, app: &AppId) -> Goal {
        let of_deployment = self.deployments.values().find_map(|d| d.goal(app));
        of_deployment.unwrap_or_else(|| match self.root.apps.get(app) {
            Some(revision) => Goal::keep(revision),
            None => Goal::Gone,
        })
    }

    fn insert(&mut self, instance: Instance) {
        self.by_app
            .entry(instance.app.clone())
            .or_default()
            .insert(instance.id.clone());
        self.instances.insert(instance.id.clone(), instance);
    }

    fn remove(&mut self, id: &InstanceId, effects: &mut Effects) -> Option<Instance> {
        let instance = self.instances.remove(id)?;
        self.health.remove(id);
        if let Some(ids) = self.by_app.get_mut(&instance.app) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_app.remove(&instance.app);
            }
        }
        effects.writes.push(Write::ForgetInstance(id.clone()));
        self.dirty.insert(instance.app.clone());
        Some(instance)
    }

    fn uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.random()).into_uuid()
    }
}

fn app_ids(deployment: &Deployment) -> impl Iterator<Item = AppId> {
    deployment.apps.keys().cloned()
}

fn last_version(snapshot: &Snapshot) -> Timestamp {
    let of_apps = snapshot.history.values().flatten().map(|r| r.version);
    let of_changes = snapshot.changes.iter().map(|c| c.version);
    let of_deployments = snapshot.deployments.iter().map(|d| d.version);
    of_apps
        .chain(of_changes)
        .chain(of_deployments)
        .max()
        .unwrap_or(Timestamp::from_millis(0))
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
