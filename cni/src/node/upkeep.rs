//! What is asked of a network's plugins that is about no container: whether they are ready, and that they take away
//! what they remember of containers that are no more.

use std::sync::Arc;

use super::{AttachError, Books, Node, chain};
use crate::chain::Failure;
use crate::journal::Record;
use crate::network::Network;
use crate::plan::Valid;

/// Whom one is to connect with a network waits until this is dropped.
struct Collecting<'a> {
    node: &'a Node,
    network: &'a str,
}

impl Drop for Collecting<'_> {
    fn drop(&mut self) {
        self.node.books().collecting.remove(self.network);
        self.node.done.notify_all();
    }
}

impl Node {
    /// Of each network that is described and can be asked, why it would connect nobody now. Blocks.
    pub fn unready(&self) -> Result<Vec<Failure>, AttachError> {
        let networks = self.networks()?.networks;
        let asked = networks.values().map(|it| self.plugins.status(it));
        Ok(asked.filter_map(Result::err).collect())
    }

    /// Has plugins take away what they remember of containers that are not written down here. A network at which
    /// somebody is at work is left out, as all are once `is_over` says so: whether none was. Blocks.
    pub fn collect(&self, is_over: impl Fn() -> bool) -> Result<bool, AttachError> {
        let mut were_all = true;
        for network in self.networks()?.networks.values() {
            if network.can_collect {
                were_all &= !is_over() && self.collect_of(network);
            }
        }
        Ok(were_all)
    }

    fn collect_of(&self, network: &Network) -> bool {
        let name = &network.name;
        let valid = {
            let mut books = self.books();
            if books.is_at_work(name) {
                return false;
            }
            books.collecting.insert(name.clone());
            books.valid(name)
        };
        let collecting = Collecting {
            node: self,
            network: name,
        };
        for failure in self.plugins.collect(network, &valid) {
            let error = chain(&failure);
            tracing::warn!(
                network = name,
                error,
                "a plugin may remember containers that are no more"
            );
        }
        drop(collecting);
        true
    }
}

impl Books {
    fn is_at_work(&self, network: &str) -> bool {
        let is_busy = |(container, record): (&String, &Arc<Record>)| {
            self.busy.contains_key(container) && record.is_in(network)
        };
        self.records.iter().any(is_busy)
    }

    /// All that the network has.
    fn valid(&self, network: &str) -> Vec<Valid> {
        let of_container = |(container, record): (&String, &Arc<Record>)| {
            let own = record.attachments.iter();
            let own = own.filter(|it| it.network.name == network);
            let own = own.map(|it| Valid {
                container: container.clone(),
                interface: it.interface.clone(),
            });
            own.collect::<Vec<_>>()
        };
        self.records.iter().flat_map(of_container).collect()
    }
}
