//! What a network of its own adds to a task, from a framework's operation to its update and from its kill to its
//! end, by a master and an agent that are processes of their own; on a host whose network is not this one's.

#![expect(clippy::print_stdout, reason = "a bench is for reading")]

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::apart::apart;
use tests::cluster::Cluster;
use tests::framework::Framework;
use tests::percentiles::Percentiles;

const WARM_UP: usize = 5;
const ROUNDS: usize = 200;

fn main() {
    // `cargo test --benches` only wants to know that it is there.
    if std::env::args().any(|word| word == "--bench") {
        apart(in_turn);
    }
}

/// One with the host's network and one on the bridge, so that what the machine does meanwhile falls on both.
async fn in_turn() {
    // Offers come at once, and are not measured.
    let cluster = Cluster::start_with(&["--allocation_interval=20ms"], 1).await;
    let mut framework = Framework::subscribe(&cluster.api.address, "bench").await;
    let (mut plain, mut bridged) = (Lives::default(), Lives::default());
    for at in 0..WARM_UP + ROUNDS {
        for (lives, has_network) in [(&mut plain, false), (&mut bridged, true)] {
            let life = live(&cluster, &mut framework, at, has_network).await;
            if at >= WARM_UP {
                lives.launched.push(life.0);
                lives.ended.push(life.1);
            }
        }
    }
    println!("in turn, {ROUNDS} times each:");
    let what = "ACCEPT to TASK_RUNNING";
    tell(what, plain.launched, bridged.launched, " (goal: p50 1.5)");
    let what = "KILL to TASK_KILLED";
    tell(what, plain.ended, bridged.ended, "");
}

#[derive(Default)]
struct Lives {
    launched: Vec<Duration>,
    ended: Vec<Duration>,
}

/// How long a task took to run and, killed, to end; when it returns nothing of it is left.
async fn live(
    cluster: &Cluster,
    framework: &mut Framework,
    at: usize,
    has_network: bool,
) -> (Duration, Duration) {
    let id = format!("task-{at}-{has_network}");
    let port = has_network.then_some(cluster.agents[0].ports.0);
    let begun = Cell::new(Instant::now());
    let offer = framework.launch(|offer| {
        begun.set(Instant::now());
        vec![task(offer, &id, port)]
    });
    let offer = offer.await;
    comes_to(framework, &id, "TASK_RUNNING").await;
    let launched = begun.get().elapsed();
    let kill = json!({ "task_id": { "value": id }, "agent_id": offer["agent_id"] });
    let killed = Instant::now();
    framework.call("KILL", kill).await;
    comes_to(framework, &id, "TASK_KILLED").await;
    let ended = killed.elapsed();
    cluster.nothing_left().await;
    (launched, ended)
}

/// Hears of the task until it is in that state.
async fn comes_to(framework: &mut Framework, id: &str, state: &str) {
    loop {
        let update = framework.update().await;
        assert_eq!(update["task_id"]["value"], id, "{update:#}");
        if update["state"] == state {
            return;
        }
        let is_on_its_way = ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"]
            .iter()
            .any(|it| update["state"] == *it);
        assert!(is_on_its_way, "{update:#}");
    }
}

/// All that is offered is its, so that there is one offer at a time. With a port: on the bridge, and that one of
/// the host's leads to it.
fn task(offer: &Value, id: &str, port: Option<u16>) -> Value {
    let mut task = json!({
        "name": id,
        "task_id": { "value": id },
        "agent_id": offer["agent_id"],
        "resources": offer["resources"],
        "command": { "value": "exec sleep 1000" },
    });
    if let Some(port) = port {
        task["container"] = json!({ "type": "MESOS", "network_infos": [{
            "name": "mesos-bridge",
            "port_mappings": [{ "host_port": port, "container_port": 80 }],
        }] });
    }
    task
}

fn tell(what: &str, plain: Vec<Duration>, bridged: Vec<Duration>, goal: &str) {
    let (plain, bridged) = (Percentiles::of(plain), Percentiles::of(bridged));
    println!("{what}, with the host's network: {plain:.2}");
    println!("{what}, with one of its own and a port: {bridged:.2}");
    println!(
        "  which adds p50 {:.2} ms, p99 {:.2} ms{goal}",
        bridged.p50 - plain.p50,
        bridged.p99 - plain.p99
    );
}
