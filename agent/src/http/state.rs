//! `/state` and `/flags`. Keys: spec/mesos-agent.md section 7.1.

use std::collections::BTreeMap;
use std::time::SystemTime;

use proto::resources::Resources;
use proto::task::is_terminal;
use proto::{v0, v1};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value, json};

use super::Site;
use crate::book::{Book, Executor, Framework, total};

/// Written framework by framework, and executor by executor: as one value, the tasks of a full node take
/// fifty times as much memory as the agent keeps of them.
pub struct State<'a> {
    agent: Map<String, Value>,
    book: &'a Book,
}

impl Serialize for State<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(None)?;
        for (name, value) in &self.agent {
            object.serialize_entry(name, value)?;
        }
        object.serialize_entry(
            "frameworks",
            &Each(|| self.book.frameworks.values().map(Shown)),
        )?;
        let completed = Each(|| self.book.completed.iter().map(Shown));
        object.serialize_entry("completed_frameworks", &completed)?;
        object.end()
    }
}

/// A list whose elements come about one after the other.
struct Each<F>(F);

impl<T: Serialize, I: Iterator<Item = T>, F: Fn() -> I> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq((self.0)())
    }
}

struct Shown<'a>(&'a Framework);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(None)?;
        for (name, value) in &v0::framework(&self.0.info) {
            object.serialize_entry(name, value)?;
        }
        let executors = Each(|| self.0.executors.values().map(|it| executor(it)));
        object.serialize_entry("executors", &executors)?;
        let completed = Each(|| self.0.completed.iter().map(|it| executor(it)));
        object.serialize_entry("completed_executors", &completed)?;
        object.end()
    }
}

pub fn state<'a>(site: &Site, book: &'a Book) -> State<'a> {
    let all = total(&book.info.resources);
    let used = total(&book.used());
    let mut state = proto::version::info();
    state.extend(object(json!({
        "start_time": seconds(site.started),
        "id": book.info.id.as_ref().map_or("", |id| &id.value),
        "pid": format!("slave(1)@{}", site.address),
        "hostname": book.info.hostname,
        "capabilities": [
            "MULTI_ROLE", "HIERARCHICAL_ROLE", "RESERVATION_REFINEMENT", "TASK_RESOURCE_LIMITS",
            "AGENT_DRAINING",
        ],
        "resources": all.flat_json(),
        "reserved_resources": by_role(&all, flat),
        "unreserved_resources": all.unreserved().flat_json(),
        "reserved_resources_full": by_role(&all, v0::resources_full),
        "unreserved_resources_full": v0::resources_full(&all.unreserved()),
        "reserved_resources_allocated": by_role(&used, flat),
        "unreserved_resources_allocated": used.unreserved().flat_json(),
        "resource_providers": [],
        "attributes": proto::attributes::flat_json(&book.info.attributes),
        "flags": flags(site),
    })));
    if let Some(drain) = &book.drain {
        let info = drain.info(book.tasks_left());
        state.extend(object(json!({
            "drain_config": proto::json::to_value(&drain.config()),
            "drain_info": proto::json::to_value(&info),
            "estimated_drain_start_time_seconds": drain.since_seconds(),
        })));
    }
    if let Some(domain) = &book.info.domain {
        state.insert("domain".to_owned(), v0::domain(domain));
    }
    if let Some(name) = book
        .master
        .as_ref()
        .and_then(|master| master.hostname.as_ref())
    {
        state.insert("master_hostname".to_owned(), json!(name));
    }
    State { agent: state, book }
}

pub fn flags(site: &Site) -> Value {
    Value::Object(
        site.flags
            .iter()
            .map(|(n, text)| ((*n).to_owned(), json!(text)))
            .collect(),
    )
}

pub fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

fn executor(executor: &Executor) -> Value {
    let mut object = v0::executor(&executor.info);
    let of = |is_over: bool| {
        let of_kind = move |task: &&v1::Task| is_terminal(task.state()) == is_over;
        executor.tasks().filter(of_kind)
    };
    let completed = executor.completed_tasks.iter().chain(of(true));
    object.extend(self::object(json!({
        "id": executor.run.executor,
        "source": executor.info.source(),
        "container": executor.run.container,
        "directory": executor.sandbox,
        "resources": total(&executor.resources()).flat_json(),
        "queued_tasks": [],
    })));
    let task = |it: &v1::Task| in_place(executor, it);
    object.insert("tasks".to_owned(), of(false).map(task).collect());
    object.insert("completed_tasks".to_owned(), completed.map(task).collect());
    Value::Object(object)
}

/// One of a group has a container and a sandbox of its own: these keys are ours.
fn in_place(executor: &Executor, it: &v1::Task) -> Value {
    let mut object = task(it);
    if let Some(container) = executor.nested_of(&it.task_id.value) {
        object["directory"] = json!(executor.sandbox.join("containers").join(&container));
        object["container_id"] = json!(container);
    }
    object
}

/// A task whose statuses also tell why, which those of Mesos leave out.
fn task(task: &v1::Task) -> Value {
    let mut object = v0::task(task);
    object["statuses"] = task.statuses.iter().map(status).collect();
    object
}

fn status(status: &v1::TaskStatus) -> Value {
    let mut object = v0::task_status(status);
    if status.source.is_some() {
        object["source"] = json!(v0::source(status.source()));
    }
    if status.reason.is_some() {
        object["reason"] = json!(v0::reason(status.reason()));
    }
    if let Some(message) = &status.message {
        object["message"] = json!(message);
    }
    if let Some(limitation) = &status.limitation {
        object["limitation"] = proto::json::to_value(limitation);
    }
    object
}

fn by_role(resources: &Resources, show: impl Fn(&Resources) -> Value) -> Value {
    let roles: BTreeMap<String, Value> = resources
        .reserved()
        .iter()
        .map(|(role, part)| (role.clone(), show(part)))
        .collect();
    json!(roles)
}

fn flat(resources: &Resources) -> Value {
    Value::Object(resources.flat_json())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::TaskState;
    use proto::v1::task_status::{Reason, Source};

    use super::*;
    use crate::book::tests::{book, key};

    #[test]
    fn the_statuses_of_a_task_tell_why() {
        let mut book = book("/s".into());
        let mut running = v1::TaskStatus::default();
        running.set_state(TaskState::TaskRunning);
        book.progress(&key("t"), &running, None);
        let mut failed = v1::TaskStatus {
            message: Some("Memory limit exceeded".to_owned()),
            timestamp: Some(1.5),
            limitation: Some(v1::TaskResourceLimitation::default()),
            ..Default::default()
        };
        failed.set_state(TaskState::TaskFailed);
        failed.set_source(Source::Agent);
        failed.set_reason(Reason::AgentRestarted);
        book.progress(&key("t"), &failed, None);
        let executor = executor(&book.frameworks["F"].executors["t"]);
        assert_eq!(
            executor["completed_tasks"][0]["statuses"],
            json!([
                {"state": "TASK_RUNNING", "timestamp": 0.0},
                {
                    "state": "TASK_FAILED",
                    "timestamp": 1.5,
                    "source": "SOURCE_SLAVE",
                    "reason": "REASON_SLAVE_RESTARTED",
                    "message": "Memory limit exceeded",
                    "limitation": {},
                },
            ])
        );
    }
}
