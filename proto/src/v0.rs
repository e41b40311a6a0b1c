//! The JSON of the unversioned endpoints (`/state` and its kin), as far as agent and master show the
//! same. Names are those of v0: `slave_id`, `REASON_SLAVE_REMOVED`, `SOURCE_SLAVE`.
//! Source: spec/mesos-agent.md section 7.1, spec/mesos-master.md section 13.1.

use serde_json::{Map, Value, json};

use crate::resources::Resources;
use crate::v1::framework_info::capability;
use crate::v1::task_status::{Reason, Source};
use crate::{json as form, v1};

pub use system::{Memory, System};
pub use task::{command, container_status, network_info, task, task_status};

mod system;
mod task;

/// Labels are a bare array here, not an object with the key `labels`.
#[must_use]
pub fn labels(labels: &v1::Labels) -> Value {
    Value::from(labels.labels.iter().map(form::to_value).collect::<Vec<_>>())
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
pub fn reason(reason: Reason) -> String {
    reason
        .as_str_name()
        .replacen("REASON_AGENT_", "REASON_SLAVE_", 1)
}

/// The reason behind a v0 name.
#[must_use]
pub fn reason_named(name: &str) -> Option<Reason> {
    Reason::from_str_name(&name.replacen("REASON_SLAVE_", "REASON_AGENT_", 1))
}

/// The v0 name of a source.
#[must_use]
pub fn source(source: Source) -> &'static str {
    match source {
        Source::Master => "SOURCE_MASTER",
        Source::Agent => "SOURCE_SLAVE",
        Source::Executor => "SOURCE_EXECUTOR",
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
