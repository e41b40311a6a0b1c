//! Changes that users ask for: each becomes a new root, and a deployment that leads there.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::alarm::Alarm;
use super::service_ports::{self, Exhausted};
use super::{Effects, Engine, GroupChange, Notice, Write};
use crate::app::{self, App, AppId, Invalid, Timestamp, ports};
use crate::deployment::plan::{Cyclic, plan};
use crate::deployment::{Deployment, DeploymentId, Step};
use crate::instance::{Cause, Instance, InstanceId};
use crate::root::{Revision, Root, RootChange, put_back};

#[derive(Debug)]
pub enum Change {
    Create {
        app: Box<App>,
        force: bool,
    },
    Update {
        edits: Vec<Edit>,
        force: bool,
    },
    Delete {
        app: AppId,
        force: bool,
    },
    Restart {
        app: AppId,
        force: bool,
    },
    Kill {
        instances: Vec<InstanceId>,
        then: AfterKill,
    },
    Group {
        change: GroupChange,
        force: bool,
    },
    /// Undoes what the deployment changed.
    RollBack {
        deployment: DeploymentId,
    },
    /// Leaves everything as it is.
    StopDeployment {
        deployment: DeploymentId,
    },
    ResetDelay {
        app: AppId,
    },
}

#[derive(Debug)]
pub struct Edit {
    pub app: AppId,
    pub body: Value,
    /// Keys that are not in `body` keep their value.
    pub partial: bool,
    pub missing: Missing,
    /// Where `body` stands in the request, for errors in it; empty if it is all there is.
    pub at: String,
}

/// What to do about an app that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Create,
    Refuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterKill {
    Replace,
    /// The app shall have as many instances fewer.
    Scale {
        force: bool,
    },
}

#[derive(Debug)]
pub enum Done {
    Deployed {
        version: Timestamp,
        deployment: DeploymentId,
        created: Vec<AppId>,
    },
    Killed(Vec<Instance>),
    Stopped,
    DelayReset,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Invalid(#[from] Invalid),
    #[error("An app with id [{0}] already exists.")]
    Exists(AppId),
    #[error("Group {0} is already created. Use PUT to change this group.")]
    GroupExists(String),
    #[error("An app with the path {0} already exists.")]
    PathExists(AppId),
    #[error("Group '{0}' does not exist")]
    NoGroup(AppId),
    #[error("App '{0}' does not exist")]
    NoApp(AppId),
    #[error("App '{0}' does not exist in version {1}")]
    NoVersion(AppId, Timestamp),
    #[error("DeploymentPlan {0} does not exist")]
    NoDeployment(DeploymentId),
    #[error("Application {0} not found in tasks queue.")]
    NotQueued(AppId),
    #[error(
        "App is locked by one or more deployments. Override with the option '?force=true'. View \
         details at '/v2/deployments/<DEPLOYMENT_ID>'."
    )]
    Locked(Vec<DeploymentId>),
    #[error(
        "Max number ({0}) of running deployments is achieved. Wait for existing deployments to \
         complete or cancel one using force=true parameter."
    )]
    TooManyDeployments(usize),
    #[error(transparent)]
    Cyclic(#[from] Cyclic),
    #[error("All ports in the range [{}-{}] are already in use", .0.start(), .0.end())]
    NoPorts(std::ops::RangeInclusive<u16>),
    #[error("Groups and Applications may not have the same identifier. [{0}]")]
    AppAndGroup(AppId),
    #[error("Group '{0}' does not exist in version {1}")]
    NoGroupVersion(String, Timestamp),
}

impl Refusal {
    /// The same of a document that stands at `path` of the request.
    fn below(self, path: &str) -> Self {
        match self {
            Refusal::Invalid(invalid) => Refusal::Invalid(invalid.below(path)),
            other => other,
        }
    }
}

impl Engine {
    /// Carries out `change` or refuses it and leaves everything as it was.
    pub fn change(&mut self, change: Change, now: Timestamp) -> Result<(Done, Effects), Refusal> {
        let mut effects = Effects::default();
        let done = self.apply(change, now, &mut effects)?;
        self.settle(now, &mut effects);
        self.hold_back(&mut effects);
        Ok((done, effects))
    }

    fn apply(
        &mut self,
        change: Change,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<Done, Refusal> {
        let version = now.later_than(self.last_version);
        let mut target = self.root.clone();
        match change {
            Change::Create { app, force } => {
                if target.apps.contains_key(&app.id) {
                    return Err(Refusal::Exists(app.id.clone()));
                }
                self.put(&mut target, *app, version)?;
                self.deploy(target, version, force, effects)
            }
            Change::Update { edits, force } => {
                for edit in edits {
                    let at = edit.at.clone();
                    let edited = self.edit(&mut target, edit, version);
                    edited.map_err(|refusal| refusal.below(&at))?;
                }
                self.deploy(target, version, force, effects)
            }
            Change::Delete { app, force } => {
                target.apps.remove(&app).ok_or(Refusal::NoApp(app))?;
                self.deploy(target, version, force, effects)
            }
            Change::Restart { app, force } => {
                let revision = target.apps.get_mut(&app).ok_or(Refusal::NoApp(app))?;
                *revision = Arc::new(revision.restarted(version));
                self.deploy(target, version, force, effects)
            }
            Change::Kill { instances, then } => {
                self.kill_all(instances, then, target, version, now, effects)
            }
            Change::Group { change, force } => self.change_group(change, force, version, effects),
            Change::RollBack { deployment } => {
                let running = self.deployments.get(&deployment);
                let running = running.ok_or(Refusal::NoDeployment(deployment))?;
                undo(running, &mut target, version);
                let done = self.deploy(target, version, true, effects)?;
                // Unless the way back took over its apps, it changed nothing that is left to undo.
                self.cancel(deployment, effects);
                Ok(done)
            }
            Change::StopDeployment { deployment } => {
                if !self.deployments.contains_key(&deployment) {
                    return Err(Refusal::NoDeployment(deployment));
                }
                self.cancel(deployment, effects);
                Ok(Done::Stopped)
            }
            Change::ResetDelay { app } => {
                if !self.demands.contains_key(&app) {
                    return Err(Refusal::NotQueued(app));
                }
                self.reset_delay(&app, effects);
                Ok(Done::DelayReset)
            }
        }
    }

    fn edit(&self, target: &mut Root, edit: Edit, version: Timestamp) -> Result<(), Refusal> {
        let Edit {
            app: id,
            body,
            partial,
            missing,
            at: _,
        } = edit;
        let Some(current) = target.apps.get(&id).cloned() else {
            if missing == Missing::Refuse {
                return Err(Refusal::NoApp(id));
            }
            if let Some(wanted) = app::rollback(&body, None).ok().flatten() {
                return Err(Refusal::NoVersion(id, wanted));
            }
            return self.put(target, App::create_as(&id, &body)?, version);
        };
        let app = match app::rollback(&body, Some(current.version))? {
            Some(wanted) => {
                let known = self.history(&id).find(|r| r.version == wanted);
                known.ok_or(Refusal::NoVersion(id, wanted))?.app.clone()
            }
            None => current.app.update(&body, partial)?,
        };
        self.put(target, app, version)
    }

    /// Makes `app` part of `target`, under a new version if anything is different.
    pub(super) fn put(
        &self,
        target: &mut Root,
        mut app: App,
        version: Timestamp,
    ) -> Result<(), Refusal> {
        let current = target.apps.get(&app.id).cloned();
        let others = target.apps.values().filter(|r| r.app.id != app.id);
        let taken: BTreeSet<u16> = others.flat_map(|r| ports::service_ports(&r.app)).collect();
        let previous = current.as_ref().map(|r| &r.app);
        service_ports::assign(&mut app, previous, &taken, self.config.local_ports.clone())
            .map_err(|Exhausted(range)| Refusal::NoPorts(range))?;
        let revision = match &current {
            None => Some(Revision::first(app, version)),
            Some(current) => current.followed_by(app, version),
        };
        if let Some(revision) = revision {
            target
                .apps
                .insert(revision.app.id.clone(), Arc::new(revision));
        }
        Ok(())
    }

    /// Makes `target` the root and begins the deployment that leads there. Nothing is touched
    /// before the last error is ruled out.
    pub(super) fn deploy(
        &mut self,
        target: Root,
        version: Timestamp,
        force: bool,
        effects: &mut Effects,
    ) -> Result<Done, Refusal> {
        let change = RootChange::between(&self.root, &target, version);
        let locks: Vec<DeploymentId> = self.in_the_way(&change).map(|d| d.id).collect();
        if !force && !locks.is_empty() {
            return Err(Refusal::Locked(locks));
        }
        let steps = self.steps_to(&target, &change)?;
        let most = self.config.max_running_deployments;
        if !steps.is_empty() && self.deployments.len() - locks.len() >= most {
            return Err(Refusal::TooManyDeployments(most));
        }

        let id = DeploymentId::new(self.uuid());
        if change.is_empty() {
            let version = self.last_version;
            return Ok(Done::Deployed {
                version,
                deployment: id,
                created: Vec::new(),
            });
        }
        for lock in locks {
            self.cancel(lock, effects);
        }
        let is_new = |app: &&AppId| !self.root.apps.contains_key(app);
        let created = change.apps.keys().filter(is_new).cloned().collect();
        for (app, difference) in &change.apps {
            self.store_app(app, difference.after.as_ref(), effects);
            self.dirty.insert(app.clone());
        }
        for (group, difference) in &change.groups {
            effects.writes.push(match &difference.after {
                Some(after) => Write::Group(group.clone(), after.clone()),
                None => Write::ForgetGroup(group.clone()),
            });
        }
        self.root = target;
        self.last_version = version;
        self.record_change(change.clone(), effects);
        if !steps.is_empty() {
            let deployment = Deployment {
                id,
                version,
                apps: change.apps,
                groups: change.groups,
                steps,
                current: 0,
            };
            tracing::info!(deployment = %id, apps = deployment.apps.len(), "deployment started");
            effects.writes.push(Write::Deployment(deployment.clone()));
            let begun = Notice::StepBegun(Box::new(deployment.clone()));
            effects.notices.push(begun);
            self.deployments.insert(id, deployment);
        }
        Ok(Done::Deployed {
            version,
            deployment: id,
            created,
        })
    }

    fn in_the_way(&self, change: &RootChange) -> impl Iterator<Item = &Deployment> {
        let deployments = self.deployments.values();
        deployments.filter(|d| change.apps.keys().any(|app| d.touches(app)))
    }

    /// How `target` would be reached from here. Refused if there is no way.
    pub(super) fn steps_to(
        &self,
        target: &Root,
        change: &RootChange,
    ) -> Result<Vec<Step>, Refusal> {
        if let Some(id) = target.app_and_group() {
            return Err(Refusal::AppAndGroup(id));
        }
        let unfinished = |app: &&AppId| {
            self.in_the_way(change)
                .any(|d| d.has_unfinished_restart(app))
        };
        let stale = change.apps.keys().filter(unfinished).cloned().collect();
        Ok(plan(&self.root, target, &stale)?)
    }

    fn store_app(&mut self, id: &AppId, after: Option<&Arc<Revision>>, effects: &mut Effects) {
        let Some(after) = after else {
            self.history.remove(id);
            effects.writes.push(Write::ForgetApp(id.clone()));
            return;
        };
        let before = self.root.apps.get(id);
        if before.is_none_or(|b| b.last_config_change_at != after.last_config_change_at) {
            self.reset_delay(id, effects);
        }
        effects.writes.push(Write::App(Arc::clone(after)));
        let history = self.history.entry(id.clone()).or_default();
        history.push_back(Arc::clone(after));
        while history.len() > self.config.max_versions.max(1) {
            if let Some(oldest) = history.pop_front() {
                effects
                    .writes
                    .push(Write::ForgetVersion(id.clone(), oldest.version));
            }
        }
    }

    fn cancel(&mut self, id: DeploymentId, effects: &mut Effects) {
        let Some(deployment) = self.deployments.remove(&id) else {
            return;
        };
        tracing::info!(deployment = %id, "deployment cancelled");
        self.dirty.extend(deployment.apps.keys().cloned());
        effects.writes.push(Write::ForgetDeployment(id));
        let cancelled = Notice::Cancelled(Box::new(deployment));
        effects.notices.push(cancelled);
    }

    fn reset_delay(&mut self, app: &AppId, effects: &mut Effects) {
        if self.backoffs.remove(app).is_some() {
            effects.writes.push(Write::Backoff(app.clone(), None));
        }
        self.alarms.cancel(&Alarm::BackoffOver(app.clone()));
        self.dirty.insert(app.clone());
    }

    fn kill_all(
        &mut self,
        ids: Vec<InstanceId>,
        then: AfterKill,
        mut target: Root,
        version: Timestamp,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<Done, Refusal> {
        let ids: BTreeSet<InstanceId> = ids.into_iter().collect();
        let found = ids.iter().filter_map(|id| self.instances.get(id));
        let victims: Vec<Instance> = found.cloned().collect();
        let done = match then {
            AfterKill::Replace => Done::Killed(victims.clone()),
            AfterKill::Scale { force } => {
                // One that nothing was to replace is not among the instances that are wanted, so
                // a client that repeats its request takes nothing away twice.
                let counts = |v: &&Instance| v.ending.is_none_or(|e| e.cause != Cause::Wanted);
                for victim in victims.iter().filter(counts) {
                    let Some(revision) = target.apps.get_mut(&victim.app) else {
                        continue;
                    };
                    let fewer = revision.app.instances.saturating_sub(1);
                    *revision = Arc::new(revision.scaled(fewer, version));
                }
                self.deploy(target, version, force, effects)?
            }
        };
        let cause = match then {
            AfterKill::Replace => Cause::Killed,
            AfterKill::Scale { .. } => Cause::Wanted,
        };
        for victim in &victims {
            self.kill(&victim.id, cause, now, effects);
        }
        Ok(done)
    }
}

/// Takes back in `target` what `deployment` changed.
fn undo(deployment: &Deployment, target: &mut Root, version: Timestamp) {
    for (id, difference) in &deployment.apps {
        let before = difference.before.as_ref();
        let restored = before.map(|before| Arc::new(before.restored(version)));
        put_back(&mut target.apps, id, &restored);
    }
    for (id, difference) in &deployment.groups {
        put_back(&mut target.groups, id, &difference.before);
    }
}
