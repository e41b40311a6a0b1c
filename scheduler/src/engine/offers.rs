//! Offers: asked for only while something waits, and answered at once.
//!
//! Nothing is polled and no offer is kept. While no app waits, offers are suppressed. As soon as
//! more is wanted than before, REVIVE drops every filter and the master offers what it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::v1;
use rand::Rng as _;

use super::search::{Bid, Search};
use super::{Call, Effects, Engine, Write};
use crate::app::{AppId, Timestamp};
use crate::instance::{Instance, InstanceId, Phase};
use crate::placement::{Pool, Reason, Share, Site};
use crate::root::Revision;
use crate::task;

/// Instances of one app that wait to be launched.
#[derive(Debug, Clone)]
pub struct Demand {
    pub count: u32,
    pub since: Timestamp,
    pub tally: Tally,
}

/// What became of the offers that this demand has seen.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub processed: usize,
    pub unused: usize,
    pub last_used_at: Option<Timestamp>,
    pub last_unused_at: Option<Timestamp>,
    pub reasons: BTreeMap<Reason, usize>,
    /// The newest offer of each agent, unless it was used; by agent id.
    pub newest: BTreeMap<String, Unused>,
}

/// An offer that was left, and why.
#[derive(Debug, Clone)]
pub struct Unused {
    pub offer: Arc<v1::Offer>,
    pub reason: Reason,
    pub at: Timestamp,
}

impl Demand {
    pub fn since(now: Timestamp) -> Self {
        Self {
            count: 0,
            since: now,
            tally: Tally::default(),
        }
    }
}

/// The subscription, and what the master was last told about offers.
#[derive(Debug)]
pub(super) enum Link {
    Down,
    Up {
        /// None: nothing yet.
        asked: Option<Asked>,
    },
}

#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    None,
    For {
        wanted: BTreeMap<AppId, u32>,
        /// An offer was left although it could have taken more.
        cut_short: bool,
    },
}

impl Asked {
    /// Whether the master offers enough for `wanted` without being told again.
    fn covers(&self, wanted: &BTreeMap<AppId, u32>) -> bool {
        match self {
            Asked::None
            | Asked::For {
                cut_short: true, ..
            } => false,
            Asked::For {
                wanted: before,
                cut_short: false,
            } => wanted
                .iter()
                .all(|(app, count)| before.get(app).is_some_and(|b| b >= count)),
        }
    }
}

impl Link {
    pub(super) fn new() -> Self {
        Link::Up { asked: None }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self, Link::Up { .. })
    }
}

impl Engine {
    pub(super) fn ask_for_offers(&mut self, now: Timestamp, effects: &mut Effects) {
        let wanted = self.launchable(now);
        let Link::Up { asked } = &mut self.link else {
            return;
        };
        if wanted.is_empty() {
            if *asked != Some(Asked::None) {
                effects.calls.push(Call::Suppress);
                *asked = Some(Asked::None);
            }
            return;
        }
        if !asked.as_ref().is_some_and(|asked| asked.covers(&wanted)) {
            effects.calls.push(Call::Revive);
        }
        *asked = Some(Asked::For {
            wanted,
            cut_short: false,
        });
    }

    /// Demand that no back-off holds up.
    fn launchable(&self, now: Timestamp) -> BTreeMap<AppId, u32> {
        let is_free = |app: &AppId| self.delayed_until(app, now).is_none();
        let free = self.demands.iter().filter(|(app, _)| is_free(app));
        free.map(|(app, demand)| (app.clone(), demand.count))
            .collect()
    }

    /// Places what waits, the longest wait first; every offer is answered.
    pub(super) fn consider(
        &mut self,
        offers: Vec<v1::Offer>,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let sites: Vec<Site> = offers.iter().map(Site::of).collect();
        let shunned = |offer: &v1::Offer| self.shunned.of(&offer.agent_id.value, now);
        let bid = |offer: v1::Offer| Bid {
            pool: Pool::new(&offer.resources).shunning(shunned(&offer)),
            offer: Arc::new(offer),
            tasks: Vec::new(),
        };
        let mut bids: Vec<Bid> = offers.into_iter().map(bid).collect();
        let mut waiting: Vec<(AppId, u32)> = self.launchable(now).into_iter().collect();
        waiting.sort_by_key(|(app, _)| self.demands.get(app).map(|d| d.since));
        for (app, count) in waiting {
            self.fill(&app, count, &sites, &mut bids, now, effects);
            self.dirty.insert(app);
        }
        self.answer(bids, effects);
    }

    fn answer(&mut self, bids: Vec<Bid>, effects: &mut Effects) {
        let full = self.config.max_instances_per_offer;
        let left_short = bids.iter().any(|bid| bid.tasks.len() >= full);
        if let Link::Up {
            asked: Some(Asked::For { cut_short, .. }),
        } = &mut self.link
        {
            *cut_short |= left_short;
        }
        let refuse = self.config.decline_offer_duration;
        let (declined, accepted): (Vec<_>, Vec<_>) =
            bids.into_iter().partition(|bid| bid.tasks.is_empty());
        for Bid { offer, tasks, .. } in accepted {
            // What is left may be wanted by the next instance: if so, revive drops this filter.
            effects.calls.push(Call::Accept {
                offer: offer.id.clone(),
                tasks,
                refuse,
            });
        }
        if !declined.is_empty() {
            let offers = declined.iter().map(|bid| bid.offer.id.clone()).collect();
            effects.calls.push(Call::Decline { offers, refuse });
        }
    }

    /// Launches up to `count` instances, each on the offer that got the fewest of them so far.
    fn fill(
        &mut self,
        app: &AppId,
        count: u32,
        sites: &[Site],
        bids: &mut [Bid],
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Some(revision) = self.goal(app).revision().cloned() else {
            return;
        };
        let definition = revision.last_config_change_at;
        let alike = self.instances(app).filter(|i| i.definition == definition);
        let placed: Vec<Site> = alike.map(|i| i.site.clone()).collect();
        let mut search = Search::new(&revision.app, sites, placed.iter().collect());
        for _ in 0..count {
            let lot = self.rng.random_range(0..usize::from(u16::MAX));
            let full = self.config.max_instances_per_offer;
            let Some((at, share)) = search.next(bids, full, lot) else {
                break;
            };
            self.launch(&revision, &sites[at], &mut bids[at], share, now, effects);
        }
        let Search {
            refused,
            is_any_used,
            ..
        } = search;
        self.record(app, bids, &refused, is_any_used, now);
    }

    fn launch(
        &mut self,
        revision: &Revision,
        site: &Site,
        bid: &mut Bid,
        share: Share,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let app = &revision.app.id;
        let instance = Instance {
            id: InstanceId::new(app, self.uuid()),
            app: app.clone(),
            incarnation: 1,
            version: revision.version,
            definition: revision.last_config_change_at,
            agent_id: bid.offer.agent_id.value.clone(),
            site: site.clone(),
            ports: share.host_ports,
            addresses: Vec::new(),
            staged_at: now,
            started_at: None,
            phase: Phase::Staging,
            healthy: None,
            is_checked: !revision.app.health_checks.is_empty(),
            ending: None,
        };
        bid.tasks
            .push(task::info(revision, &instance, share.resources));
        self.watch(&instance, now);
        effects.writes.push(Write::Instance(instance.clone()));
        self.insert(instance);
    }

    fn record(
        &mut self,
        app: &AppId,
        bids: &[Bid],
        refused: &BTreeMap<usize, Reason>,
        used: bool,
        now: Timestamp,
    ) {
        let Some(Demand { tally, .. }) = self.demands.get_mut(app) else {
            return;
        };
        tally.processed += bids.len();
        tally.unused += refused.len();
        if used {
            tally.last_used_at = Some(now);
        }
        if !refused.is_empty() {
            tally.last_unused_at = Some(now);
        }
        for reason in refused.values() {
            *tally.reasons.entry(*reason).or_insert(0) += 1;
        }
        for (at, bid) in bids.iter().enumerate() {
            let agent = &bid.offer.agent_id.value;
            match refused.get(&at) {
                Some(reason) => {
                    let offer = Arc::clone(&bid.offer);
                    let reason = *reason;
                    let unused = Unused {
                        offer,
                        reason,
                        at: now,
                    };
                    tally.newest.insert(agent.clone(), unused);
                }
                None => {
                    tally.newest.remove(agent);
                }
            }
        }
    }
}
