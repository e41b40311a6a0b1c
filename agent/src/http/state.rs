//! `/state` and `/flags`. Keys: spec/mesos-agent.md section 7.1.

use std::collections::BTreeMap;
use std::time::SystemTime;

use proto::resources::Resources;
use proto::task::is_terminal;
use proto::{v0, v1};
use serde_json::{Map, Value, json};

use super::Site;
use crate::book::{Book, Executor, Framework, total};

pub fn state(site: &Site, book: &Book) -> Value {
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
    // Not above, where they would be copied.
    let frameworks = book.frameworks.values().map(framework).collect();
    state.insert("frameworks".to_owned(), frameworks);
    let completed = book.completed.iter().map(framework).collect();
    state.insert("completed_frameworks".to_owned(), completed);
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
    Value::Object(state)
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

fn framework(framework: &Framework) -> Value {
    let mut object = v0::framework(&framework.info);
    let executors = framework.executors.values().map(|it| executor(it));
    let completed = framework.completed.iter().map(|it| executor(it));
    object.insert("executors".to_owned(), executors.collect());
    object.insert("completed_executors".to_owned(), completed.collect());
    Value::Object(object)
}

fn executor(executor: &Executor) -> Value {
    let mut object = v0::executor(&executor.info);
    let tasks = |is_over: bool| -> Value {
        let of_kind = |task: &&v1::Task| is_terminal(task.state()) == is_over;
        executor.tasks().filter(of_kind).map(task).collect()
    };
    object.extend(self::object(json!({
        "id": executor.run.executor,
        "source": executor.info.source(),
        "container": executor.run.container,
        "directory": executor.sandbox,
        "resources": total(&executor.resources()).flat_json(),
        "queued_tasks": [],
    })));
    object.insert("tasks".to_owned(), tasks(false));
    object.insert("completed_tasks".to_owned(), tasks(true));
    Value::Object(object)
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
