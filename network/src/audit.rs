//! What of a node's network is not as it is written down.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::host::{self, HostError};
use crate::known::{Known, known};
use crate::lease::{Journal, JournalError, Lease, is_link};
use crate::nftables::Element;
use crate::port::Protocol;
use crate::ruleset::sets;
use crate::settings::Settings;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A port of the bridge that is no container's.
    Link { name: String },
    /// It leads to where no container is.
    Leads { port: u16, protocol: Protocol },
    /// It should lead to a container, and does not.
    Lost {
        port: u16,
        protocol: Protocol,
        container: String,
    },
    /// Of a container, or of none: who it is, and whom it may talk to.
    Rules { container: Option<String> },
    /// A container's link is no port of the bridge: nobody reaches it.
    Cut { container: String },
    /// Addresses of a container that is not there.
    Lease { container: String },
}

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("cannot look at the node's bridge")]
    Host(#[from] HostError),
    #[error("cannot read which addresses containers have")]
    Journal(#[from] JournalError),
}

/// What the kernel has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Names of the ports of our bridge.
    pub links: BTreeSet<String>,
    pub elements: BTreeSet<Element>,
}

/// What is there of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It has a network.
    Lives,
    /// It is on its way in or out: its link comes before it, and goes when its last process ends.
    Recorded,
    Gone,
}

/// Of this thread's network.
pub fn audit(
    settings: &Settings,
    directory: &Path,
    presence: impl Fn(&str) -> Presence,
) -> Result<Vec<Difference>, AuditError> {
    // In this order: what is made meanwhile is written down first.
    let mut inventory = host::inventory(settings)?;
    let entries = Journal::new(directory).read()?;
    let Known {
        leases, unowned, ..
    } = known(entries, settings, || inventory.clone());
    // Whose they are cannot be told, and nobody else may take them away.
    for lease in &unowned {
        inventory.links.remove(&lease.link());
        for element in lease.elements() {
            inventory.elements.remove(&element);
        }
    }
    Ok(compare(&inventory, &leases, presence))
}

fn compare(
    inventory: &Inventory,
    leases: &BTreeMap<String, Lease>,
    presence: impl Fn(&str) -> Presence,
) -> Vec<Difference> {
    let known: BTreeSet<String> = leases.values().map(Lease::link).collect();
    let is_leased = |name: &String| !is_link(name) || known.contains(name);
    let links = inventory.links.iter().filter(|name| !is_leased(name));
    let links = links.map(|name| Difference::Link { name: name.clone() });
    let wanted: BTreeSet<Element> = leases.values().flat_map(Lease::elements).collect();
    let leads = inventory.elements.difference(&wanted);
    let leads = leads.map(|element| match sets::of_port(element) {
        Some((port, protocol)) => Difference::Leads { port, protocol },
        None => Difference::Rules { container: None },
    });
    let lost = leases.iter().flat_map(|(container, lease)| {
        let lost = lease
            .elements()
            .filter(|it| !inventory.elements.contains(it));
        lost.map(|element| match sets::of_port(&element) {
            Some((port, protocol)) => Difference::Lost {
                port,
                protocol,
                container: container.clone(),
            },
            None => Difference::Rules {
                container: Some(container.clone()),
            },
        })
    });
    let cut = leases.iter().filter(|(container, lease)| {
        presence(container) == Presence::Lives && !inventory.links.contains(&lease.link())
    });
    let cut = cut.map(|(container, _)| Difference::Cut {
        container: container.clone(),
    });
    let gone = leases
        .keys()
        .filter(|container| presence(container) == Presence::Gone);
    let gone = gone.map(|container| Difference::Lease {
        container: container.clone(),
    });
    let all = links.chain(leads).chain(lost).chain(cut).chain(gone);
    // IPv4 and IPv6 of one port are told once.
    let mut told = Vec::new();
    for difference in all {
        if !told.contains(&difference) {
            told.push(difference);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::Policy;
    use crate::port::Port;

    fn lease(number: u64, host: u16) -> Lease {
        Lease {
            number,
            addresses: vec!["10.0.0.2".parse().expect("an address")],
            ports: vec![Port {
                protocol: Protocol::Tcp,
                host,
                container: 80,
            }],
            egress: Some(Policy::default()),
            seen: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_down_and_there_is_no_difference() {
        let leases = BTreeMap::from([("a".to_owned(), lease(1, 31000))]);
        let inventory = Inventory {
            links: BTreeSet::from(["lshore0a000002".to_owned(), "eth7".to_owned()]),
            elements: leases["a"].elements().collect(),
        };
        assert_eq!(compare(&inventory, &leases, |_| Presence::Lives), []);
    }

    #[test]
    fn a_container_that_has_ended_needs_no_link() {
        let leases = BTreeMap::from([("a".to_owned(), lease(1, 31000))]);
        let inventory = Inventory {
            links: BTreeSet::new(),
            elements: leases["a"].elements().collect(),
        };
        assert_eq!(compare(&inventory, &leases, |_| Presence::Recorded), []);
    }

    #[test]
    fn each_difference_is_told() {
        let leases = BTreeMap::from([("a".to_owned(), lease(1, 31000))]);
        let inventory = Inventory {
            links: BTreeSet::from(["lshore0a000003".to_owned()]),
            elements: BTreeSet::from([sets::port(
                "10.0.0.2".parse().expect("an address"),
                &lease(1, 31001).ports[0],
            )]),
        };
        let told = compare(&inventory, &leases, |_| Presence::Gone);
        let protocol = Protocol::Tcp;
        let of_a = |told: &[Difference]| told.last().cloned();
        let cut = compare(&inventory, &leases, |_| Presence::Lives);
        let container = "a".to_owned();
        assert_eq!(of_a(&cut), Some(Difference::Cut { container }));
        let wanted = [
            Difference::Link {
                name: "lshore0a000003".to_owned(),
            },
            Difference::Leads {
                port: 31001,
                protocol,
            },
            Difference::Lost {
                port: 31000,
                protocol,
                container: "a".to_owned(),
            },
            Difference::Rules {
                container: Some("a".to_owned()),
            },
            Difference::Lease {
                container: "a".to_owned(),
            },
        ];
        assert_eq!(told, wanted);
    }
}
