//! Writes the canonical form.
//!
//! Strict clients die on a key that they do not know (spec/marathon-api.md section 13), so anything
//! younger than they are is written only where the user has set it. Everything that was read is
//! written, so that what is written can be read back.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::container::{Container, ContainerKind, Docker, IpcMode, LinuxInfo, Seccomp};
use super::health::{
    Check, CheckPort, CheckProbe, HealthCheck, IpProtocol, Probe, ReadinessCheck, Scheme,
};
use super::ports::{PortDefinition, PortMapping};
use super::volumes::{DiskKind, External, Mode, Persistent, Volume, VolumeSource};
use super::{
    App, Constraint, EnvValue, Fetch, KillSelection, Limit, Networks, ResourceLimits,
    UnreachableStrategy,
};

pub(super) fn app(app: &App) -> Map<String, Value> {
    let mut out = Map::new();
    put(&mut out, "id", app.id.as_str());
    put_some(&mut out, "cmd", app.cmd.as_deref());
    if !app.args.is_empty() {
        put(&mut out, "args", json!(app.args));
    }
    put_some(&mut out, "user", app.user.as_deref());
    put(
        &mut out,
        "env",
        app.env.iter().map(env).collect::<Map<_, _>>(),
    );
    put(&mut out, "instances", app.instances);
    put(&mut out, "cpus", number(app.cpus));
    put(&mut out, "mem", number(app.mem));
    put(&mut out, "disk", number(app.disk));
    put(&mut out, "gpus", app.gpus);
    put(&mut out, "executor", app.executor.as_str());
    put_some(
        &mut out,
        "executorResources",
        app.executor_resources
            .map(|r| json!({"cpus": number(r.cpus), "mem": number(r.mem), "disk": number(r.disk)})),
    );
    put_some(
        &mut out,
        "resourceLimits",
        app.resource_limits.map(resource_limits),
    );
    put(
        &mut out,
        "constraints",
        app.constraints
            .iter()
            .map(Constraint::words)
            .collect::<Vec<_>>(),
    );
    put(
        &mut out,
        "fetch",
        app.fetch.iter().map(fetch).collect::<Vec<_>>(),
    );
    let in_host_network = app.networks == Networks::Host;
    put_some(
        &mut out,
        "container",
        app.container
            .as_ref()
            .map(|c| container(c, in_host_network)),
    );
    put(&mut out, "networks", networks(&app.networks));
    if in_host_network {
        put(
            &mut out,
            "portDefinitions",
            app.port_definitions
                .iter()
                .map(port_definition)
                .collect::<Vec<_>>(),
        );
    }
    put(&mut out, "requirePorts", app.require_ports);
    put(
        &mut out,
        "healthChecks",
        app.health_checks
            .iter()
            .map(health_check)
            .collect::<Vec<_>>(),
    );
    put_some(&mut out, "check", app.check.as_ref().map(check));
    if !app.readiness_checks.is_empty() {
        let checks = app
            .readiness_checks
            .iter()
            .map(readiness_check)
            .collect::<Vec<_>>();
        put(&mut out, "readinessChecks", checks);
    }
    put(&mut out, "dependencies", json!(app.dependencies));
    put(&mut out, "labels", json!(app.labels));
    if !app.accepted_resource_roles.is_empty() {
        put(
            &mut out,
            "acceptedResourceRoles",
            json!(app.accepted_resource_roles),
        );
    }
    put_some(&mut out, "role", app.role.as_deref());
    if !app.secrets.is_empty() {
        let secret = |(name, source): (&String, &String)| (name.clone(), json!({"source": source}));
        put(
            &mut out,
            "secrets",
            app.secrets.iter().map(secret).collect::<Map<_, _>>(),
        );
    }
    put(&mut out, "backoffSeconds", number(app.backoff_seconds));
    put(&mut out, "backoffFactor", number(app.backoff_factor));
    put(
        &mut out,
        "maxLaunchDelaySeconds",
        number(app.max_launch_delay_seconds),
    );
    put_some(
        &mut out,
        "taskKillGracePeriodSeconds",
        app.task_kill_grace_period_seconds,
    );
    put(
        &mut out,
        "upgradeStrategy",
        json!({
            "minimumHealthCapacity": number(app.upgrade_strategy.minimum_health_capacity),
            "maximumOverCapacity": number(app.upgrade_strategy.maximum_over_capacity),
        }),
    );
    put(
        &mut out,
        "unreachableStrategy",
        unreachable_strategy(app.unreachable_strategy),
    );
    put(
        &mut out,
        "killSelection",
        match app.kill_selection {
            KillSelection::YoungestFirst => "YOUNGEST_FIRST",
            KillSelection::OldestFirst => "OLDEST_FIRST",
        },
    );
    put_some(&mut out, "tty", app.tty);
    out
}

fn put(out: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    out.insert(key.to_owned(), value.into());
}

fn put_some(out: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        put(out, key, value);
    }
}

/// Whole amounts as integers, like the reference: `128`, `0.1`.
fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        json!(value as i64)
    } else {
        json!(value)
    }
}

fn env((name, value): (&String, &EnvValue)) -> (String, Value) {
    let value = match value {
        EnvValue::Text(text) => json!(text),
        EnvValue::Secret(secret) => json!({"secret": secret}),
    };
    (name.clone(), value)
}

fn resource_limits(limits: ResourceLimits) -> Value {
    let limit = |limit| match limit {
        Limit::At(value) => number(value),
        Limit::Unlimited => json!("unlimited"),
    };
    let mut out = Map::new();
    put_some(&mut out, "cpus", limits.cpus.map(limit));
    put_some(&mut out, "mem", limits.mem.map(limit));
    Value::Object(out)
}

fn fetch(fetch: &Fetch) -> Value {
    let mut out = Map::new();
    put(&mut out, "uri", fetch.uri.as_str());
    put(&mut out, "extract", fetch.extract);
    put(&mut out, "executable", fetch.executable);
    put(&mut out, "cache", fetch.cache);
    put_some(&mut out, "destPath", fetch.dest_path.as_deref());
    Value::Object(out)
}

fn networks(networks: &Networks) -> Value {
    let network = |mode: &str, name: Option<&str>, labels: &BTreeMap<String, String>| {
        let mut out = Map::new();
        put(&mut out, "mode", mode);
        put_some(&mut out, "name", name);
        if !labels.is_empty() {
            put(&mut out, "labels", json!(labels));
        }
        Value::Object(out)
    };
    match networks {
        Networks::Host => json!([network("host", None, &BTreeMap::new())]),
        Networks::Bridge { labels } => json!([network("container/bridge", None, labels)]),
        Networks::Container(several) => several
            .iter()
            .map(|n| network("container", Some(&n.name), &n.labels))
            .collect(),
    }
}

fn port_definition(definition: &PortDefinition) -> Value {
    let mut out = Map::new();
    put(&mut out, "port", definition.port);
    put(&mut out, "protocol", definition.protocol.as_str());
    put_some(&mut out, "name", definition.name.as_deref());
    put(&mut out, "labels", json!(definition.labels));
    Value::Object(out)
}

fn container(container: &Container, in_host_network: bool) -> Value {
    let mut out = Map::new();
    put(
        &mut out,
        "type",
        match container.kind {
            ContainerKind::Docker => "DOCKER",
            ContainerKind::Mesos => "MESOS",
        },
    );
    put_some(&mut out, "docker", container.docker.as_ref().map(docker));
    put(
        &mut out,
        "volumes",
        container.volumes.iter().map(volume).collect::<Vec<_>>(),
    );
    if !in_host_network {
        let mappings = container
            .port_mappings
            .iter()
            .map(port_mapping)
            .collect::<Vec<_>>();
        put(&mut out, "portMappings", mappings);
    }
    put_some(
        &mut out,
        "linuxInfo",
        container.linux_info.as_ref().map(linux_info),
    );
    Value::Object(out)
}

fn docker(docker: &Docker) -> Value {
    let parameters: Vec<Value> = docker
        .parameters
        .iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect();
    let mut out = Map::new();
    put(&mut out, "image", docker.image.as_str());
    put(&mut out, "forcePullImage", docker.force_pull_image);
    put(&mut out, "privileged", docker.privileged);
    put(&mut out, "parameters", parameters);
    put_some(
        &mut out,
        "pullConfig",
        docker.pull_secret.as_ref().map(|s| json!({"secret": s})),
    );
    Value::Object(out)
}

fn port_mapping(mapping: &PortMapping) -> Value {
    let mut out = Map::new();
    put(&mut out, "containerPort", mapping.container_port);
    put_some(&mut out, "hostPort", mapping.host_port);
    put(&mut out, "servicePort", mapping.service_port);
    put(&mut out, "protocol", mapping.protocol.as_str());
    put_some(&mut out, "name", mapping.name.as_deref());
    put(&mut out, "labels", json!(mapping.labels));
    if !mapping.network_names.is_empty() {
        put(&mut out, "networkNames", json!(mapping.network_names));
    }
    Value::Object(out)
}

fn volume(volume: &Volume) -> Value {
    let mut out = Map::new();
    put(&mut out, "containerPath", volume.container_path.as_str());
    let mode = match volume.mode {
        Mode::ReadOnly => "RO",
        Mode::ReadWrite => "RW",
    };
    put(&mut out, "mode", mode);
    match &volume.source {
        VolumeSource::Host { host_path } => put(&mut out, "hostPath", host_path.as_str()),
        VolumeSource::Persistent(disk) => put(&mut out, "persistent", persistent(disk)),
        VolumeSource::External(disk) => put(&mut out, "external", external(disk)),
        VolumeSource::Secret { secret } => put(&mut out, "secret", secret.as_str()),
    }
    Value::Object(out)
}

fn persistent(disk: &Persistent) -> Value {
    let kind = match disk.disk {
        DiskKind::Root => "root",
        DiskKind::Path => "path",
        DiskKind::Mount => "mount",
    };
    let mut out = Map::new();
    put(&mut out, "type", kind);
    put(&mut out, "size", number(disk.size));
    put_some(&mut out, "maxSize", disk.max_size.map(number));
    put_some(&mut out, "profileName", disk.profile_name.as_deref());
    put(&mut out, "constraints", json!(disk.constraints));
    Value::Object(out)
}

fn external(disk: &External) -> Value {
    let mut out = Map::new();
    put(&mut out, "name", disk.name.as_str());
    put(&mut out, "provider", disk.provider.as_str());
    put_some(&mut out, "size", disk.size.map(number));
    put_some(&mut out, "shared", disk.shared);
    put(&mut out, "options", disk.options.clone());
    Value::Object(out)
}

fn linux_info(info: &LinuxInfo) -> Value {
    let mut out = Map::new();
    put_some(
        &mut out,
        "seccomp",
        info.seccomp.as_ref().map(|seccomp| match seccomp {
            Seccomp::Unconfined => json!({"unconfined": true}),
            Seccomp::Profile(name) => json!({"profileName": name, "unconfined": false}),
        }),
    );
    put_some(
        &mut out,
        "ipcInfo",
        info.ipc.as_ref().map(|ipc| {
            let mode = match ipc.mode {
                IpcMode::Private => "PRIVATE",
                IpcMode::ShareParent => "SHARE_PARENT",
            };
            let mut out = Map::new();
            put(&mut out, "mode", mode);
            put_some(&mut out, "shmSize", ipc.shm_size);
            Value::Object(out)
        }),
    );
    Value::Object(out)
}

/// One health check, as it also stands in events.
pub(crate) fn health_check(check: &HealthCheck) -> Value {
    let mut out = Map::new();
    put_probe(&mut out, &check.probe);
    put(&mut out, "gracePeriodSeconds", check.grace_period_seconds);
    put(&mut out, "intervalSeconds", check.interval_seconds);
    put(&mut out, "timeoutSeconds", check.timeout_seconds);
    put(
        &mut out,
        "maxConsecutiveFailures",
        check.max_consecutive_failures,
    );
    put(&mut out, "delaySeconds", check.delay_seconds);
    Value::Object(out)
}

fn put_probe(out: &mut Map<String, Value>, probe: &Probe) {
    let protocol = match probe {
        Probe::Http {
            scheme: Scheme::Http,
            ..
        } => "HTTP",
        Probe::Http {
            scheme: Scheme::Https,
            ..
        } => "HTTPS",
        Probe::Tcp { .. } => "TCP",
        Probe::MesosHttp {
            scheme: Scheme::Http,
            ..
        } => "MESOS_HTTP",
        Probe::MesosHttp {
            scheme: Scheme::Https,
            ..
        } => "MESOS_HTTPS",
        Probe::MesosTcp { .. } => "MESOS_TCP",
        Probe::Command { .. } => "COMMAND",
    };
    put(out, "protocol", protocol);
    if let Some(port) = probe.port() {
        put_port(out, port);
    }
    match probe {
        Probe::Http {
            path,
            ignore_http1xx,
            ..
        } => {
            put(out, "path", path.as_str());
            put(out, "ignoreHttp1xx", *ignore_http1xx);
        }
        Probe::MesosHttp { path, ip, .. } => {
            put(out, "path", path.as_str());
            put(out, "ipProtocol", ip_protocol(*ip));
        }
        Probe::MesosTcp { ip, .. } => put(out, "ipProtocol", ip_protocol(*ip)),
        Probe::Command { value } => put(out, "command", json!({"value": value})),
        Probe::Tcp { .. } => {}
    }
}

fn put_port(out: &mut Map<String, Value>, port: CheckPort) {
    match port {
        CheckPort::Index(index) => put(out, "portIndex", index),
        CheckPort::Number(number) => put(out, "port", number),
    }
}

fn ip_protocol(ip: IpProtocol) -> &'static str {
    match ip {
        IpProtocol::V4 => "IPv4",
        IpProtocol::V6 => "IPv6",
    }
}

fn scheme_name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "HTTP",
        Scheme::Https => "HTTPS",
    }
}

fn check(check: &Check) -> Value {
    let mut out = Map::new();
    match &check.probe {
        CheckProbe::Http { scheme, path, port } => {
            let mut http = Map::new();
            put_port(&mut http, *port);
            put(&mut http, "path", path.as_str());
            put(&mut http, "scheme", scheme_name(*scheme));
            put(&mut out, "http", http);
        }
        CheckProbe::Tcp { port } => {
            let mut tcp = Map::new();
            put_port(&mut tcp, *port);
            put(&mut out, "tcp", tcp);
        }
        CheckProbe::Exec { command } => {
            put(&mut out, "exec", json!({"command": {"shell": command}}));
        }
    }
    put(&mut out, "intervalSeconds", check.interval_seconds);
    put(&mut out, "timeoutSeconds", check.timeout_seconds);
    put(&mut out, "delaySeconds", check.delay_seconds);
    Value::Object(out)
}

fn readiness_check(check: &ReadinessCheck) -> Value {
    json!({
        "name": check.name,
        "protocol": scheme_name(check.scheme),
        "path": check.path,
        "portName": check.port_name,
        "intervalSeconds": check.interval_seconds,
        "timeoutSeconds": check.timeout_seconds,
        "httpStatusCodesForReady": check.http_status_codes_for_ready,
        "preserveLastResponse": check.preserve_last_response,
    })
}

fn unreachable_strategy(strategy: UnreachableStrategy) -> Value {
    match strategy {
        UnreachableStrategy::Disabled => json!("disabled"),
        UnreachableStrategy::Replace {
            inactive_after_seconds,
            expunge_after_seconds,
        } => json!({
            "inactiveAfterSeconds": inactive_after_seconds,
            "expungeAfterSeconds": expunge_after_seconds,
        }),
    }
}
