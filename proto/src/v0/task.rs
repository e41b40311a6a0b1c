//! Tasks, their statuses, and the containers they run in.

use serde_json::{Map, Value, json};

use super::{labels, object, resources, role, set};
use crate::redact::redacted;
use crate::{json as form, secret, v1};

/// A task.
#[must_use]
pub fn task(task: &v1::Task) -> Value {
    let statuses: Vec<Value> = task.statuses.iter().map(task_status).collect();
    let mut object = object(json!({
        "id": task.task_id.value,
        "name": task.name,
        "framework_id": task.framework_id.value,
        "executor_id": task.executor_id.as_ref().map_or("", |id| id.value.as_str()),
        "slave_id": task.agent_id.value,
        "state": task.state().as_str_name(),
        "resources": resources(&task.resources),
        "role": role(&task.resources),
        "statuses": statuses,
    }));
    if !task.limits.is_empty() {
        object.insert("limits".to_owned(), limits(task));
    }
    set(&mut object, "user", task.user.as_deref().map(Value::from));
    set(&mut object, "labels", task.labels.as_ref().map(labels));
    set(
        &mut object,
        "discovery",
        task.discovery.as_deref().map(form::to_value),
    );
    set(
        &mut object,
        "container",
        task.container.as_deref().map(form::to_value),
    );
    set(
        &mut object,
        "health_check",
        task.health_check.as_deref().map(form::to_value),
    );
    Value::Object(object)
}

/// A status in a task's `statuses`.
#[must_use]
pub fn task_status(status: &v1::TaskStatus) -> Value {
    let mut object = object(json!({
        "state": status.state().as_str_name(),
        "timestamp": status.timestamp.unwrap_or_default(),
    }));
    set(&mut object, "labels", status.labels.as_ref().map(labels));
    set(
        &mut object,
        "container_status",
        status.container_status.as_ref().map(container_status),
    );
    set(&mut object, "healthy", status.healthy.map(Value::from));
    Value::Object(object)
}

/// Where and how a container runs.
#[must_use]
pub fn container_status(status: &v1::ContainerStatus) -> Value {
    let mut object = Map::new();
    set(
        &mut object,
        "container_id",
        status.container_id.as_ref().map(form::to_value),
    );
    if !status.network_infos.is_empty() {
        let networks: Vec<Value> = status.network_infos.iter().map(network_info).collect();
        object.insert("network_infos".to_owned(), Value::from(networks));
    }
    set(
        &mut object,
        "cgroup_info",
        status.cgroup_info.as_ref().map(form::to_value),
    );
    Value::Object(object)
}

/// A network of a container.
#[must_use]
pub fn network_info(network: &v1::NetworkInfo) -> Value {
    let mut object = object(form::to_value(network));
    set(&mut object, "labels", network.labels.as_ref().map(labels));
    Value::Object(object)
}

/// A command. Its arguments are called `argv` here; of its secrets the names are told, and its URIs show none.
#[must_use]
pub fn command(command: &v1::CommandInfo) -> Value {
    let mut shown = v1::CommandInfo {
        environment: command.environment.clone(),
        ..v1::CommandInfo::default()
    };
    secret::hide_in_command(&mut shown);
    let environment = shown.environment;
    let uri = |uri: &v1::command_info::Uri| json!({"value": redacted(&uri.value), "executable": uri.executable.unwrap_or_default()});
    let mut object = object(json!({
        "argv": command.arguments,
        "uris": command.uris.iter().map(uri).collect::<Vec<_>>(),
    }));
    set(&mut object, "shell", command.shell.map(Value::from));
    set(
        &mut object,
        "value",
        command.value.as_deref().map(Value::from),
    );
    set(
        &mut object,
        "environment",
        environment.as_ref().map(form::to_value),
    );
    Value::Object(object)
}

/// JSON has no number for "no limit".
fn limits(task: &v1::Task) -> Value {
    let limit = |value: f64| {
        if value.is_finite() {
            Value::from(value)
        } else {
            Value::from("Infinity")
        }
    };
    let limits = task
        .limits
        .iter()
        .map(|(name, scalar)| (name.clone(), limit(scalar.value)));
    Value::Object(limits.collect())
}
