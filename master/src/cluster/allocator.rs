//! Who is offered what: dominant resource fairness over roles, then over the frameworks in a role.
//!
//! Pure: it looks at agents with something free and at what frameworks want, and says what to
//! offer. What a role is granted is everything of the agent it may use, to one framework.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use proto::resources::Resources;
use proto::v1::framework_info::capability::Type as Capability;

use super::agent::Agent;
use super::framework::{Claim, Framework};
use super::ids::{AgentId, FrameworkId};
use super::quantities::{Quantities, Thresholds};
use super::roles;

#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    pub framework: FrameworkId,
    pub role: String,
    pub agent: AgentId,
    pub resources: Resources,
}

/// What an allocation looks at.
pub struct Market<'a> {
    pub frameworks: &'a BTreeMap<FrameworkId, Framework>,
    pub capacity: &'a Quantities,
    pub min_allocatable: &'a Thresholds,
    pub up: Duration,
}

/// A framework in one role, with its allocation as it grows during the run.
struct Claimant<'a> {
    framework: &'a Framework,
    role: &'a str,
    claim: &'a Claim,
    allocated: Quantities,
    served: u64,
}

impl Market<'_> {
    /// Goes over the agents in the order given.
    pub fn allocate(&self, agents: &[&Agent]) -> Vec<Grant> {
        let mut claimants = self.claimants();
        let mut by_role = self.allocated_by_role();
        let mut grants = Vec::new();
        if claimants.is_empty() {
            return grants;
        }
        for agent in agents {
            let mut free = agent.free.clone();
            for role in self.roles_by_share(&claimants, &by_role) {
                let usable = usable_by(&free, &role);
                if usable.is_empty() {
                    continue;
                }
                let Some((winner, granted)) = self.winner(&mut claimants, &role, agent, &usable)
                else {
                    continue;
                };
                let amounts = Quantities::of(&granted);
                winner.allocated.add(&amounts);
                winner.served += 1;
                let framework = winner.framework.id.clone();
                for level in roles::lineage(&role) {
                    by_role.entry(level.to_owned()).or_default().add(&amounts);
                }
                free = free.try_sub(&granted).unwrap_or_default();
                grants.push(Grant {
                    framework,
                    role,
                    agent: agent.id.clone(),
                    resources: granted,
                });
            }
        }
        grants
    }

    /// Those that would take an offer now.
    fn claimants(&self) -> Vec<Claimant<'_>> {
        let connected = self
            .frameworks
            .values()
            .filter(|framework| framework.stream().is_some());
        connected
            .flat_map(|framework| {
                let wanted = framework
                    .claims
                    .iter()
                    .filter(|(_, claim)| !claim.suppressed);
                wanted.map(move |(role, claim)| Claimant {
                    framework,
                    role,
                    claim,
                    allocated: framework.allocated.get(role).cloned().unwrap_or_default(),
                    served: claim.served,
                })
            })
            .collect()
    }

    /// Every level of the hierarchy with all that is allocated at it and below.
    fn allocated_by_role(&self) -> BTreeMap<String, Quantities> {
        let mut sums: BTreeMap<String, Quantities> = BTreeMap::new();
        for (role, allocated) in self
            .frameworks
            .values()
            .flat_map(|framework| &framework.allocated)
        {
            for level in roles::lineage(role) {
                sums.entry(level.to_owned()).or_default().add(allocated);
            }
        }
        sums
    }

    /// The smallest share first, compared level by level from the root of the hierarchy.
    fn roles_by_share(
        &self,
        claimants: &[Claimant<'_>],
        by_role: &BTreeMap<String, Quantities>,
    ) -> Vec<String> {
        let share = |role: &str| {
            by_role
                .get(role)
                .map_or(0.0, |q| q.dominant_share(self.capacity))
        };
        let mut wanted: Vec<&str> = claimants.iter().map(|claimant| claimant.role).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut keyed: Vec<(Vec<(f64, &str)>, &str)> = wanted
            .into_iter()
            .map(|role| {
                (
                    roles::lineage(role)
                        .map(|level| (share(level), level))
                        .collect(),
                    role,
                )
            })
            .collect();
        keyed.sort_by(|(a, _), (b, _)| compare_lineages(a, b));
        keyed.into_iter().map(|(_, role)| role.to_owned()).collect()
    }

    fn winner<'c, 'a>(
        &self,
        claimants: &'c mut [Claimant<'a>],
        role: &str,
        agent: &Agent,
        usable: &Resources,
    ) -> Option<(&'c mut Claimant<'a>, Resources)> {
        claimants
            .iter_mut()
            .filter(|claimant| claimant.role == role)
            .map(|claimant| {
                let suited = suited_to(claimant.framework, usable);
                (claimant, suited)
            })
            .filter(|(claimant, suited)| self.would_take(claimant, agent, suited))
            .min_by(|(a, _), (b, _)| {
                let shares = (
                    a.allocated.dominant_share(self.capacity),
                    b.allocated.dominant_share(self.capacity),
                );
                let fairness = shares.0.total_cmp(&shares.1).then(a.served.cmp(&b.served));
                fairness.then_with(|| a.framework.id.cmp(&b.framework.id))
            })
    }

    fn would_take(&self, claimant: &Claimant<'_>, agent: &Agent, suited: &Resources) -> bool {
        let thresholds = claimant
            .claim
            .thresholds
            .as_ref()
            .unwrap_or(self.min_allocatable);
        let hidden = claimant
            .claim
            .filters
            .get(&agent.id)
            .is_some_and(|filters| {
                filters
                    .iter()
                    .any(|f| f.until > self.up && f.resources.contains(suited))
            });
        // Agents with GPUs are kept for those who can use them.
        let gpus_fit =
            agent.total.gpus() == 0.0 || claimant.framework.has(Capability::GpuResources);
        !suited.is_empty() && !hidden && gpus_fit && thresholds.met_by(&Quantities::of(suited))
    }
}

fn compare_lineages(a: &[(f64, &str)], b: &[(f64, &str)]) -> Ordering {
    let levels = a
        .iter()
        .zip(b)
        .map(|(a, b)| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
    levels
        .fold(Ordering::Equal, Ordering::then)
        .then(a.len().cmp(&b.len()))
}

/// Leaves out what the framework has not said that it understands.
fn suited_to(framework: &Framework, usable: &Resources) -> Resources {
    usable.filter(|resource| {
        (!resource.is_revocable() || framework.has(Capability::RevocableResources))
            && (!resource.is_shared() || framework.has(Capability::SharedResources))
            && (resource.reservations().len() < 2
                || framework.has(Capability::ReservationRefinement))
    })
}

fn usable_by(free: &Resources, role: &str) -> Resources {
    let mut usable = free.unreserved();
    for (reserved, resources) in free.reserved() {
        if roles::may_use_reservation(role, &reserved) {
            usable += &resources;
        }
    }
    usable
}
