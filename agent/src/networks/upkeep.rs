//! What is asked of the plugins of named networks from time to time, about no task: CNI 1.1.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::Networks;

impl Networks {
    /// Has plugins take away what they remember of nobody who is here: whether all of them did. Blocks.
    pub fn collect_named(&self) -> bool {
        let collected = self.0.named.collect(|| self.is_left());
        collected.unwrap_or_else(|error| {
            let error = proto::error::chain(&error);
            tracing::warn!(
                error,
                "what plugins remember of tasks that are no more stays"
            );
            true
        })
    }

    /// Says which networks would connect no task now, once. Blocks, for all plugins.
    pub fn look_at_readiness(&self) {
        let Ok(unready) = self.0.named.unready() else {
            // Whoever wants to join one is told.
            return;
        };
        let now = unready.iter().map(|failure| {
            let why = proto::error::chain(failure);
            (failure.network.clone(), why)
        });
        let now: BTreeMap<_, _> = now.collect();
        // No panic leaves it half changed.
        let mut known = self
            .0
            .unready
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (network, error) in &now {
            if known.get(network) != Some(error) {
                tracing::warn!(network, error, "a network would connect no task now");
            }
        }
        for network in known.keys().filter(|it| !now.contains_key(*it)) {
            tracing::info!(network, "a network connects tasks again");
        }
        *known = now;
    }

    /// How many of them there were at the last look.
    pub fn unready(&self) -> usize {
        let known = self.0.unready.lock();
        known.unwrap_or_else(PoisonError::into_inner).len()
    }
}
