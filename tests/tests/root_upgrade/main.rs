//! The agent is replaced by another process, and nobody notices.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod clients;
mod deaths;
mod drains;
mod hand_over;
mod load;
mod roll_back;

use std::collections::BTreeSet;

use tests::apps::{Task, shell};
use tests::cluster::Cluster;
use tests::eventually;

/// What must be the same after whatever is tried.
#[derive(Debug, PartialEq, Eq)]
struct Steady {
    tasks: Vec<Task>,
    processes: BTreeSet<i32>,
    id: String,
}

/// A cluster with an agent whose tasks run.
async fn cluster() -> (Cluster, Steady) {
    let cluster = Cluster::start_upgradable().await;
    let mut app = shell("steady", "exec sleep 100000");
    app["instances"] = 2.into();
    cluster.run(&app).await;
    let steady = steady(&cluster).await;
    (cluster, steady)
}

async fn steady(cluster: &Cluster) -> Steady {
    let mut tasks = cluster.running("steady", 2).await;
    tasks.sort_by(|one, other| one.id.cmp(&other.id));
    let agent = &cluster.agents[0];
    Steady {
        tasks,
        processes: agent.processes(),
        id: agent.api.json("/state").await["id"].to_string(),
    }
}

/// The agent that there is ends its tasks as any does, and leaves nothing.
async fn ends_well(cluster: Cluster) {
    cluster.registered(1).await;
    cluster.settled().await;
    cluster.remove("steady").await;
    cluster.nothing_left().await;
}

/// Until there is no other process with the agent's command line.
async fn is_alone(cluster: &Cluster) {
    eventually("one process is the agent", || async {
        match cluster.agents[0].namesakes().as_slice() {
            [_one] => Ok(()),
            some => Err(format!("{some:?}")),
        }
    })
    .await;
}
