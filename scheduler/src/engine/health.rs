//! The health of instances: when the scheduler looks itself, and what follows from what it or an agent found.
//!
//! ```text
//!            min(interval, 5 s)          alarm            checked
//! Idle ─ runs ──────────────────► Due ──────────► Asked ──────────► Due …
//!   ▲                              └── does not run any more ──┘
//!   └───────────────────────────────────────┘
//! ```
//!
//! Source: spec/marathon-api.md, section 7.

use std::sync::Arc;
use std::time::Duration;

use proto::v1;
use proto::v1::task_status::Reason;

use super::alarm::Alarm;
use super::{Effects, Engine, Notice, Write};
use crate::app::health::{CheckPort, HealthCheck, Probe, Scheme};
use crate::app::{App, Networks, Timestamp, ports};
use crate::backoff::later;
use crate::health::{self, Health, Outcome, Verdict};
use crate::instance::{Cause, Instance, InstanceId, Phase};
use crate::root::Revision;

/// One check of one instance.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    health: Health,
    turn: Turn,
}

/// Of a check that the scheduler makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Turn {
    #[default]
    Idle,
    Due(Timestamp),
    Asked,
}

/// A look that the shell is to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkup {
    pub instance: InstanceId,
    /// Index into the app's checks.
    pub check: usize,
    pub target: Target,
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Http { url: String },
    Tcp { host: String, port: u16 },
}

/// The first look comes at least so soon.
const FIRST: Duration = Duration::from_secs(5);

impl Engine {
    /// What is known of each health check of an instance, in the order of the app.
    pub fn health(&self, id: &InstanceId) -> impl Iterator<Item = &Health> {
        self.health
            .get(id)
            .into_iter()
            .flatten()
            .map(|it| &it.health)
    }

    /// Sets the alarms for an instance that runs.
    pub(super) fn attend(&mut self, instance: &Instance, now: Timestamp) {
        if !is_looked_at(instance) {
            return;
        }
        let Some(revision) = self.definition_of(instance) else {
            return;
        };
        let checks = &revision.app.health_checks;
        if checks.is_empty() {
            return;
        }
        let watches = self.health.entry(instance.id.clone()).or_default();
        watches.resize(checks.len(), Watch::default());
        for (at, (check, watch)) in checks.iter().zip(watches).enumerate() {
            if check.probe.is_by_agent() || watch.turn != Turn::Idle {
                continue;
            }
            let due = later(now, interval(check).min(FIRST));
            watch.turn = Turn::Due(due);
            self.alarms.set(due, Alarm::Check(instance.id.clone(), at));
        }
    }

    pub(super) fn check_is_due(
        &mut self,
        id: &InstanceId,
        at: usize,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Some((instance, check)) = self.looked_at(id, at) else {
            return;
        };
        let is_looked_at = is_looked_at(&instance);
        let Some(watch) = self.watch_of(id, at) else {
            return;
        };
        match watch.turn {
            Turn::Due(due) if due <= now => {}
            Turn::Idle | Turn::Due(_) | Turn::Asked => return,
        }
        if !is_looked_at {
            watch.turn = Turn::Idle;
            return;
        }
        watch.turn = Turn::Asked;
        let app = self.definition_of(&instance);
        let target = app.and_then(|revision| target(&revision.app, &instance, &check.probe));
        match target {
            Some(target) => effects.checkups.push(Checkup {
                instance: id.clone(),
                check: at,
                target,
                timeout: Duration::from_secs(check.timeout_seconds.into()),
            }),
            None => {
                let nowhere = "its port has no address that the scheduler knows".to_owned();
                self.checked(id, at, Outcome::Failed(nowhere), now, effects);
            }
        }
    }

    /// What the scheduler has seen itself.
    pub(super) fn checked(
        &mut self,
        id: &InstanceId,
        at: usize,
        outcome: Outcome,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Some((instance, check)) = self.looked_at(id, at) else {
            return;
        };
        let next = later(now, interval(&check));
        let Some(watch) = self.watch_of(id, at).filter(|it| it.turn == Turn::Asked) else {
            return;
        };
        if !is_looked_at(&instance) {
            watch.turn = Turn::Idle;
            return;
        }
        watch.turn = Turn::Due(next);
        let most = check.max_consecutive_failures;
        let mut is_over = false;
        match health::verdict(&check.probe, outcome) {
            Verdict::Success => watch.health.succeeded(now),
            Verdict::Failure(_)
                if watch.health.first_success.is_none() && is_in_grace(&instance, &check, now) => {}
            Verdict::Failure(cause) => {
                watch.health.failed(cause, now);
                effects.notices.push(Notice::CheckFailed {
                    app: instance.app.clone(),
                    instance: id.clone(),
                    check: Box::new(check.clone()),
                });
                is_over = most > 0 && watch.health.consecutive_failures >= most;
            }
            Verdict::Neither => {}
        }
        self.alarms.set(next, Alarm::Check(id.clone(), at));
        let healthy = health::all(self.health(id));
        self.is_healthy(id, healthy, effects);
        if is_over {
            tracing::info!(task = instance.task_id(), "killing an unhealthy task");
            effects.notices.push(Notice::UnhealthyKill {
                reason: self.cause_of_ill_health(id).unwrap_or_default(),
                instance: Box::new(instance),
            });
            self.kill(id, Cause::Unhealthy, now, effects);
        }
    }

    /// The health of an instance with what its agent says; `None` when nothing follows from that.
    pub(super) fn told_health(
        &mut self,
        id: &InstanceId,
        status: &v1::TaskStatus,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Option<bool> {
        let told = status.healthy?;
        let app = self.instances.get(id)?.app.clone();
        let revision = self.definition_of(self.instances.get(id)?);
        let checks = revision.as_ref().map(|it| &it.app.health_checks);
        let by_agent =
            |checks: &Vec<HealthCheck>| checks.iter().position(|c| c.probe.is_by_agent());
        let Some((checks, at)) = checks.and_then(|it| Some((it, by_agent(it)?))) else {
            return Some(told);
        };
        let watches = self.health.entry(id.clone()).or_default();
        watches.resize(checks.len(), Watch::default());
        let health = watches.get_mut(at).map(|it| &mut it.health)?;
        // Every status of the task repeats it; only one with this reason is a new finding.
        let reason = status.reason.and_then(|it| Reason::try_from(it).ok());
        if reason == Some(Reason::TaskHealthCheckStatusUpdated) || !health.is_known() {
            match told {
                true => health.succeeded(now),
                false => {
                    health.failed(status.message.clone().unwrap_or_default(), now);
                    let check = checks.get(at).cloned().map(Box::new);
                    effects
                        .notices
                        .extend(check.map(|check| Notice::CheckFailed {
                            app,
                            instance: id.clone(),
                            check,
                        }));
                }
            }
        }
        health::all(self.health(id))
    }

    /// Why the last check that failed did.
    pub(super) fn cause_of_ill_health(&self, id: &InstanceId) -> Option<String> {
        let ill = self.health(id).filter(|health| !health.is_alive());
        let last = ill.max_by_key(|health| health.last_failure)?;
        last.last_failure_cause.clone()
    }

    fn is_healthy(&mut self, id: &InstanceId, healthy: Option<bool>, effects: &mut Effects) {
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        // What an earlier process knew holds until this one knows more.
        if healthy.is_some() && instance.healthy != healthy {
            instance.healthy = healthy;
            if let Some(is_alive) = healthy {
                let instance = Box::new(instance.clone());
                effects.notices.push(Notice::Health { instance, is_alive });
            }
            self.dirty.insert(instance.app.clone());
            effects.writes.push(Write::Instance(instance.clone()));
        }
    }

    fn looked_at(&self, id: &InstanceId, at: usize) -> Option<(Instance, HealthCheck)> {
        let instance = self.instances.get(id)?;
        let revision = self.definition_of(instance)?;
        let check = revision.app.health_checks.get(at)?;
        Some((instance.clone(), check.clone()))
    }

    fn watch_of(&mut self, id: &InstanceId, at: usize) -> Option<&mut Watch> {
        self.health.get_mut(id)?.get_mut(at)
    }

    /// The app as an instance was started from it, or scaled since.
    fn definition_of(&self, instance: &Instance) -> Option<Arc<Revision>> {
        let is_it = |it: &&Arc<Revision>| it.last_config_change_at == instance.definition;
        self.history(&instance.app).rev().find(is_it).cloned()
    }
}

/// None that is on its way out is killed for its health, nor one that cannot be reached.
fn is_looked_at(instance: &Instance) -> bool {
    instance.phase == Phase::Running && instance.ending.is_none()
}

fn interval(check: &HealthCheck) -> Duration {
    Duration::from_secs(check.interval_seconds.max(1).into())
}

fn is_in_grace(instance: &Instance, check: &HealthCheck, now: Timestamp) -> bool {
    let grace = Duration::from_secs(check.grace_period_seconds.into());
    instance
        .started_at
        .is_none_or(|since| now < later(since, grace))
}

/// Where the scheduler finds what `probe` looks at; `None` for what it cannot reach. Pure.
fn target(app: &App, instance: &Instance, probe: &Probe) -> Option<Target> {
    let (host, port) = address(app, instance, probe.port()?)?;
    match probe {
        Probe::Http { scheme, path, .. } => {
            let scheme = match scheme {
                Scheme::Http => "http",
                Scheme::Https => "https",
            };
            let host = match host.contains(':') {
                true => format!("[{host}]"),
                false => host,
            };
            let slash = if path.starts_with('/') { "" } else { "/" };
            let url = format!("{scheme}://{host}:{port}{slash}{path}");
            Some(Target::Http { url })
        }
        Probe::Tcp { .. } => Some(Target::Tcp { host, port }),
        Probe::MesosHttp { .. } | Probe::MesosTcp { .. } | Probe::Command { .. } => None,
    }
}

fn address(app: &App, instance: &Instance, port: CheckPort) -> Option<(String, u16)> {
    let on_host = |port: u16| Some((instance.site.hostname.clone(), port));
    let inside = |port: u16| Some((instance.addresses.first()?.ip.clone(), port));
    match port {
        CheckPort::Number(number) => match app.networks {
            Networks::Host | Networks::Bridge { .. } => on_host(number),
            Networks::Container(_) => inside(number),
        },
        CheckPort::Index(index) => {
            let requests = ports::requested(app);
            let assigned = ports::assigned(&requests, &instance.ports);
            match assigned.get(index as usize)? {
                (_, Some(host_port)) => on_host(*host_port),
                (request, None) => inside(request.container_port),
            }
        }
    }
    .filter(|(_, port)| *port != 0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::instance::{Address, IpVersion};
    use crate::placement::Site;

    fn found(networks: Value, mapping: Value, ports: &[u16], check: Value) -> Option<Target> {
        let app = App::create(&json!({
            "id": "/a", "cmd": "true", "networks": [networks],
            "container": {"type": "MESOS", "portMappings": [mapping]},
            "healthChecks": [check],
        }));
        let app = app.unwrap();
        let now = Timestamp::from_millis(0);
        let instance = Instance {
            id: InstanceId::new(&app.id, Uuid::nil()),
            app: app.id.clone(),
            incarnation: 1,
            version: now,
            definition: now,
            agent_id: "agent".into(),
            site: Site {
                hostname: "node".into(),
                ..Site::default()
            },
            ports: ports.to_vec(),
            addresses: vec![Address {
                ip: "10.0.0.7".into(),
                version: IpVersion::V4,
            }],
            staged_at: now,
            started_at: Some(now),
            phase: Phase::Running,
            healthy: None,
            is_checked: true,
            ending: None,
        };
        target(&app, &instance, &app.health_checks[0].probe)
    }

    #[test]
    fn a_port_is_looked_at_on_its_host_or_in_its_container() {
        let (bridge, own) = (
            json!({"mode": "container/bridge"}),
            json!({"mode": "container", "name": "n"}),
        );
        let http = |url: &str| {
            let url = url.to_owned();
            Some(Target::Http { url })
        };
        let mapped = json!({"containerPort": 80, "hostPort": 0});
        let indexed = json!({"protocol": "HTTPS", "path": "/x?y", "portIndex": 0});
        let got = found(bridge.clone(), mapped.clone(), &[31001], indexed.clone());
        assert_eq!(got, http("https://node:31001/x?y"));
        // A port that the host does not have.
        let inner = json!({"containerPort": 80});
        let got = found(own.clone(), inner.clone(), &[], indexed);
        assert_eq!(got, http("https://10.0.0.7:80/x?y"));
        let tcp = json!({"protocol": "TCP", "port": 99});
        let at = |host: &str| {
            Some(Target::Tcp {
                host: host.into(),
                port: 99,
            })
        };
        assert_eq!(found(bridge, mapped, &[31001], tcp.clone()), at("node"));
        assert_eq!(found(own, inner, &[], tcp), at("10.0.0.7"));
    }
}
