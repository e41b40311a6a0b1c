//! What has to be looked at again when time has passed.
//!
//! An alarm is only a reminder: whether there is anything to do is decided when it rings.

use std::collections::BTreeSet;

use super::{Call, Effects, Engine, Write};
use crate::app::{AppId, Timestamp, UnreachableStrategy};
use crate::backoff::later;
use crate::instance::{Cause, Instance, InstanceId, Phase};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    BackoffOver(AppId),
    /// Was it killed? Did it start? Is it still out of reach?
    Look(InstanceId),
    /// Is it healthy, by this check of its app?
    Check(InstanceId, usize),
    Reconcile,
}

#[derive(Debug, Default)]
pub(super) struct Alarms(BTreeSet<(Timestamp, Alarm)>);

impl Alarms {
    pub(super) fn set(&mut self, at: Timestamp, alarm: Alarm) {
        self.0.insert((at, alarm));
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    fn pop(&mut self, now: Timestamp) -> Option<Alarm> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, alarm)| alarm)
    }

    pub(super) fn cancel(&mut self, alarm: &Alarm) {
        self.0.retain(|(_, set)| set != alarm);
    }
}

impl Engine {
    /// Handles every alarm that is due.
    pub(super) fn ring(&mut self, now: Timestamp, effects: &mut Effects) {
        while let Some(alarm) = self.alarms.pop(now) {
            match alarm {
                Alarm::BackoffOver(app) => {
                    self.dirty.insert(app);
                }
                Alarm::Look(id) => self.look(&id, now, effects),
                Alarm::Check(id, at) => self.check_is_due(&id, at, now, effects),
                Alarm::Reconcile => self.reconcile(now, effects),
            }
        }
    }

    /// Sets the alarms that the present state of `instance` calls for.
    pub(super) fn watch(&mut self, instance: &Instance, now: Timestamp) {
        self.attend(instance, now);
        if let Some(ending) = instance.ending {
            let retry = later(ending.asked_at, self.config.kill_retry_timeout).max(now);
            self.alarms.set(retry, Alarm::Look(instance.id.clone()));
        }
        match instance.phase {
            Phase::Staging | Phase::Starting => {
                let overdue = later(instance.staged_at, self.config.task_launch_timeout);
                self.alarms.set(overdue, Alarm::Look(instance.id.clone()));
            }
            Phase::Unreachable { since } => {
                let Some((inactive, expunge)) = self.patience(&instance.app, since) else {
                    return;
                };
                // What is past was seen to when the app was driven.
                for at in [inactive, expunge].into_iter().filter(|at| *at > now) {
                    self.alarms.set(at, Alarm::Look(instance.id.clone()));
                }
            }
            Phase::Running | Phase::Killing => {}
        }
    }

    /// When an instance of `app`, out of reach `since`, is replaced and when it is forgotten. None:
    /// never.
    pub(super) fn patience(&self, app: &AppId, since: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let goal = self.goal(app);
        let Some(revision) = goal.revision() else {
            return Some((since, since));
        };
        match revision.app.unreachable_strategy {
            UnreachableStrategy::Disabled => None,
            UnreachableStrategy::Replace {
                inactive_after_seconds,
                expunge_after_seconds,
            } => {
                let after = |s: u32| later(since, std::time::Duration::from_secs(s.into()));
                Some((after(inactive_after_seconds), after(expunge_after_seconds)))
            }
        }
    }

    /// Forgets the instances of `app` that are out of reach for longer than the app, as it is
    /// wanted now, has patience, and looks again at the others when that is over.
    pub(super) fn expunge(&mut self, app: &AppId, now: Timestamp, effects: &mut Effects) {
        let unreachable = self
            .instances(app)
            .filter(|i| matches!(i.phase, Phase::Unreachable { .. }));
        let (forgotten, kept): (Vec<Instance>, Vec<Instance>) =
            unreachable.cloned().partition(|i| self.is_expunged(i, now));
        for instance in forgotten {
            self.remove(&instance.id, effects);
        }
        for instance in kept {
            self.watch(&instance, now);
        }
    }

    fn is_expunged(&self, instance: &Instance, now: Timestamp) -> bool {
        match instance.phase {
            Phase::Unreachable { since } => self
                .patience(&instance.app, since)
                .is_some_and(|(_, expunge)| expunge <= now),
            Phase::Staging | Phase::Starting | Phase::Running | Phase::Killing => false,
        }
    }

    fn look(&mut self, id: &InstanceId, now: Timestamp, effects: &mut Effects) {
        let Some(instance) = self.instances.get(id) else {
            return;
        };
        match instance.phase {
            // What comes of it is decided with all that is known of the app.
            Phase::Unreachable { .. } => {
                self.dirty.insert(instance.app.clone());
            }
            Phase::Staging | Phase::Starting if instance.ending.is_none() => {
                if later(instance.staged_at, self.config.task_launch_timeout) <= now {
                    self.kill(&id.clone(), Cause::Overdue, now, effects);
                }
                return;
            }
            Phase::Staging | Phase::Starting | Phase::Running | Phase::Killing => {}
        }
        let retry_after = self.config.kill_retry_timeout;
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        if let Some(ending) = &mut instance.ending
            && later(ending.asked_at, retry_after) <= now
        {
            ending.asked_at = now;
            let instance = instance.clone();
            effects.calls.push(self.kill_call(&instance));
            self.watch(&instance, now);
        }
    }

    /// Asks the master what it knows of our tasks: of each, and of any that we do not know.
    pub(super) fn reconcile(&mut self, now: Timestamp, effects: &mut Effects) {
        self.alarms.cancel(&Alarm::Reconcile);
        if !self.link.is_up() {
            return;
        }
        let task = |i: &Instance| (i.task_id(), i.agent_id.clone());
        let tasks: Vec<_> = self.instances.values().map(task).collect();
        if !tasks.is_empty() {
            effects.calls.push(Call::Reconcile { tasks });
        }
        effects.calls.push(Call::Reconcile { tasks: Vec::new() });
        self.alarms.set(
            later(now, self.config.reconciliation_interval),
            Alarm::Reconcile,
        );
    }

    /// The master has a framework id for us, and forgot what we had told it about offers.
    pub(super) fn subscribed(&mut self, id: String, now: Timestamp, effects: &mut Effects) {
        if self.framework_id.as_ref().is_some_and(|known| *known != id) {
            // Tasks belong to the framework that started them: ours are gone with the old id.
            self.lose_all(effects);
        }
        if self.framework_id.as_ref() != Some(&id) {
            self.framework_id = Some(id.clone());
            effects.writes.push(Write::FrameworkId(Some(id)));
        }
        self.link = super::Link::new();
        self.reconcile(now, effects);
        // What was said while nobody listened is lost.
        let ending: Vec<_> = self
            .instances
            .values()
            .filter(|i| i.ending.is_some())
            .collect();
        effects
            .calls
            .extend(ending.into_iter().map(|i| self.kill_call(i)));
        // Agents that had to register again may not have been there for the first question.
        let again = later(now, self.config.reconciliation_initial_delay);
        self.alarms.set(again, Alarm::Reconcile);
    }

    pub(super) fn lose_all(&mut self, effects: &mut Effects) {
        let all: Vec<_> = self.instances.keys().cloned().collect();
        for id in all {
            self.remove(&id, effects);
        }
    }
}
