//! Filters: what a framework declined stays hidden from it for a while.

use std::time::Duration;

use proto::resources::Resources;
use proto::v1;

use super::clock::Timer;
use super::framework::Filter;
use super::ids::{AgentId, FrameworkId};
use super::{Cluster, Offer};

/// A framework cannot hide an agent for longer than this.
const MAX_REFUSAL: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const DEFAULT_REFUSAL: Duration = Duration::from_secs(5);

/// How long declined resources stay hidden.
pub(super) fn refusal(filters: Option<&v1::Filters>) -> Duration {
    let seconds = filters.map_or(DEFAULT_REFUSAL.as_secs_f64(), v1::Filters::refuse_seconds);
    if seconds.is_nan() || seconds < 0.0 {
        return DEFAULT_REFUSAL;
    }
    Duration::try_from_secs_f64(seconds).map_or(MAX_REFUSAL, |wish| wish.min(MAX_REFUSAL))
}

impl Cluster {
    /// The end of a filter that starts now: a multiple of the allocation interval, so that many
    /// filters end in one allocation. A plain "no" without a filter holds until the next interval,
    /// otherwise the same offer would go back and forth at the speed of the network.
    pub(super) fn wait_for(&self, refusal: Duration) -> Option<Duration> {
        let interval = self.config.allocation_interval.as_nanos().max(1);
        let end = (self.now.up + refusal).as_nanos();
        let rounded = end.div_ceil(interval) * interval;
        u64::try_from(rounded).ok().map(Duration::from_nanos)
    }

    /// Gives declined resources back, hidden from the framework until `until`.
    pub(super) fn put_back(
        &mut self,
        offer: &Offer,
        declined: &Resources,
        until: Option<Duration>,
    ) {
        if declined.is_empty() {
            return;
        }
        if let Some(until) = until {
            let resources = declined.clone();
            self.hide(offer, Filter { resources, until });
        }
        self.give_back(&offer.agent, &offer.framework, &offer.role, declined);
    }

    /// Of two filters, one that hides no more and ends no later than the other is of no use.
    fn hide(&mut self, offer: &Offer, new: Filter) {
        let framework = self.frameworks.get_mut(&offer.framework);
        let Some(claim) = framework.and_then(|f| f.claims.get_mut(&offer.role)) else {
            return;
        };
        let filters = claim.filters.entry(offer.agent.clone()).or_default();
        let covers =
            |a: &Filter, b: &Filter| a.until >= b.until && a.resources.contains(&b.resources);
        if filters.iter().any(|old| covers(old, &new)) {
            return;
        }
        let (useless, mut kept): (Vec<_>, Vec<_>) =
            filters.drain(..).partition(|old| covers(&new, old));
        let until = new.until;
        kept.push(new);
        *filters = kept;
        let ended = useless
            .into_iter()
            .map(|filter| (filter.until, offer.agent.clone()));
        self.forget_deadlines(&offer.framework, ended.collect());
        let timer = Timer::Filter(offer.framework.clone(), offer.agent.clone());
        self.timers.set(until, timer);
    }

    /// Drops the filters of the roles that `which` picks.
    pub(super) fn clear_filters(&mut self, id: &FrameworkId, which: impl Fn(&str) -> bool) {
        let Some(framework) = self.frameworks.get_mut(id) else {
            return;
        };
        let mut ended = Vec::new();
        for (_, claim) in framework.claims.iter_mut().filter(|(role, _)| which(role)) {
            for (agent, filters) in std::mem::take(&mut claim.filters) {
                ended.extend(filters.iter().map(|filter| (filter.until, agent.clone())));
            }
        }
        self.forget_deadlines(id, ended);
    }

    /// Drops everyone's filters on an agent that is no longer what was declined.
    pub(super) fn clear_filters_on(&mut self, agent: &AgentId) {
        for id in self.frameworks.keys().cloned().collect::<Vec<_>>() {
            let Some(framework) = self.frameworks.get_mut(&id) else {
                continue;
            };
            let claims = framework.claims.values_mut();
            let dropped = claims
                .filter_map(|claim| claim.filters.remove(agent))
                .flatten();
            let ended = dropped
                .map(|filter| (filter.until, agent.clone()))
                .collect();
            self.forget_deadlines(&id, ended);
        }
    }

    /// Filters of one agent that end together share a deadline: what is left keeps it.
    fn forget_deadlines(&mut self, id: &FrameworkId, ended: Vec<(Duration, AgentId)>) {
        let claims = || {
            self.frameworks
                .get(id)
                .into_iter()
                .flat_map(|f| f.claims.values())
        };
        for (until, agent) in ended {
            let left = claims()
                .filter_map(|claim| claim.filters.get(&agent))
                .flatten();
            if left.into_iter().all(|filter| filter.until != until) {
                self.timers.clear(until, Timer::Filter(id.clone(), agent));
            }
        }
    }

    pub(super) fn filter_ended(&mut self, framework: &FrameworkId, agent: AgentId) {
        let up = self.now.up;
        if let Some(framework) = self.frameworks.get_mut(framework) {
            for claim in framework.claims.values_mut() {
                if let Some(filters) = claim.filters.get_mut(&agent) {
                    filters.retain(|filter| filter.until > up);
                }
                claim.filters.retain(|_, filters| !filters.is_empty());
            }
        }
        self.unallocated.include(&agent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_brought_into_range() {
        let of = |seconds| {
            refusal(Some(&v1::Filters {
                refuse_seconds: Some(seconds),
            }))
        };
        assert_eq!(refusal(None), DEFAULT_REFUSAL);
        assert_eq!(refusal(Some(&v1::Filters::default())), DEFAULT_REFUSAL);
        assert_eq!(of(-1.0), DEFAULT_REFUSAL);
        assert_eq!(of(f64::NAN), DEFAULT_REFUSAL);
        assert_eq!(of(0.0), Duration::ZERO);
        assert_eq!(of(f64::INFINITY), MAX_REFUSAL);
        assert_eq!(of(1e9), MAX_REFUSAL);
    }
}
