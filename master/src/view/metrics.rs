//! `/metrics/snapshot`: flat numbers.

use std::collections::BTreeMap;

use proto::resources::Resources;
use proto::v1::TaskState;
use serde_json::{Map, Value, json};

use super::{offered_on, system, used_on};
use crate::cluster::{Cluster, Connection, Framework, Link, Now};

type Amount = fn(&Resources) -> f64;

/// States that tasks are in now; ends are counted instead.
#[rustfmt::skip]
const MEASURED: &[(&str, TaskState)] = &[
    ("master/tasks_staging", TaskState::TaskStaging),
    ("master/tasks_starting", TaskState::TaskStarting),
    ("master/tasks_running", TaskState::TaskRunning),
    ("master/tasks_killing", TaskState::TaskKilling),
];

#[rustfmt::skip]
const SCALARS: &[(&str, Amount)] = &[
    ("cpus", Resources::cpus), ("mem", Resources::mem),
    ("disk", Resources::disk), ("gpus", Resources::gpus),
];

pub fn snapshot(cluster: &Cluster, now: Now) -> Value {
    let mut all: BTreeMap<String, f64> = BTreeMap::new();
    let mut set = |name: &str, value: f64| {
        all.insert(name.to_owned(), value);
    };
    for (name, count) in cluster.counters.iter() {
        set(name, count as f64);
    }
    set("master/uptime_secs", now.up.as_secs_f64());
    set("master/elected", 1.0);
    set("master/outstanding_offers", cluster.offers.len() as f64);
    agents(cluster, &mut set);
    frameworks(cluster, &mut set);
    resources(cluster, &mut set);
    for name in ["messages", "dispatches", "http_requests"] {
        // The queue of the owner is empty whenever it answers this question.
        set(&format!("master/event_queue_{name}"), 0.0);
    }
    set("allocator/mesos/event_queue_dispatches", 0.0);
    set("registrar/queued_operations", 0.0);
    set("registrar/log/recovered", 1.0);
    for (name, value) in system::read().metrics() {
        set(&name, value);
    }
    let object: Map<String, Value> = all.into_iter().map(|(name, n)| (name, json!(n))).collect();
    Value::Object(object)
}

fn agents(cluster: &Cluster, set: &mut impl FnMut(&str, f64)) {
    let connected = cluster
        .agents
        .values()
        .filter(|a| matches!(a.link, Link::Up { .. }))
        .count();
    let away = cluster.agents.len() - connected;
    let active = cluster.agents.values().filter(|a| a.is_active()).count();
    set("master/slaves_active", active as f64);
    set("master/slaves_connected", connected as f64);
    set(
        "master/slaves_inactive",
        (cluster.agents.len() - active) as f64,
    );
    set("master/slaves_disconnected", away as f64);
    set(
        "master/slaves_unreachable",
        cluster.unreachable.len() as f64,
    );
}

fn frameworks(cluster: &Cluster, set: &mut impl FnMut(&str, f64)) {
    let is_connected = |f: &&Framework| matches!(f.connection, Connection::Connected { .. });
    let connected = cluster.frameworks.values().filter(is_connected).count();
    let away = cluster.frameworks.len() - connected;
    set("master/frameworks_active", connected as f64);
    set("master/frameworks_connected", connected as f64);
    set("master/frameworks_inactive", away as f64);
    set("master/frameworks_disconnected", away as f64);
    let tasks = || {
        cluster
            .frameworks
            .values()
            .flat_map(|framework| framework.tasks.values())
    };
    for (name, state) in MEASURED {
        set(
            name,
            tasks().filter(|task| task.wire.state() == *state).count() as f64,
        );
    }
    let unreachable = cluster
        .frameworks
        .values()
        .flat_map(|framework| framework.unreachable.iter());
    let unreachable = unreachable.filter(|task| task.wire.state() == TaskState::TaskUnreachable);
    set("master/tasks_unreachable", unreachable.count() as f64);
}

fn resources(cluster: &Cluster, set: &mut impl FnMut(&str, f64)) {
    for (name, amount) in SCALARS {
        let sum = |of: &dyn Fn(&crate::cluster::Agent) -> f64| -> f64 {
            cluster.agents.values().map(of).sum()
        };
        let total = sum(&|agent| amount(&agent.total));
        let used = sum(&|agent| amount(&used_on(cluster, agent)));
        let offered = sum(&|agent| amount(&offered_on(cluster, agent)));
        set(&format!("master/{name}_total"), total);
        set(&format!("master/{name}_used"), used);
        set(
            &format!("master/{name}_percent"),
            if total > 0.0 { used / total } else { 0.0 },
        );
        for kind in ["total", "used", "percent"] {
            // No agent offers revocable resources yet.
            set(&format!("master/{name}_revocable_{kind}"), 0.0);
        }
        set(&format!("allocator/mesos/resources/{name}/total"), total);
        set(
            &format!("allocator/mesos/resources/{name}/offered_or_allocated"),
            used + offered,
        );
    }
}
