//! Upgrades while tasks write, logs are rotated, and clients come and go.

use serde_json::json;
use tests::apps::shell;
use tests::cluster::{Agent, Cluster};
use tests::eventually;

use super::clients::{Until, follower, newcomer, regular, slow_reader};

/// Tasks that write.
const WRITERS: usize = 3;

/// Lines as fast as a shell writes them, with a little time between some; until it is told to end.
const WRITE: &str = "mkfifo never; exec 3<>never; i=0; while [ ! -e /stop/stop ]; do \
                     for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
                     echo \"line $i\"; i=$((i+1)); done; \
                     read -t 0.005 -u 3; done; echo end; exec sleep 100000";

/// Larger than what sockets keep.
const DOWNLOAD: usize = 48 << 20;

/// `LONGSHORE_UPGRADES=n` for more of them than a test needs.
fn upgrades() -> usize {
    let asked = std::env::var("LONGSHORE_UPGRADES");
    asked.map_or(2, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn root_upgrades_under_load_lose_no_byte_of_a_log_and_no_client() {
    let cluster = Cluster::start_upgradable().await;
    let end = tempfile::tempdir().unwrap();
    let mut app = shell("writer", WRITE);
    app["instances"] = WRITERS.into();
    app["env"] = json!({
        "CONTAINER_LOGGER_MAX_STDOUT_SIZE": "32KB",
        "CONTAINER_LOGGER_LOGROTATE_STDOUT_OPTIONS": "rotate 100",
    });
    app["container"] = json!({
        "type": "MESOS",
        "volumes": [{ "hostPath": end.path(), "containerPath": "/stop", "mode": "RO" }],
    });
    let tasks = cluster.run(&app).await;
    let agent = &cluster.agents[0];
    let processes = agent.processes();
    let address = agent.api.address.clone();

    let until = Until::default();
    let newcomers = [(); 2].map(|()| tokio::spawn(newcomer(address.clone(), until.clone())));
    let regulars = ["/health", "/state", "/metrics/snapshot"]
        .map(|path| tokio::spawn(regular(address.clone(), path, until.clone())));
    let mut followers = Vec::new();
    for task in &tasks {
        let file = format!("{}/stdout", agent.sandbox(&task.id).await.unwrap());
        followers.push(tokio::spawn(follower(address.clone(), file)));
    }
    let blob: Vec<u8> = (0..DOWNLOAD).map(|n| (n / 7 % 251) as u8).collect();
    let file = format!("{}/blob", agent.sandbox(&tasks[0].id).await.unwrap());
    std::fs::write(&file, &blob).unwrap();
    let download = tokio::spawn(slow_reader(address.clone(), file, until.clone()));

    let mut rotations = 0;
    for _ in 0..upgrades() {
        rotations += rotated(agent).await;
        let answer = agent.upgrade().await;
        assert!(answer.success, "{answer:?}");
    }
    rotations += rotated(agent).await;
    until.now();
    std::fs::write(end.path().join("stop"), "").unwrap();

    let (mut lines, mut bytes) = (0, 0);
    for follower in followers {
        let log = follower.await.unwrap();
        bytes += log.len();
        lines += whole_lines(&log);
    }
    let mut connections = 0;
    for newcomer in newcomers {
        connections += newcomer.await.unwrap();
    }
    let mut requests = 0;
    for regular in regulars {
        requests += regular.await.unwrap();
    }
    assert!(download.await.unwrap() == blob, "a download was mangled");
    // What prepared them may have run when they were looked at first.
    let after = agent.processes();
    assert!(after.is_subset(&processes), "a process was replaced");
    assert_eq!(after.len(), 2 * WRITERS, "{after:?}");
    assert_eq!(ids(&cluster.running("writer", WRITERS).await), ids(&tasks));
    told(&format!(
        "{} upgrades under load: {lines} lines in {bytes} bytes of {WRITERS} logs byte-exact over \
         {rotations} rotations; {connections} connections of newcomers and {requests} requests on kept \
         ones, 0 refused, 0 reset; a download of {DOWNLOAD} bytes across all of it byte-exact",
        upgrades()
    ));
    cluster.remove("writer").await;
    cluster.nothing_left().await;
}

/// Waits until this process of the agent has rotated logs, and gives how many.
async fn rotated(agent: &Agent) -> u64 {
    eventually("logs are rotated", || async {
        let metrics = agent.api.json("/metrics/snapshot").await;
        match metrics["logs/rotations"].as_f64() {
            Some(some) if some > 0.0 => Ok(some as u64),
            none => Err(format!("{none:?}")),
        }
    })
    .await
}

/// How many lines a log has, each of which must be there once and in its place.
fn whole_lines(log: &[u8]) -> usize {
    let text = std::str::from_utf8(log).unwrap();
    let mut count = 0;
    for (number, line) in text.lines().enumerate() {
        count = number + 1;
        match line {
            "end" => assert_eq!(text.lines().count(), count, "lines after the end"),
            line => assert_eq!(line, format!("line {number}")),
        }
    }
    count
}

fn ids(tasks: &[tests::apps::Task]) -> Vec<&str> {
    let mut ids: Vec<_> = tasks.iter().map(|task| task.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

#[expect(clippy::print_stdout, reason = "figures to be quoted")]
fn told(figures: &str) {
    println!("{figures}");
}
