//! Status updates: what the master says of our tasks.

use proto::v1;
use proto::v1::network_info::Protocol;
use proto::v1::task_status::Reason;
use serde::{Deserialize, Serialize};

use super::alarm::Alarm;
use super::meaning::{End, Meaning, meaning};
use super::{Call, Effects, Engine, Notice, Write};
use crate::app::{AppId, Timestamp};
use crate::backoff::{Backoff, Policy};
use crate::instance::{Address, Cause, Instance, InstanceId, IpVersion, Phase};

/// The last time an instance of an app ended badly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskFailure {
    pub app: AppId,
    pub instance: InstanceId,
    pub task: String,
    pub state: String,
    pub message: String,
    pub host: String,
    pub agent_id: String,
    pub version: Timestamp,
    pub at: Timestamp,
}

impl Engine {
    pub(super) fn update(&mut self, status: v1::TaskStatus, now: Timestamp, effects: &mut Effects) {
        if let (Some(agent), Some(uuid)) = (&status.agent_id, &status.uuid) {
            effects.calls.push(Call::Acknowledge {
                agent: agent.clone(),
                task: status.task_id.clone(),
                uuid: uuid.clone(),
            });
        }
        let task = &status.task_id.value;
        let known = InstanceId::parse(task).ok();
        let known = known.filter(|id| self.instances.get(id).is_some_and(|i| i.task_id() == *task));
        let reason = status.reason.and_then(|r| Reason::try_from(r).ok());
        match (known, meaning(status.state(), reason)) {
            (None, Meaning::Alive(_)) => {
                tracing::info!(task, "killing a task that no app has any more");
                let agent = status.agent_id.map(|a| a.value);
                effects.calls.push(Call::Kill {
                    task: task.clone(),
                    agent,
                    grace: None,
                });
            }
            (None, Meaning::OutOfReach | Meaning::Over(_)) => {}
            (Some(id), Meaning::Alive(phase)) => self.is_alive(&id, phase, &status, now, effects),
            (Some(id), Meaning::OutOfReach) => self.is_out_of_reach(&id, &status, now, effects),
            (Some(id), Meaning::Over(end)) => self.has_ended(&id, end, &status, now, effects),
        }
    }

    fn is_alive(
        &mut self,
        id: &InstanceId,
        phase: Phase,
        status: &v1::TaskStatus,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let healthy = self.told_health(id, status, now, effects);
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        let before = instance.clone();
        // The master answers STAGING for a task it has not heard of from the agent yet.
        if phase != Phase::Staging || matches!(instance.phase, Phase::Unreachable { .. }) {
            instance.phase = phase;
        }
        if phase == Phase::Running && instance.started_at.is_none() {
            instance.started_at = Some(now);
        }
        instance.healthy = healthy.or(instance.healthy);
        let addresses = addresses(status);
        if !addresses.is_empty() {
            instance.addresses = addresses;
        }
        if *instance != before {
            let instance = instance.clone();
            if instance.phase != before.phase {
                effects.notices.push(notice_of(&instance, status));
            }
            if let Some(is_alive) = instance
                .healthy
                .filter(|_| instance.healthy != before.healthy)
            {
                let instance = Box::new(instance.clone());
                effects.notices.push(Notice::Health { instance, is_alive });
            }
            self.dirty.insert(instance.app.clone());
            // Back from an agent out of reach it may still have to start.
            self.watch(&instance, now);
            effects.writes.push(Write::Instance(instance));
        }
    }

    fn is_out_of_reach(
        &mut self,
        id: &InstanceId,
        status: &v1::TaskStatus,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        if matches!(instance.phase, Phase::Unreachable { .. }) {
            return;
        }
        let told = status.unreachable_time.as_ref();
        let since = told.map(|t| Timestamp::from_millis(t.nanoseconds / 1_000_000));
        let since = since.unwrap_or(now).min(now);
        instance.phase = Phase::Unreachable { since };
        let instance = instance.clone();
        effects.notices.push(notice_of(&instance, status));
        self.dirty.insert(instance.app.clone());
        effects.writes.push(Write::Instance(instance));
    }

    fn has_ended(
        &mut self,
        id: &InstanceId,
        end: End,
        status: &v1::TaskStatus,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let ill = self.cause_of_ill_health(id);
        let Some(instance) = self.remove(id, effects) else {
            return;
        };
        if status.reason == Some(Reason::ContainerLaunchFailed.into()) {
            let (agent, ports) = (&instance.agent_id, &instance.ports);
            self.shunned.add(agent, ports, now);
        }
        effects.notices.push(notice_of(&instance, status));
        let cause = instance.ending.map(|ending| ending.cause);
        let was_wanted = cause.is_some_and(|cause| match cause {
            Cause::Wanted | Cause::Killed => true,
            Cause::Overdue | Cause::Unhealthy => false,
        });
        // By us, or by its agent.
        let was_unhealthy = cause == Some(Cause::Unhealthy) || status.healthy == Some(false);
        if (end.is_remembered() || was_unhealthy) && !was_wanted {
            let mut failure = failure(&instance, status, now);
            if cause == Some(Cause::Unhealthy) {
                let why = ill.unwrap_or_default();
                failure.message = format!("Killed because a health check failed: {why}");
            }
            tracing::info!(
                task = failure.task,
                state = failure.state,
                message = failure.message,
                "task failed"
            );
            let app = instance.app.clone();
            effects
                .writes
                .push(Write::Failure(app.clone(), Some(failure.clone())));
            self.failures.insert(app, failure);
        }
        if end.delays_the_next() && !was_wanted {
            self.back_off(&instance, now, effects);
        }
    }

    fn back_off(&mut self, instance: &Instance, now: Timestamp, effects: &mut Effects) {
        let goal = self.goal(&instance.app);
        let Some(revision) = goal.revision() else {
            return;
        };
        // A definition that failed does not delay the one that mends it.
        if revision.last_config_change_at != instance.definition {
            return;
        }
        let last = self.backoffs.get(&instance.app).copied();
        let backoff = Backoff::after_failure(last, Policy::of(&revision.app), now);
        self.alarms
            .set(backoff.until(), Alarm::BackoffOver(instance.app.clone()));
        let app = instance.app.clone();
        effects
            .writes
            .push(Write::Backoff(app.clone(), Some(backoff)));
        self.backoffs.insert(app, backoff);
    }
}

fn notice_of(instance: &Instance, status: &v1::TaskStatus) -> Notice {
    Notice::Status {
        instance: Box::new(instance.clone()),
        state: status.state().as_str_name(),
        message: status.message.clone().unwrap_or_default(),
    }
}

fn failure(instance: &Instance, status: &v1::TaskStatus, now: Timestamp) -> TaskFailure {
    TaskFailure {
        app: instance.app.clone(),
        instance: instance.id.clone(),
        task: instance.task_id(),
        state: status.state().as_str_name().to_owned(),
        message: status.message.clone().unwrap_or_default(),
        host: instance.site.hostname.clone(),
        agent_id: instance.agent_id.clone(),
        version: instance.version,
        at: now,
    }
}

fn addresses(status: &v1::TaskStatus) -> Vec<Address> {
    let infos = status
        .container_status
        .iter()
        .flat_map(|c| &c.network_infos);
    let address = |a: &v1::network_info::IpAddress| {
        let version = match a.protocol() {
            Protocol::IPv4 => IpVersion::V4,
            Protocol::IPv6 => IpVersion::V6,
        };
        a.ip_address.clone().map(|ip| Address { ip, version })
    };
    infos
        .flat_map(|info| &info.ip_addresses)
        .filter_map(address)
        .collect()
}
