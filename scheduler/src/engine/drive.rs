//! Brings each dirty app nearer to its goal, and deployments with it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Call, Demand, Effects, Engine, Notice, Write, victims};
use crate::app::{App, AppId, Timestamp};
use crate::deployment::replace::{self, Census};
use crate::deployment::{Action, DeploymentId, Goal};
use crate::instance::{Cause, Ending, Instance, InstanceId, Phase};

/// What an instance counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Ready,
    Unready,
    /// On its way out, but its resources are still taken.
    Ending,
    /// Out of reach for so long that it no longer counts.
    Absent,
}

impl Engine {
    /// Until nothing is dirty any more. Ends: a deployment's step is only ever counted upwards,
    /// and driving an app marks it dirty only for an instance that it kills or forgets, which
    /// happens to each of them once.
    pub(super) fn settle(&mut self, now: Timestamp, effects: &mut Effects) {
        while let Some(app) = self.dirty.pop_first() {
            self.drive(&app, now, effects);
            if let Some(id) = self.deployment_of(&app).map(|d| d.id) {
                self.advance(id, now, effects);
            }
        }
        self.ask_for_offers(now, effects);
    }

    fn drive(&mut self, app: &AppId, now: Timestamp, effects: &mut Effects) {
        self.expunge(app, now, effects);
        let goal = self.goal(app);
        let (launch, kill) = match &goal {
            Goal::Gone => (
                0,
                self.standing_up(app, now).map(|i| i.id.clone()).collect(),
            ),
            Goal::Keep { revision, count } => self.keep(&revision.app, *count, now),
            Goal::Replace { revision } => {
                self.replace(&revision.app, revision.last_config_change_at, now)
            }
        };
        for id in kill {
            self.kill(&id, Cause::Wanted, now, effects);
        }
        if launch == 0 {
            self.demands.remove(app);
        } else {
            let new = || Demand::since(now);
            self.demands.entry(app.clone()).or_insert_with(new).count = launch;
        }
        if goal == Goal::Gone && !self.by_app.contains_key(app) {
            if self.backoffs.remove(app).is_some() {
                effects.writes.push(Write::Backoff(app.clone(), None));
            }
            if self.failures.remove(app).is_some() {
                effects.writes.push(Write::Failure(app.clone(), None));
            }
        }
    }

    fn keep(&self, app: &App, count: u32, now: Timestamp) -> (u32, Vec<InstanceId>) {
        let standing: Vec<_> = self.standing_up(&app.id, now).collect();
        let surplus = standing.len().saturating_sub(count as usize);
        let ending = self
            .instances(&app.id)
            .filter(|i| self.standing(i, now) == Standing::Ending);
        let present = u32::try_from(standing.len() + ending.count()).unwrap_or(u32::MAX);
        (
            count.saturating_sub(present),
            victims::choose(app, standing, surplus),
        )
    }

    fn replace(&self, app: &App, definition: Timestamp, now: Timestamp) -> (u32, Vec<InstanceId>) {
        let census = self.census(&app.id, definition, now);
        let moves = replace::moves(app.instances, app.upgrade_strategy, census);
        let (new, old): (Vec<_>, Vec<_>) = self
            .standing_up(&app.id, now)
            .partition(|i| i.definition == definition);
        let mut kill = victims::choose(app, old, moves.kill_old as usize);
        kill.extend(victims::choose(app, new, moves.kill_new as usize));
        (moves.launch, kill)
    }

    fn census(&self, app: &AppId, definition: Timestamp, now: Timestamp) -> Census {
        let mut census = Census::default();
        for instance in self.instances(app) {
            let is_new = instance.definition == definition;
            let place = match (self.standing(instance, now), is_new) {
                (Standing::Ready, true) => &mut census.new_ready,
                (Standing::Ready, false) => &mut census.old_ready,
                (Standing::Unready, true) => &mut census.new_unready,
                (Standing::Unready, false) => &mut census.old_unready,
                (Standing::Ending, _) => &mut census.ending,
                (Standing::Absent, _) => continue,
            };
            *place += 1;
        }
        census
    }

    fn standing(&self, instance: &Instance, now: Timestamp) -> Standing {
        if let Phase::Unreachable { since } = instance.phase
            && self
                .patience(&instance.app, since)
                .is_some_and(|(inactive, _)| inactive <= now)
        {
            return Standing::Absent;
        }
        if instance.ending.is_some() {
            Standing::Ending
        } else if instance.is_ready() {
            Standing::Ready
        } else {
            Standing::Unready
        }
    }

    /// Instances that count towards the goal.
    fn standing_up(&self, app: &AppId, now: Timestamp) -> impl Iterator<Item = &Instance> {
        self.instances(app)
            .filter(move |i| matches!(self.standing(i, now), Standing::Ready | Standing::Unready))
    }

    /// Tells an instance to end, unless it was told already.
    pub(super) fn kill(
        &mut self,
        id: &InstanceId,
        cause: Cause,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        if let Some(ending) = &mut instance.ending {
            // Killed before, and now its place is not wanted any more either.
            if ending.cause == Cause::Killed && cause == Cause::Wanted {
                ending.cause = cause;
                effects.writes.push(Write::Instance(instance.clone()));
            }
            return;
        }
        instance.ending = Some(Ending {
            asked_at: now,
            cause,
        });
        let instance = instance.clone();
        self.watch(&instance, now);
        effects.calls.push(self.kill_call(&instance));
        self.dirty.insert(instance.app.clone());
        effects.writes.push(Write::Instance(instance));
    }

    pub(super) fn kill_call(&self, instance: &Instance) -> Call {
        let version = self
            .history(&instance.app)
            .find(|r| r.version == instance.version);
        let seconds = version.and_then(|r| r.app.task_kill_grace_period_seconds);
        Call::Kill {
            task: instance.task_id(),
            agent: Some(instance.agent_id.clone()),
            grace: seconds.map(|s| Duration::from_secs(s.into())),
        }
    }

    /// Moves a deployment on over every step whose goals are reached.
    pub(super) fn advance(&mut self, id: DeploymentId, now: Timestamp, effects: &mut Effects) {
        let Some(deployment) = self.deployments.get(&id) else {
            return;
        };
        let mut current = deployment.current;
        if let Some(step) = deployment.steps.get(current)
            && !self.is_reached(step, now)
        {
            return;
        }
        current += 1;
        let Some(deployment) = self.deployments.get_mut(&id) else {
            return;
        };
        let done = Notice::StepDone(Box::new(deployment.clone()));
        effects.notices.push(done);
        deployment.current = current;
        self.dirty.extend(deployment.apps.keys().cloned());
        if deployment.is_finished() {
            tracing::info!(deployment = %id, "deployment finished");
            let done = self.deployments.remove(&id).map(Box::new);
            effects.notices.extend(done.map(Notice::Deployed));
            effects.writes.push(Write::ForgetDeployment(id));
        } else {
            effects.writes.push(Write::Deployment(deployment.clone()));
            let begun = Notice::StepBegun(Box::new(deployment.clone()));
            effects.notices.push(begun);
        }
    }

    fn is_reached(&self, step: &BTreeMap<AppId, Action>, now: Timestamp) -> bool {
        step.iter()
            .all(|(app, action)| match (action, self.goal(app)) {
                // Registering an app takes no time.
                (Action::Start, _) => true,
                (_, Goal::Gone) => !self.by_app.contains_key(app),
                (_, Goal::Replace { revision }) => {
                    let census = self.census(app, revision.last_config_change_at, now);
                    replace::is_complete(revision.app.instances, census)
                }
                (_, Goal::Keep { count, .. }) => {
                    let standings: Vec<_> =
                        self.instances(app).map(|i| self.standing(i, now)).collect();
                    let is = |wanted| standings.iter().filter(|s| **s == wanted).count();
                    is(Standing::Ready) == count as usize
                        && is(Standing::Unready) + is(Standing::Ending) == 0
                }
            })
    }
}
