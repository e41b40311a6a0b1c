//! How the cluster looks from outside: JSON with the key names that clients read, and one page.
//!
//! Everything here only reads.

pub mod home;
pub mod metrics;
pub mod roles;
pub mod state;
pub mod summary;
pub mod system;
pub mod tasks;

use proto::resources::Resources;
use serde_json::{Map, Value};

use crate::cluster::{Agent, Cluster, Framework};

/// What does not change while the master runs.
#[derive(Debug)]
pub struct About {
    pub flags: Map<String, Value>,
    pub cluster: Option<String>,
    /// `host:port` under which a browser reaches this master.
    pub endpoint: String,
    /// Seconds since 1970.
    pub start_time: f64,
}

fn offered_on(cluster: &Cluster, agent: &Agent) -> Resources {
    sum(agent
        .offers
        .iter()
        .filter_map(|id| cluster.offers.get(id))
        .map(|offer| &offer.resources))
}

fn used_on(cluster: &Cluster, agent: &Agent) -> Resources {
    let tasks = agent.tasks.iter().filter_map(|(framework, task)| {
        cluster
            .frameworks
            .get(framework)?
            .tasks
            .get(task)
            .map(|task| &task.resources)
    });
    sum(tasks.chain(agent.executors.values().map(|executor| &executor.resources)))
}

fn offered_to(cluster: &Cluster, framework: &Framework) -> Resources {
    let offers = framework
        .offers
        .iter()
        .filter_map(|id| cluster.offers.get(id));
    sum(offers.map(|offer| &offer.resources))
}

fn used_by(cluster: &Cluster, framework: &Framework) -> Resources {
    let executors = cluster.agents.values().flat_map(|agent| &agent.executors);
    let mine = executors.filter(|((owner, _), _)| *owner == framework.id);
    let tasks = framework.tasks.values().map(|task| &task.resources);
    sum(tasks.chain(mine.map(|(_, executor)| &executor.resources)))
}

/// Ports of different agents coincide, so they are united rather than counted.
fn sum<'a>(parts: impl Iterator<Item = &'a Resources>) -> Resources {
    parts.fold(Resources::new(), |mut all, part| {
        all += part;
        all
    })
}
