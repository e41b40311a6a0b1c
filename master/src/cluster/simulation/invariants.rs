//! What holds after every step.

use std::collections::BTreeMap;

use proto::resources::Resources;

use super::world::World;
use crate::cluster::{Cluster, FrameworkId, Link, Quantities};

pub fn check(world: &World) {
    check_books(&world.cluster);
    assert!(
        world
            .cluster
            .agents
            .values()
            .all(|agent| !agent.overcommitted)
    );
    offers_are_known_to_all(world);
    connected_agents_are_durable(world);
    nothing_of_an_agent_that_drains_is_offered(world);
}

/// What holds whatever agents and frameworks say.
pub fn check_books(cluster: &Cluster) {
    nothing_is_free_that_is_not_there(cluster);
    agents_add_up(cluster);
    allocations_add_up(cluster);
    capacity_adds_up(cluster);
    every_filter_has_a_deadline(cluster);
}

fn nothing_is_free_that_is_not_there(cluster: &Cluster) {
    for agent in cluster.agents.values() {
        let mut free = agent.free.clone();
        for offer in &agent.offers {
            free += &cluster.offers[offer].resources;
        }
        assert!(agent.total.contains(&free), "agent {}: {free}", agent.id);
    }
}

/// And the master knows of each that it does.
fn nothing_of_an_agent_that_drains_is_offered(world: &World) {
    for fake in &world.agents {
        let id = fake.link.and(fake.id.as_ref());
        let Some(agent) = id.and_then(|id| world.cluster.agents.get(id.value.as_str())) else {
            continue;
        };
        assert_eq!(agent.drain, fake.drain, "agent {}", agent.id);
        assert!(agent.drain.is_none() || agent.offers.is_empty());
    }
}

/// Total = free + used + offered, and no port is counted twice.
fn agents_add_up(cluster: &Cluster) {
    for agent in cluster.agents.values().filter(|agent| !agent.overcommitted) {
        let used = agent
            .tasks
            .iter()
            .map(|(framework, task)| &cluster.frameworks[framework].tasks[task].resources);
        let offered = agent
            .offers
            .iter()
            .map(|offer| &cluster.offers[offer].resources);
        let executors = agent.executors.values().map(|executor| &executor.resources);
        let parts = used
            .chain(offered)
            .chain(executors)
            .fold(agent.free.clone(), |all, part| {
                all.try_add(part).expect("nothing is counted twice")
            });
        assert_eq!(parts, agent.total, "agent {}", agent.id);
    }
}

fn allocations_add_up(cluster: &Cluster) {
    let mut sums: BTreeMap<(&FrameworkId, &str), Resources> = BTreeMap::new();
    for framework in cluster.frameworks.values() {
        for task in framework.tasks.values() {
            *sums.entry((&framework.id, &task.role)).or_default() += &task.resources;
        }
    }
    for agent in cluster.agents.values() {
        for ((framework, _), executor) in &agent.executors {
            *sums.entry((framework, &executor.role)).or_default() += &executor.resources;
        }
    }
    for offer in cluster.offers.values() {
        *sums.entry((&offer.framework, &offer.role)).or_default() += &offer.resources;
    }
    for framework in cluster.frameworks.values() {
        for (role, allocated) in &framework.allocated {
            let sum = sums
                .get(&(&framework.id, role.as_str()))
                .cloned()
                .unwrap_or_default();
            assert_eq!(
                *allocated,
                Quantities::of(&sum),
                "framework {} role {role}",
                framework.id
            );
        }
    }
}

fn capacity_adds_up(cluster: &Cluster) {
    let mut sum = Quantities::default();
    for agent in cluster.agents.values() {
        sum.add(&Quantities::of(&agent.total));
    }
    assert_eq!(cluster.capacity, sum);
}

/// What a framework holds is what the master thinks it holds.
fn offers_are_known_to_all(world: &World) {
    let mut held: Vec<&str> = world
        .frameworks
        .iter()
        .flat_map(|f| &f.offers)
        .map(|offer| offer.id.value.as_str())
        .collect();
    held.sort_unstable();
    let mut out: Vec<&str> = world.cluster.offers.keys().map(|id| id.as_str()).collect();
    out.sort_unstable();
    assert_eq!(held, out);
}

fn connected_agents_are_durable(world: &World) {
    for agent in world.cluster.agents.values() {
        assert!(world.stored.admitted.contains_key(&agent.id));
        assert!(matches!(agent.link, Link::Up { .. }) || agent.offers.is_empty());
    }
}

fn every_filter_has_a_deadline(cluster: &Cluster) {
    let claims = cluster
        .frameworks
        .values()
        .flat_map(|framework| framework.claims.values());
    let earliest = claims
        .flat_map(|claim| claim.filters.values().flatten())
        .map(|f| f.until)
        .min();
    if let Some(earliest) = earliest {
        assert!(cluster.next_deadline().is_some_and(|next| next <= earliest));
    }
}
