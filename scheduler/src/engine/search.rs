//! The search for places: which of the offers at hand takes the next instance of an app.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::v1;

use crate::app::App;
use crate::placement::{self, Pool, Reason, Scene, Share, Site};

/// An offer being filled.
pub(super) struct Bid {
    pub(super) offer: Arc<v1::Offer>,
    pub(super) pool: Pool,
    pub(super) tasks: Vec<v1::TaskInfo>,
}

/// Where the instances of one app go, among the offers at hand.
pub(super) struct Search<'a> {
    app: &'a App,
    sites: &'a [Site],
    /// Where instances of this definition are, those just placed included.
    placed: Vec<&'a Site>,
    /// Offers that may take more: how many instances each took, and its index.
    open: Vec<(u32, usize)>,
    /// Why an offer did not take one more, by its index.
    pub(super) refused: BTreeMap<usize, Reason>,
    pub(super) is_any_used: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new(app: &'a App, sites: &'a [Site], placed: Vec<&'a Site>) -> Self {
        Self {
            app,
            sites,
            placed,
            open: (0..sites.len()).map(|at| (0, at)).collect(),
            refused: BTreeMap::new(),
            is_any_used: false,
        }
    }

    /// Cuts the share of one more instance from the offer that took the fewest so far, and says
    /// which that is. `full` instances are what one offer takes at most.
    pub(super) fn next(
        &mut self,
        bids: &mut [Bid],
        full: usize,
        lot: usize,
    ) -> Option<(usize, Share)> {
        self.open.retain(|(_, at)| bids[*at].tasks.len() < full);
        self.open.sort_unstable();
        let candidates: Vec<&Site> = self.sites.iter().collect();
        let scene = Scene {
            placed: &self.placed,
            candidates: &candidates,
            target: self.app.instances,
        };
        let mut found = None;
        let mut hopeless = Vec::new();
        for (order, &(_, at)) in self.open.iter().enumerate() {
            let pool = &mut bids[at].pool;
            match placement::place(self.app, &self.sites[at], pool, scene, lot) {
                Ok(share) => {
                    found = Some((order, at, share));
                    break;
                }
                Err(reason) => {
                    self.refused.insert(at, reason);
                    // Another placement may open a constraint again, but nothing refills an offer.
                    if reason != Reason::UnfulfilledConstraint {
                        hopeless.push(at);
                    }
                }
            }
        }
        let (order, at, share) = found?;
        self.open[order].0 += 1;
        self.open.retain(|(_, at)| !hopeless.contains(at));
        self.placed.push(&self.sites[at]);
        self.is_any_used = true;
        Some((at, share))
    }
}
