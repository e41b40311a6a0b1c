//! `/tasks`: a page of tasks, in the order in which they started.

use std::str::FromStr;

use endpoint::Query;
use proto::v0;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Framework, Task};

const DEFAULT_LIMIT: usize = 100;

pub fn tasks(cluster: &Cluster, query: &Query) -> Result<Value, String> {
    let limit = number(query, "limit")?.unwrap_or(DEFAULT_LIMIT);
    let offset = number(query, "offset")?.unwrap_or(0);
    let descending = match query.value("order") {
        None | Some("des" | "desc") => true,
        Some("asc") => false,
        Some(other) => return Err(format!("order={other} is not known: use asc or des")),
    };
    let is = |name: &str, value: &str| query.value(name).is_none_or(|wanted| wanted == value);
    let live = cluster.frameworks.values();
    let frameworks = live.chain(cluster.completed.iter().map(|past| &past.framework));
    let mut found: Vec<&Task> = frameworks
        .filter(|framework| is("framework_id", framework.id.as_str()))
        .flat_map(all_tasks)
        .filter(|task| is("task_id", task.id.as_str()))
        .collect();
    found.sort_by(|a, b| started(a).total_cmp(&started(b)));
    if descending {
        found.reverse();
    }
    let page = found.into_iter().skip(offset).take(limit);
    Ok(json!({ "tasks": page.map(|task| v0::task(&task.wire)).collect::<Vec<_>>() }))
}

fn all_tasks(framework: &Framework) -> impl Iterator<Item = &Task> {
    let past = framework
        .unreachable
        .iter()
        .chain(framework.completed.iter());
    framework.tasks.values().chain(past)
}

/// A task without a status is about to start.
fn started(task: &Task) -> f64 {
    task.wire
        .statuses
        .first()
        .and_then(|status| status.timestamp)
        .unwrap_or(f64::INFINITY)
}

fn number<T: FromStr>(query: &Query, name: &str) -> Result<Option<T>, String> {
    let Some(text) = query.value(name) else {
        return Ok(None);
    };
    let bad = |_| format!("{name}={text} is not a number from 0 up");
    text.parse().map(Some).map_err(bad)
}
