//! Writes the canonical form.
//!
//! Strict clients die on a key that they do not know (spec/marathon-api.md section 13), so anything
//! younger than they are is written only where the user has set it. Everything that was read is
//! written, so that what is written can be read back.

mod container;
mod health;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::ports::PortDefinition;
use super::{
    App, Constraint, EnvValue, Fetch, HealthCheck, KillSelection, Limit, Networks, ResourceLimits,
    UnreachableStrategy,
};

impl HealthCheck {
    /// As it stands in events, too.
    pub fn to_json(&self) -> Value {
        health::health_check(self)
    }
}

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
            .map(|c| container::container(c, in_host_network)),
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
            .map(health::health_check)
            .collect::<Vec<_>>(),
    );
    put_some(&mut out, "check", app.check.as_ref().map(health::check));
    if !app.readiness_checks.is_empty() {
        let checks = app
            .readiness_checks
            .iter()
            .map(health::readiness_check)
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
        // Loses nothing: whole, and small enough to be exact.
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
    put_some(&mut out, "checksum", fetch.checksum.as_deref());
    put_some(&mut out, "unpacked", fetch.unpacked.then_some(true));
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
