//! What clients read about apps, tasks and deployments. Strict clients refuse a key they do not
//! know, so each object has exactly the keys of spec/client-quirks.md.

use serde_json::{Map, Value, json};

use super::statistics;
use crate::app::{AppId, Timestamp, ports};
use crate::deployment::{Action, Deployment, Step};
use crate::engine::{Engine, TaskFailure};
use crate::health::Health;
use crate::instance::{Instance, Phase};
use crate::root::Revision;

/// What is added to an app.
#[derive(Debug, Clone, Copy, Default)]
pub struct Embed {
    pub tasks: bool,
    pub last_task_failure: bool,
    /// As of this moment.
    pub task_stats: Option<Timestamp>,
}

pub struct Counts {
    pub staged: usize,
    pub running: usize,
    pub healthy: usize,
    pub unhealthy: usize,
}

impl Counts {
    /// Instances without health checks are neither healthy nor unhealthy.
    pub fn of(instances: &[&Instance]) -> Self {
        let count = |is: &dyn Fn(&Instance) -> bool| instances.iter().filter(|i| is(i)).count();
        let is_running = |i: &Instance| i.phase == Phase::Running;
        Self {
            staged: count(&|i| matches!(i.phase, Phase::Staging | Phase::Starting)),
            running: count(&is_running),
            healthy: count(&|i| is_running(i) && i.healthy == Some(true)),
            unhealthy: count(&|i| is_running(i) && i.healthy == Some(false)),
        }
    }
}

/// An app of one version, as it is stored.
pub fn revision(revision: &Revision) -> Map<String, Value> {
    let mut app = revision.app.to_json();
    app.insert("version".into(), time(revision.version));
    let info = json!({
        "lastScalingAt": time(revision.last_scaling_at),
        "lastConfigChangeAt": time(revision.last_config_change_at),
    });
    app.insert("versionInfo".into(), info);
    app
}

/// An app with its counters and deployments.
pub fn app(engine: &Engine, revision: &Revision, embed: Embed) -> Value {
    let id = &revision.app.id;
    let mut app = self::revision(revision);
    let instances: Vec<&Instance> = engine.instances(id).collect();
    let counts = Counts::of(&instances);
    app.insert("tasksStaged".into(), counts.staged.into());
    app.insert("tasksRunning".into(), counts.running.into());
    app.insert("tasksHealthy".into(), counts.healthy.into());
    app.insert("tasksUnhealthy".into(), counts.unhealthy.into());
    let deployments: Vec<Value> = engine
        .deployments()
        .filter(|d| d.touches(id))
        .map(|d| json!({"id": d.id.to_string()}))
        .collect();
    app.insert("deployments".into(), deployments.into());
    if embed.tasks {
        let tasks: Vec<Value> = instances.iter().map(|i| task(engine, i)).collect();
        app.insert("tasks".into(), tasks.into());
    }
    if embed.last_task_failure
        && let Some(failure) = engine.last_failure(id)
    {
        app.insert("lastTaskFailure".into(), task_failure(failure));
    }
    if let Some(now) = embed.task_stats {
        let stats = statistics::task_stats(revision, &instances, now);
        app.insert("taskStats".into(), stats);
    }
    Value::Object(app)
}

pub fn task(engine: &Engine, instance: &Instance) -> Value {
    let mut task = json!({
        "appId": instance.app.as_str(),
        "id": instance.task_id(),
        "host": instance.site.hostname,
        "slaveId": instance.agent_id,
        "state": instance.state_name(),
        "ports": instance.ports,
        "servicePorts": service_ports(engine, &instance.app),
        "stagedAt": time(instance.staged_at),
        "version": time(instance.version),
        "localVolumes": [],
    });
    let addresses = instance
        .addresses
        .iter()
        .map(|a| json!({"ipAddress": a.ip, "protocol": a.version.as_str()}));
    task["ipAddresses"] = addresses.collect();
    let optional = [
        ("startedAt", instance.started_at.map(time)),
        ("region", instance.site.region.clone().map(Value::from)),
        ("zone", instance.site.zone.clone().map(Value::from)),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            task[key] = value;
        }
    }
    let results = engine.health(&instance.id).filter(|it| it.is_known());
    let results: Vec<Value> = results.map(|it| health(instance, it)).collect();
    if !results.is_empty() {
        task["healthCheckResults"] = results.into();
    }
    task
}

fn health(instance: &Instance, health: &Health) -> Value {
    json!({
        "alive": health.is_alive(),
        "consecutiveFailures": health.consecutive_failures,
        "firstSuccess": health.first_success.map(time),
        "lastSuccess": health.last_success.map(time),
        "lastFailure": health.last_failure.map(time),
        "lastFailureCause": health.last_failure_cause,
        "instanceId": instance.id.as_str(),
    })
}

fn service_ports(engine: &Engine, app: &AppId) -> Vec<u16> {
    let revision = engine.root().apps.get(app);
    revision.map_or(Vec::new(), |r| ports::service_ports(&r.app))
}

/// One line per service port, for load balancers that are configured by a script.
pub fn tasks_text(engine: &Engine, apps: &[&AppId]) -> String {
    let mut text = String::new();
    for app in apps {
        let running = engine.instances(app).filter(|i| i.is_ready());
        let running: Vec<&Instance> = running.collect();
        let name = app.safe_name();
        let hosts = |at: Option<usize>| -> String {
            let host = |i: &&Instance| match at {
                None => Some(format!("{}\t", i.site.hostname)),
                Some(at) => i
                    .ports
                    .get(at)
                    .map(|port| format!("{}:{port}\t", i.site.hostname)),
            };
            running.iter().filter_map(host).collect()
        };
        let service_ports = service_ports(engine, app);
        if service_ports.is_empty() {
            text.push_str(&format!("{name}\t \t{}\n", hosts(None)));
        }
        for (at, port) in service_ports.iter().enumerate() {
            text.push_str(&format!("{name}\t{port}\t{}\n", hosts(Some(at))));
        }
    }
    text
}

pub fn step(step: &Step) -> Value {
    json!({"actions": step.iter().map(action).collect::<Vec<_>>()})
}

fn action((app, action): (&AppId, &Action)) -> Value {
    json!({"action": action.name(), "app": app.as_str()})
}

pub fn deployment(deployment: &Deployment) -> Value {
    let apps: Vec<&str> = deployment.apps.keys().map(AppId::as_str).collect();
    let steps: Vec<Value> = deployment.steps.iter().map(step).collect();
    let no_step = Step::new();
    let current = deployment.steps.get(deployment.current).unwrap_or(&no_step);
    let current: Vec<Value> = current
        .iter()
        .map(action)
        .map(|mut action| {
            action["readinessCheckResults"] = json!([]);
            action
        })
        .collect();
    json!({
        "id": deployment.id.to_string(),
        "version": time(deployment.version),
        "affectedApps": apps,
        "affectedPods": [],
        "totalSteps": steps.len(),
        "steps": steps,
        "currentActions": current,
        "currentStep": deployment.current + 1,
    })
}

fn task_failure(failure: &TaskFailure) -> Value {
    json!({
        "appId": failure.app.as_str(),
        "host": failure.host,
        "message": failure.message,
        "state": failure.state,
        "taskId": failure.task,
        "instanceId": failure.instance.as_str(),
        "timestamp": time(failure.at),
        "version": time(failure.version),
        "slaveId": failure.agent_id,
    })
}

pub fn time(moment: Timestamp) -> Value {
    Value::from(moment.to_string())
}
