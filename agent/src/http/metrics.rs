//! `/metrics/snapshot`. Names: spec/mesos-agent.md section 27.

use std::sync::atomic::Ordering;

use proto::resources::Resources;
use proto::v1::TaskState;
use serde_json::{Map, Value, json};

use super::Site;
use crate::book::{Book, ExecutorState, total};
use crate::{fetching, host};

/// A resource as metrics name it, and how much of it there is in a sum.
type Quantity = (&'static str, fn(&Resources) -> f64);

const RESOURCES: &[Quantity] = &[
    ("cpus", Resources::cpus),
    ("gpus", Resources::gpus),
    ("mem", Resources::mem),
    ("disk", Resources::disk),
];

/// States a task is in; a gauge each.
const LIVE: &[(&str, TaskState)] = &[
    ("staging", TaskState::TaskStaging),
    ("starting", TaskState::TaskStarting),
    ("running", TaskState::TaskRunning),
    ("killing", TaskState::TaskKilling),
];

/// States a task ends in; a counter each.
const ENDED: &[(&str, TaskState)] = &[
    ("finished", TaskState::TaskFinished),
    ("failed", TaskState::TaskFailed),
    ("killed", TaskState::TaskKilled),
    ("lost", TaskState::TaskLost),
    ("gone", TaskState::TaskGone),
    ("dropped", TaskState::TaskDropped),
    ("error", TaskState::TaskError),
];

const EXECUTORS: &[(&str, ExecutorState)] = &[
    ("registering", ExecutorState::Registering),
    ("running", ExecutorState::Running),
    ("terminating", ExecutorState::Terminating),
];

pub fn snapshot(site: &Site, book: &Book) -> Value {
    let mut metrics = Map::new();
    let mut set = |name: String, value: f64| metrics.insert(name, json!(value));
    set(
        "slave/uptime_secs".into(),
        site.since.elapsed().as_secs_f64(),
    );
    set(
        "slave/registered".into(),
        f64::from(u8::from(book.master.is_some())),
    );
    set(
        "slave/frameworks_active".into(),
        book.frameworks.len() as f64,
    );
    set(
        "slave/recovery_errors".into(),
        book.counters.recovery_errors as f64,
    );
    set(
        "slave/container_launch_errors".into(),
        book.counters.container_launch_errors as f64,
    );
    set(
        "slave/valid_status_updates".into(),
        book.counters.status_updates as f64,
    );
    for name in [
        "invalid_status_updates",
        "valid_framework_messages",
        "invalid_framework_messages",
    ] {
        set(format!("slave/{name}"), 0.0);
    }
    let drain = |is_so: bool| f64::from(u8::from(book.drain.is_some() && is_so));
    set("slave/draining".into(), drain(book.tasks_left() > 0));
    set("slave/drained".into(), drain(book.tasks_left() == 0));
    let (all, used) = (total(&book.info.resources), total(&book.used()));
    for (name, amount) in RESOURCES {
        let (all, used) = (amount(&all), amount(&used));
        set(format!("slave/{name}_total"), all);
        set(format!("slave/{name}_used"), used);
        set(
            format!("slave/{name}_percent"),
            if all > 0.0 { used / all } else { 0.0 },
        );
        for kind in ["total", "used", "percent"] {
            set(format!("slave/{name}_revocable_{kind}"), 0.0);
        }
    }
    for (name, state) in LIVE {
        let count = book.tasks().filter(|task| task.state() == *state).count();
        set(format!("slave/tasks_{name}"), count as f64);
    }
    for (name, state) in ENDED {
        let count = book
            .counters
            .ended
            .get(state.as_str_name())
            .copied()
            .unwrap_or(0);
        set(format!("slave/tasks_{name}"), count as f64);
    }
    for (name, state) in EXECUTORS {
        let count = book.executors().filter(|(_, e)| e.state == *state).count();
        set(format!("slave/executors_{name}"), count as f64);
    }
    let ended = book
        .all_executors()
        .filter(|e| e.state == ExecutorState::Terminated)
        .count();
    set("slave/executors_terminated".into(), ended as f64);
    set("slave/executors_preempted".into(), 0.0);
    let recovery = site.recovery.get().copied().unwrap_or_default();
    set("slave/recovery_time_secs".into(), recovery.as_secs_f64());
    set(
        "containerizer/mesos/container_destroy_errors".into(),
        book.counters.container_destroy_errors as f64,
    );
    let garbage = site.garbage();
    set(
        "slave/executor_directory_max_allowed_age_secs".into(),
        garbage.max_age.as_secs_f64(),
    );
    set("gc/path_removals_succeeded".into(), garbage.removed as f64);
    set("gc/path_removals_failed".into(), garbage.failed as f64);
    set("gc/path_removals_pending".into(), garbage.pending as f64);
    let logs = &site.logs;
    for (name, counter) in [
        ("logs/rotations", &logs.rotations),
        ("logs/rotated_bytes", &logs.rotated),
        ("logs/dropped_bytes", &logs.dropped),
        ("logs/rotation_failures", &logs.failures),
    ] {
        set(name.into(), counter.load(Ordering::Relaxed) as f64);
    }
    // Of those that count by project only.
    if let Some((total, free)) = site.quotas().and_then(|it| it.project_counts()) {
        let name = |kind: &str| format!("containerizer/mesos/disk/project_ids_{kind}");
        set(name("total"), total as f64);
        set(name("free"), free as f64);
    }
    if let Some(networks) = site.networks() {
        let denied = networks.denied();
        set(
            "containerizer/network/containers".into(),
            denied.len() as f64,
        );
        set(
            "containerizer/network/packets_denied".into(),
            denied.values().sum::<u64>() as f64,
        );
        set(
            "containerizer/network/named_networks_not_ready".into(),
            networks.unready() as f64,
        );
    }
    for (name, value) in site.fetcher().iter().flat_map(fetching::metrics) {
        set(format!("containerizer/fetcher/{name}"), value);
    }
    let audit = site.audit();
    set("audit/differences".into(), audit.differences as f64);
    set("audit/repairs_succeeded".into(), audit.repaired as f64);
    set("audit/repairs_failed".into(), audit.failed as f64);
    for (name, value) in host::system().metrics() {
        set(name, value);
    }
    Value::Object(metrics)
}
