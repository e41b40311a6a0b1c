//! `/roles`.

use std::collections::BTreeMap;

use proto::resources::Resources;
use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, FrameworkId};

#[derive(Default)]
struct Role {
    used: Resources,
    offered: Resources,
    reserved: Resources,
    frameworks: Vec<FrameworkId>,
}

pub fn roles(cluster: &Cluster) -> Value {
    let mut roles: BTreeMap<String, Role> = BTreeMap::from([("*".to_owned(), Role::default())]);
    for framework in cluster.frameworks.values() {
        for role in framework.claims.keys() {
            roles
                .entry(role.clone())
                .or_default()
                .frameworks
                .push(framework.id.clone());
        }
        for task in framework
            .tasks
            .values()
            .filter(|task| !task.resources.is_empty())
        {
            roles.entry(task.role.clone()).or_default().used += &task.resources;
        }
    }
    for agent in cluster.agents.values() {
        for executor in agent.executors.values() {
            roles.entry(executor.role.clone()).or_default().used += &executor.resources;
        }
        for (role, resources) in agent.total.reserved() {
            roles.entry(role).or_default().reserved += &resources;
        }
    }
    for offer in cluster.offers.values() {
        roles.entry(offer.role.clone()).or_default().offered += &offer.resources;
    }
    let shown: Vec<Value> = roles
        .into_iter()
        .map(|(name, role)| show(&name, &role))
        .collect();
    json!({ "roles": shown })
}

fn show(name: &str, role: &Role) -> Value {
    let mut all = role.used.clone();
    all += &role.offered;
    let ids: Vec<&str> = role.frameworks.iter().map(FrameworkId::as_str).collect();
    json!({
        "name": name,
        "weight": 1.0,
        "quota": { "role": name, "guarantee": {}, "limit": {}, "consumed": nonzero(&role.used) },
        "resources": nonzero(&all),
        "allocated": nonzero(&role.used),
        "offered": nonzero(&role.offered),
        "reserved": nonzero(&role.reserved),
        "frameworks": ids,
    })
}

fn nonzero(resources: &Resources) -> Map<String, Value> {
    resources
        .flat_json()
        .into_iter()
        .filter(|(_, value)| value.as_f64() != Some(0.0))
        .collect()
}
