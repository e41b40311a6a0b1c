//! How long an app takes to run, and what waiting costs: master, scheduler and one agent as their
//! own processes, on an otherwise idle machine.

#![expect(clippy::print_stdout, reason = "a bench is for reading")]
#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::local::Local;
use tests::percentiles::Percentiles;

const APPS: usize = 100;
const INSTANCES: usize = 100;
const CROWDS: usize = 10;
/// In which an agent looks for garbage once, and gives back the memory of a burst.
const MINUTE: Duration = Duration::from_secs(65);
const IDLE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    let local = Local::new("bench");
    let up = local.start(&["up"]);
    up.says("longshore is up").await;
    idle("in one process", &[up.pid()]).await;
    drop(up);
    let cluster = Cluster::start(1).await;
    let programs: Vec<u32> = cluster.programs().collect();
    idle("fresh", &programs).await;
    one_by_one(&cluster).await;
    for number in 0..CROWDS {
        all_at_once(&cluster, number).await;
    }
    let tasks = APPS + CROWDS * INSTANCES;
    idle(&format!("right after {tasks} tasks"), &programs).await;
    tokio::time::sleep(MINUTE).await;
    idle(&format!("a minute after {tasks} tasks"), &programs).await;
}

/// Resident memory and processor time of programs that have nothing to do.
async fn idle(when: &str, programs: &[u32]) {
    let before: Vec<_> = programs.iter().copied().map(usage).collect();
    tokio::time::sleep(IDLE).await;
    let (mut memory, mut cpu) = (0.0, 0.0);
    for (pid, before) in programs.iter().copied().zip(before) {
        let after = usage(pid);
        let busy = (after.ticks - before.ticks) as f64 / IDLE.as_secs_f64();
        memory += after.resident_mb;
        cpu += busy;
        println!(
            "idle, {when}: {} {:.1} MB resident, {busy:.2} % cpu",
            after.name, after.resident_mb
        );
    }
    println!("idle, {when}: together {memory:.1} MB (goal: 40), {cpu:.2} % cpu (goal: 0.5)");
}

/// POST of an app to TASK_RUNNING, for one app after the other; and in turn with it, what this
/// machine takes at that moment to start a shell that does nothing, as a measure of its mood.
async fn one_by_one(cluster: &Cluster) {
    let (mut taken, mut shell) = (Vec::new(), Vec::new());
    for number in 0..APPS {
        let id = format!("bench-{number}");
        let started = Instant::now();
        cluster.post(&app(&id, 1)).await;
        running(cluster, &id, 1).await;
        taken.push(started.elapsed());
        cluster.remove(&id).await;
        cluster.nothing_left().await;
        let started = Instant::now();
        let status = std::process::Command::new("/bin/sh")
            .args(["-c", ":"])
            .status();
        assert!(status.unwrap().success());
        shell.push(started.elapsed());
    }
    let (post, shell) = (Percentiles::of(taken), Percentiles::of(shell));
    println!("POST /v2/apps to TASK_RUNNING, {APPS} times: {post} (goal: p50 30 ms)");
    println!(
        "a shell that does nothing, in turn with it: {shell}; POST to TASK_RUNNING takes {:.1} times that",
        post.p50 / shell.p50
    );
}

async fn all_at_once(cluster: &Cluster, number: usize) {
    let id = format!("crowd-{number}");
    let started = Instant::now();
    cluster.post(&app(&id, INSTANCES)).await;
    running(cluster, &id, INSTANCES).await;
    let taken = started.elapsed();
    println!(
        "{INSTANCES} instances to TASK_RUNNING: {:.2} s (goal: 3)",
        taken.as_secs_f64()
    );
    cluster.remove(&id).await;
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
