//! The JSON of the unversioned endpoints (`/state` and its kin), as far as agent and master show the
//! same. Names are those of v0: `slave_id`, `REASON_SLAVE_REMOVED`, `SOURCE_SLAVE`.
//! Source: spec/mesos-agent.md section 7.1, spec/mesos-master.md section 13.1.

use serde_json::{Map, Value, json};

use crate::resources::Resources;
use crate::v1::framework_info::capability;
use crate::v1::task_status;
use crate::{json as form, v1};

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
        task.discovery.as_ref().map(form::to_value),
    );
    set(
        &mut object,
        "container",
        task.container.as_ref().map(form::to_value),
    );
    set(
        &mut object,
        "health_check",
        task.health_check.as_ref().map(form::to_value),
    );
    Value::Object(object)
}

/// A task that waits for its executor.
#[must_use]
pub fn queued_task(task: &v1::TaskInfo) -> Value {
    let mut object = object(json!({
        "id": task.task_id.value,
        "name": task.name,
        "slave_id": task.agent_id.value,
        "resources": resources(&task.resources),
        "role": role(&task.resources),
    }));
    set(&mut object, "command", task.command.as_ref().map(command));
    let executor = task
        .executor
        .as_ref()
        .map(|e| Value::from(e.executor_id.value.as_str()));
    set(&mut object, "executor_id", executor);
    set(
        &mut object,
        "discovery",
        task.discovery.as_ref().map(form::to_value),
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

/// Labels are a bare array here, not an object with the key `labels`.
#[must_use]
pub fn labels(labels: &v1::Labels) -> Value {
    Value::from(labels.labels.iter().map(form::to_value).collect::<Vec<_>>())
}

/// A command. Its arguments are called `argv` here.
#[must_use]
pub fn command(command: &v1::CommandInfo) -> Value {
    let uri = |uri: &v1::command_info::Uri| json!({"value": uri.value, "executable": uri.executable.unwrap_or_default()});
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
        command.environment.as_ref().map(form::to_value),
    );
    Value::Object(object)
}

/// What agent and master both say of a framework: id, name, user, failover_timeout, checkpoint,
/// hostname, principal, and roles (or role).
#[must_use]
pub fn framework(info: &v1::FrameworkInfo) -> Map<String, Value> {
    let mut object = object(json!({
        "id": info.id.as_ref().map_or("", |id| id.value.as_str()),
        "name": info.name,
        "user": info.user,
        "failover_timeout": info.failover_timeout(),
        "checkpoint": info.checkpoint(),
        "hostname": info.hostname(),
    }));
    set(
        &mut object,
        "principal",
        info.principal.as_deref().map(Value::from),
    );
    if has_capability(info, capability::Type::MultiRole) {
        object.insert("roles".to_owned(), json!(info.roles));
    } else {
        object.insert("role".to_owned(), json!(info.role()));
    }
    object
}

/// Names of a framework's capabilities.
#[must_use]
pub fn framework_capabilities(info: &v1::FrameworkInfo) -> Value {
    let names: Vec<&str> = info
        .capabilities
        .iter()
        .map(|c| c.r#type().as_str_name())
        .collect();
    Value::from(names)
}

fn has_capability(info: &v1::FrameworkInfo, wanted: capability::Type) -> bool {
    info.capabilities
        .iter()
        .any(|capability| capability.r#type() == wanted)
}

/// What agent and master both say of an executor: resources, role, labels and type.
#[must_use]
pub fn executor(info: &v1::ExecutorInfo) -> Map<String, Value> {
    let mut object = object(json!({
        "name": info.name(),
        "resources": resources(&info.resources),
        "role": role(&info.resources),
    }));
    set(&mut object, "labels", info.labels.as_ref().map(labels));
    let kind = info
        .r#type
        .and_then(|kind| v1::executor_info::Type::try_from(kind).ok());
    set(
        &mut object,
        "type",
        kind.map(|kind| Value::from(kind.as_str_name())),
    );
    object
}

/// Resources as one flat object. Messages that are no resources, which no task of ours has, are
/// shown as none.
#[must_use]
pub fn resources(resources: &[v1::Resource]) -> Value {
    Resources::from_protos(resources)
        .unwrap_or_default()
        .flat_json()
        .into()
}

/// Resources as an array of messages in both reservation formats, for the `*_full` keys.
#[must_use]
pub fn resources_full(resources: &Resources) -> Value {
    let full = resources.to_protos_for_endpoints();
    Value::from(full.iter().map(form::to_value).collect::<Vec<_>>())
}

/// The region and zone of an agent or a master.
#[must_use]
pub fn domain(domain: &v1::DomainInfo) -> Value {
    form::to_value(domain)
}

/// The v0 name of a reason, as metrics and logs show it.
#[must_use]
pub fn reason(reason: task_status::Reason) -> String {
    reason
        .as_str_name()
        .replacen("REASON_AGENT_", "REASON_SLAVE_", 1)
}

/// The v0 name of a source.
#[must_use]
pub fn source(source: task_status::Source) -> &'static str {
    match source {
        task_status::Source::Master => "SOURCE_MASTER",
        task_status::Source::Agent => "SOURCE_SLAVE",
        task_status::Source::Executor => "SOURCE_EXECUTOR",
    }
}

/// The role that resources are allocated to. They are allocated to one role only.
fn role(resources: &[v1::Resource]) -> &str {
    let roles = resources
        .iter()
        .filter_map(|resource| resource.allocation_info.as_ref());
    roles
        .filter_map(|info| info.role.as_deref())
        .next()
        .unwrap_or("*")
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

fn set(object: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value);
    }
}

/// The members of a literal object.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
