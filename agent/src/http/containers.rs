//! `/containers`, `/monitor/statistics`, `/containerizer/debug`.
//!
//! Source: spec/mesos-agent.md sections 7.2, 7.3 and 22.

use std::collections::BTreeMap;
use std::sync::Arc;

use containerizer::Snapshot;
use endpoint::Query;
use fetcher::Fetcher;
use proto::v1;
use serde_json::{Value, json};

use super::pressure::pressure;
use super::reply::Failure;
use super::{timings, usage};
use crate::book::{Book, Executor, ExecutorState, Framework};
use crate::container::Container;
use crate::fetching::progress;
use crate::networks::Networks;
use crate::provisioning::Pulls;
use crate::quota::Quotas;

const SELECTION: &str = "select containers by container_id alone, by framework_id alone, or by \
                         framework_id together with executor_id";

/// What is measured elsewhere than in a container.
pub struct Meters {
    pub quotas: Option<Arc<Quotas>>,
    pub networks: Option<Networks>,
    pub pulls: Option<Arc<Pulls>>,
}

/// The same, read for all containers at once.
struct Read<'a> {
    quotas: Option<&'a Quotas>,
    denied: BTreeMap<String, u64>,
}

impl Meters {
    fn read(&self) -> Read<'_> {
        let networks = self.networks.as_ref();
        Read {
            quotas: self.quotas.as_deref(),
            denied: networks.map(Networks::denied).unwrap_or_default(),
        }
    }
}

/// By which monitors find what a container was not let say.
const DENIED: &str = "denied";

pub fn statistics(book: &Book, meters: &Meters) -> Value {
    let read = meters.read();
    let one = |(framework, executor): (&Framework, &Executor)| {
        Some(json!({
            "framework_id": framework.info.id.as_ref().map_or("", |id| &id.value),
            "executor_id": executor.run.executor,
            "executor_name": executor.info.name(),
            "source": executor.info.source(),
            "statistics": usage_of(&snapshot(executor)?, executor, &read),
        }))
    };
    book.executors().filter_map(one).collect()
}

pub fn containers(
    book: &Book,
    query: &Query,
    meters: &Meters,
    fetcher: Option<&Fetcher>,
) -> Result<Value, Failure> {
    let read = meters.read();
    let container = query.value("container_id");
    let framework = query.value("framework_id");
    let executor = query.value("executor_id");
    match (container, framework, executor) {
        (None, _, None) | (None, Some(_), Some(_)) | (Some(_), None, None) => {}
        (Some(_), _, _) | (None, None, Some(_)) => return Err(Failure::Selection(SELECTION)),
    }
    let is_wanted = |(_, e): &(&Framework, &Executor)| {
        container.is_none_or(|id| e.run.container == id)
            && framework.is_none_or(|id| e.run.framework == id)
            && executor.is_none_or(|id| e.run.executor == id)
            && e.state != ExecutorState::Terminated
    };
    let one = |(_, executor): (&Framework, &Executor)| {
        let mut object = json!({
            "container_id": executor.run.container,
            "framework_id": executor.run.framework,
            "executor_id": executor.run.executor,
            "executor_name": executor.info.name(),
            "source": executor.info.source(),
            "status": status(executor),
        });
        if let Some(snapshot) = snapshot(executor) {
            object["statistics"] = usage_of(&snapshot, executor, &read);
            if let Some(pressure) = pressure(&snapshot.cgroup.pressure) {
                object["pressure"] = pressure;
            }
        }
        // Ours, as the one before and those after: Mesos has no such keys.
        if let Some(timings) = executor.container.as_ref().and_then(Container::timings) {
            object["launch"] = timings::launch(timings);
        }
        let fetch = fetcher.and_then(|fetcher| fetcher.progress(&executor.sandbox));
        if let Some(fetch) = fetch {
            object["fetch"] = progress(fetch);
        }
        let pulls = meters.pulls.as_ref();
        if let Some(pull) = pulls.and_then(|pulls| pulls.of(&executor.sandbox)) {
            object["pull"] = pull;
        }
        object
    };
    let shows_nested = query.value("show_nested") == Some("true");
    let wanted: Vec<_> = book.executors().filter(is_wanted).collect();
    let nested = wanted.iter().filter(|_| shows_nested);
    let nested = nested.flat_map(|(_, executor)| self::nested(executor));
    Ok(wanted.iter().copied().map(one).chain(nested).collect())
}

/// The containers of tasks of groups, which are nested in their executor's.
fn nested(executor: &Executor) -> impl Iterator<Item = Value> + '_ {
    executor.nested().filter_map(|(task, id)| {
        let container = executor.members.get(&task.task_id.value)?;
        let newest = task.statuses.last();
        let mut status = newest
            .and_then(|it| it.container_status.clone())
            .unwrap_or_default();
        status.executor_pid = Some(container.pid());
        let mut object = json!({
            "container_id": id,
            "framework_id": executor.run.framework,
            "executor_id": executor.run.executor,
            "executor_name": executor.info.name(),
            "source": task.task_id.value,
            "status": proto::json::to_value(&status),
        });
        // What was requested for it is what its task asks for.
        let mut own = executor.clone();
        own.info.resources.clear();
        own.tasks.retain(|id, _| *id == task.task_id.value);
        if let Some(snapshot) = container.snapshot() {
            let usage = usage::usage(&snapshot, &own, None);
            object["statistics"] = proto::json::to_value(&usage);
        }
        Some(object)
    })
}

/// Launches that are under way.
pub fn debug(book: &Book) -> Value {
    let is_launching = |(_, e): &(&Framework, &Executor)| e.state == ExecutorState::Registering;
    let operation = |(_, e): (&Framework, &Executor)| json!({"operation": "launch", "args": {"containerId": e.run.container}});
    let pending: Vec<_> = book
        .executors()
        .filter(is_launching)
        .map(operation)
        .collect();
    json!({ "pending": pending })
}

fn status(executor: &Executor) -> Value {
    let newest = executor
        .tasks
        .values()
        .filter_map(|task| task.statuses.last())
        .next_back();
    let mut status = newest
        .and_then(|s| s.container_status.clone())
        .unwrap_or_default();
    status.container_id = Some(v1::ContainerId {
        value: executor.run.container.clone(),
        parent: None,
    });
    status.executor_pid = executor.container.as_ref().map(Container::pid);
    proto::json::to_value(&status)
}

fn usage_of(snapshot: &Snapshot, executor: &Executor, read: &Read<'_>) -> Value {
    let disk = read.quotas.and_then(|quotas| quotas.of(&executor.sandbox));
    let mut usage = usage::usage(snapshot, executor, disk);
    let denied = read.denied.get(&executor.run.container);
    let denied = denied.map(|packets| v1::TrafficControlStatistics {
        id: DENIED.to_owned(),
        drops: Some(*packets),
        ..Default::default()
    });
    usage.net_traffic_control_statistics.extend(denied);
    proto::json::to_value(&usage)
}

fn snapshot(executor: &Executor) -> Option<Snapshot> {
    executor.container.as_ref()?.snapshot()
}
