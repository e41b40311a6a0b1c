//! How long an app takes to run, and what waiting costs: master, scheduler and one agent as their
//! own processes, on an otherwise idle machine.

#![expect(clippy::print_stdout, reason = "a bench is for reading")]
#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::cluster::Cluster;

const APPS: usize = 50;
const INSTANCES: usize = 100;
const IDLE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    let cluster = Cluster::start(1).await;
    idle(&cluster).await;
    one_by_one(&cluster).await;
    all_at_once(&cluster).await;
}

/// Resident memory and processor time of programs that have nothing to do.
async fn idle(cluster: &Cluster) {
    let before: Vec<_> = cluster.programs().map(usage).collect();
    tokio::time::sleep(IDLE).await;
    let mut total = 0.0;
    for (pid, before) in cluster.programs().zip(before) {
        let after = usage(pid);
        let busy = (after.ticks - before.ticks) as f64 / 100.0 / IDLE.as_secs_f64();
        total += after.resident_mb;
        println!(
            "idle {}: {:.1} MB resident, {:.2} % cpu",
            after.name,
            after.resident_mb,
            busy * 100.0
        );
    }
    println!("idle together: {total:.1} MB resident (goal: 40)");
}

/// POST of an app to TASK_RUNNING, for one app after the other.
async fn one_by_one(cluster: &Cluster) {
    let mut taken = Vec::new();
    for number in 0..APPS {
        let id = format!("bench-{number}");
        let started = Instant::now();
        cluster.post(&app(&id, 1)).await;
        running(cluster, &id, 1).await;
        taken.push(started.elapsed());
        cluster.remove(&id).await;
        cluster.nothing_left().await;
    }
    taken.sort_unstable();
    let at = |percent: usize| taken[(taken.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!(
        "POST /v2/apps to TASK_RUNNING, {APPS} times: p50 {:.1} ms (goal: 30), p90 {:.1} ms, worst {:.1} ms",
        at(50),
        at(90),
        at(100)
    );
}

async fn all_at_once(cluster: &Cluster) {
    let started = Instant::now();
    cluster.post(&app("crowd", INSTANCES)).await;
    running(cluster, "crowd", INSTANCES).await;
    let taken = started.elapsed();
    println!(
        "{INSTANCES} instances to TASK_RUNNING: {:.2} s (goal: 3)",
        taken.as_secs_f64()
    );
    cluster.remove("crowd").await;
    cluster.nothing_left().await;
}

/// Without ports, of which an agent of the tests offers few.
fn app(id: &str, instances: usize) -> Value {
    json!({
        "id": id, "cmd": "sleep 1000", "cpus": 0.01, "mem": 16,
        "instances": instances, "portDefinitions": [],
    })
}

/// Looks every millisecond, so that looking adds little.
async fn running(cluster: &Cluster, id: &str, instances: usize) {
    let path = format!("/v2/apps/{id}/tasks");
    loop {
        let tasks = cluster.marathon.json(&path).await;
        let all = tasks["tasks"].as_array().into_iter().flatten();
        if all.filter(|task| task["state"] == "TASK_RUNNING").count() == instances {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

struct Usage {
    name: String,
    resident_mb: f64,
    /// Hundredths of a second, user and system.
    ticks: u64,
}

fn usage(pid: u32) -> Usage {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let (status, stat, line) = (read("status"), read("stat"), read("cmdline"));
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kb: f64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    // After the name in brackets, utime and stime are the 12th and 13th. Source: proc_pid_stat(5).
    let numbers = stat.rsplit(')').next().unwrap().split_whitespace();
    Usage {
        name: line.split('\0').nth(1).unwrap_or_default().to_owned(),
        resident_mb: kb / 1024.0,
        ticks: numbers
            .skip(11)
            .take(2)
            .map(|number| number.parse::<u64>().unwrap())
            .sum(),
    }
}
