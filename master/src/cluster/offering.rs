//! Offers come and go: made where something is free, taken back when they are no longer true.

use std::collections::BTreeMap;

use proto::v1;
use rand::seq::SliceRandom as _;

use super::clock::Timer;
use super::ids::{FrameworkId, OfferId};
use super::{Agent, Cluster, Offer, Unallocated, allocator, events};

impl Cluster {
    /// Offers what is free where something has changed.
    pub(super) fn allocate(&mut self) {
        let mut agents: Vec<&Agent> = match std::mem::take(&mut self.unallocated) {
            Unallocated::Everywhere => self.agents.values().collect(),
            Unallocated::Agents(ids) => ids.iter().filter_map(|id| self.agents.get(id)).collect(),
        };
        agents.retain(|agent| agent.is_active() && !agent.free.is_empty());
        if agents.is_empty() {
            return;
        }
        agents.shuffle(&mut self.rng);
        self.counters.count("allocator/mesos/allocation_runs");
        let market = allocator::Market {
            frameworks: &self.frameworks,
            capacity: &self.capacity,
            min_allocatable: &self.config.min_allocatable,
            up: self.now.up,
        };
        let grants = market.allocate(&agents);
        self.make_offers(grants);
    }

    fn make_offers(&mut self, grants: Vec<allocator::Grant>) {
        let mut made: BTreeMap<FrameworkId, Vec<v1::Offer>> = BTreeMap::new();
        for grant in grants {
            self.take(
                &grant.agent,
                &grant.framework,
                &grant.role,
                &grant.resources,
            );
            let id = OfferId::assigned(self.master_id(), self.next_offer);
            self.next_offer += 1;
            let until = self
                .config
                .offer_timeout
                .map(|timeout| self.now.up.saturating_add(timeout));
            if let Some(until) = until {
                self.timers.set(until, Timer::Offer(id.clone()));
            }
            let allocator::Grant {
                framework,
                role,
                agent,
                resources,
            } = grant;
            let offer = Offer {
                id: id.clone(),
                framework,
                agent,
                role,
                resources,
                until,
            };
            if let Some(agent) = self.agents.get_mut(&offer.agent)
                && let Some(framework) = self.frameworks.get_mut(&offer.framework)
            {
                agent.offers.insert(id.clone());
                framework.offers.insert(id.clone());
                if let Some(claim) = framework.claims.get_mut(&offer.role) {
                    claim.served += 1;
                }
                made.entry(framework.id.clone())
                    .or_default()
                    .push(offer.wire(agent, framework));
            }
            self.offers.insert(id, offer);
        }
        for (framework, offers) in made {
            self.tell(&framework, events::offers(offers));
        }
    }

    /// Takes an offer off the table; its resources still count as allocated.
    pub(super) fn remove_offer(&mut self, id: &OfferId) -> Option<Offer> {
        let offer = self.offers.remove(id)?;
        if let Some(until) = offer.until {
            self.timers.clear(until, Timer::Offer(id.clone()));
        }
        if let Some(agent) = self.agents.get_mut(&offer.agent) {
            agent.offers.remove(id);
        }
        if let Some(framework) = self.frameworks.get_mut(&offer.framework) {
            framework.offers.remove(id);
        }
        Some(offer)
    }

    pub(super) fn rescind(&mut self, id: &OfferId) {
        if let Some(offer) = self.remove_offer(id) {
            self.give_back(
                &offer.agent,
                &offer.framework,
                &offer.role,
                &offer.resources,
            );
            self.tell(&offer.framework, events::rescind(id));
        }
    }
}
