//! What the rotation of a log costs the task that writes it: a task appends as fast as it can, with
//! one write(2) for each line, and its log is rotated under it or not, in turn.

#![expect(clippy::print_stdout, reason = "a bench is for reading")]
#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::cluster::Cluster;

const ROUNDS: usize = 7;
const LINES: usize = 2_000_000;
/// Bytes of each, with its end.
const LINE: usize = 100;
/// What an agent takes when nobody says anything.
const SIZE: &str = "10MB";
const NEVER: &str = "0B";
/// For one task.
const LONGEST: Duration = Duration::from_secs(300);

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("write") => write(),
        _ => tokio::runtime::Runtime::new().unwrap().block_on(measure()),
    }
}

/// The task. Its rate goes to a file of that name.
fn write() {
    let mut log = fs::File::options().append(true).open("stdout").unwrap();
    let mut line = [b'.'; LINE];
    line[LINE - 1] = b'\n';
    let started = Instant::now();
    for number in 0..LINES {
        write!(&mut line[..], "{number:>12} ").unwrap();
        log.write_all(&line).unwrap();
    }
    let rate = (LINES * LINE) as f64 / started.elapsed().as_secs_f64() / 1e6;
    fs::write("rate.new", rate.to_string()).unwrap();
    fs::rename("rate.new", "rate").unwrap();
    std::thread::sleep(Duration::from_secs(1000));
}

async fn measure() {
    let cluster = Cluster::start(1).await;
    let (mut plain, mut rotated) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        plain.push(rate(&cluster, &format!("plain-{round}"), NEVER).await);
        rotated.push(rate(&cluster, &format!("rotated-{round}"), SIZE).await);
    }
    let metrics = cluster.agents[0].api.json("/metrics/snapshot").await;
    let count = |name: &str| metrics[name].as_f64().unwrap();
    assert_eq!(count("logs/rotation_failures"), 0.0);
    let (plain, rotated) = (median(plain), median(rotated));
    println!(
        "{LINES} lines of {LINE} bytes, p50 of {ROUNDS}: {plain:.0} MB/s plain, {rotated:.0} MB/s rotated at \
         {SIZE}: {:.2}x (goal: 0.9); {} rotations of {:.1} MB, {:.1} MB dropped unkept",
        rotated / plain,
        count("logs/rotations"),
        count("logs/rotated_bytes") / count("logs/rotations").max(1.0) / 1e6,
        count("logs/dropped_bytes") / 1e6,
    );
}

/// MB/s of one task.
async fn rate(cluster: &Cluster, id: &str, size: &str) -> f64 {
    let program = std::env::current_exe().unwrap();
    let app = json!({
        "id": id, "cmd": format!("exec {} write", program.display()), "cpus": 1, "mem": 64,
        "instances": 1, "portDefinitions": [], "env": {"CONTAINER_LOGGER_MAX_STDOUT_SIZE": size},
    });
    cluster.run(&app).await;
    let api = &cluster.agents[0].api;
    let state = api.json("/state").await;
    let executor = &state["frameworks"][0]["executors"][0];
    let rate = format!("{}/rate", executor["directory"].as_str().unwrap());
    let began = Instant::now();
    // Looking costs the task as little as can be.
    while !fs::exists(&rate).unwrap() {
        assert!(
            began.elapsed() < LONGEST,
            "{rate} is not written: is the disk full?"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let rate = fs::read_to_string(rate).unwrap().parse().unwrap();
    cluster.remove(id).await;
    cluster.nothing_left().await;
    rate
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
