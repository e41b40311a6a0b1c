//! What containers have, as far as it is written down; and of those whose lease cannot be read, as far as the kernel
//! tells it. Pure.
//!
//! A link of ours that no lease tells of is then one of theirs, and so is all that the rules say of it: whose it is
//! is known by the name of the link, which is written down beside the lease. Without that nobody can tell, and all of
//! it stays until each of them has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use state::BadRecord;

use crate::audit::Inventory;
use crate::lease::{Entry, Lease, Unread, ip_of};
use crate::nftables::Element;
use crate::port::Port;
use crate::ruleset::sets;
use crate::settings::Settings;

/// Leases by their container.
pub type Leases = BTreeMap<String, Lease>;

#[derive(Debug, Default)]
pub struct Known {
    pub leases: Leases,
    /// Each of them is that of one of `nameless`.
    pub unowned: Vec<Lease>,
    /// Containers that have something, and nobody knows what.
    pub nameless: BTreeSet<String>,
    /// Of these there is nothing but a place.
    pub begun: Vec<String>,
    pub damaged: Vec<Damaged>,
}

/// A lease that is there and cannot be read.
#[derive(Debug)]
pub struct Damaged {
    pub container: String,
    pub why: BadRecord,
}

/// `inventory` is asked for only when something cannot be read.
pub fn known(
    entries: Vec<(String, Entry)>,
    settings: &Settings,
    inventory: impl FnOnce() -> Inventory,
) -> Known {
    let mut known = Known::default();
    let mut links = Vec::new();
    for (container, entry) in entries {
        match entry {
            Entry::Lease(lease) => {
                known.leases.insert(container, lease);
            }
            Entry::Begun => known.begun.push(container),
            Entry::Unread(Unread { link, why }) => {
                links.push((container.clone(), link));
                let damaged = why.map(|why| Damaged { container, why });
                known.damaged.extend(damaged);
            }
        }
    }
    if links.is_empty() {
        return known;
    }
    let inventory = inventory();
    let mut told: BTreeSet<String> = known.leases.values().map(Lease::link).collect();
    for (container, link) in links {
        // One that somebody else has is not its.
        let link = link.filter(|link| !told.contains(link));
        match link.and_then(|link| lease(&link, &inventory, settings)) {
            Some(lease) => {
                told.insert(lease.link());
                known.leases.insert(container, lease);
            }
            None => {
                known.nameless.insert(container);
            }
        }
    }
    if !known.nameless.is_empty() {
        let others = inventory.links.iter().filter(|link| !told.contains(*link));
        let others = others.filter_map(|link| lease(link, &inventory, settings));
        known.unowned = others.collect();
    }
    known
}

/// Of whom the link of that name is; `None` when no container's is called that.
fn lease(link: &str, inventory: &Inventory, settings: &Settings) -> Option<Lease> {
    let ip = ip_of(link)?;
    let number = settings.v4.number(ip.into());
    let v6 = settings.v6.zip(number).map(|(v6, at)| v6.of_container(at));
    let mut lease = Lease {
        // Of another subnet: it takes none of ours.
        number: number.unwrap_or(u64::MAX),
        addresses: [IpAddr::from(ip)].into_iter().chain(v6).collect(),
        ports: Vec::new(),
        egress: None,
        seen: Vec::new(),
    };
    let (hardware, addresses) = (lease.hardware(), lease.addresses.clone());
    let elements = inventory.elements.iter();
    let its: Vec<&Element> = elements
        .filter(|it| sets::is_of(it, link, hardware, &addresses))
        .collect();
    let ports = its.iter().filter_map(|it| sets::to_port(it));
    let ports: BTreeMap<_, Port> = ports
        .map(|port| ((port.protocol, port.host), port))
        .collect();
    lease.ports = ports.into_values().collect();
    let seen: BTreeSet<Element> = its.into_iter().cloned().chain(lease.told()).collect();
    lease.seen = seen.into_iter().collect();
    Some(lease)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use crate::lease::Wants;
    use crate::port::Protocol;

    fn settings() -> Settings {
        Settings {
            bridge: "longshore0".to_owned(),
            v4: "10.90.0.0/24".parse().unwrap(),
            v6: Some("fd00:90::/64".parse().unwrap()),
            mtu: None,
            allows_metadata: false,
        }
    }

    fn written(number: u64) -> Lease {
        let wants = Wants {
            ports: [31000, 31001]
                .map(|host| Port {
                    protocol: Protocol::Tcp,
                    host: host + 10 * number as u16,
                    container: 80,
                })
                .to_vec(),
            egress: Some("192.0.2.0/24:443/tcp".parse().unwrap()),
        };
        Lease::of(number, &wants, &settings())
    }

    fn unread(link: Option<String>) -> Entry {
        let source = io::ErrorKind::InvalidData.into();
        let file = PathBuf::from("lease.json");
        let why = Some(BadRecord::Read { file, source });
        Entry::Unread(Unread { link, why })
    }

    fn inventory(numbers: &[u64]) -> Inventory {
        let leases: Vec<_> = numbers.iter().map(|number| written(*number)).collect();
        Inventory {
            links: leases.iter().map(Lease::link).collect(),
            elements: leases.iter().flat_map(Lease::elements).collect(),
        }
    }

    fn elements(lease: &Lease) -> BTreeSet<Element> {
        lease.elements().collect()
    }

    #[test]
    fn what_can_be_read_is_all_that_there_is_and_the_kernel_is_not_asked() {
        let entries = vec![
            ("a".to_owned(), Entry::Lease(written(0))),
            ("b".to_owned(), Entry::Begun),
        ];
        let known = known(entries, &settings(), || panic!("asked"));
        assert_eq!(known.leases, Leases::from([("a".to_owned(), written(0))]));
        assert_eq!(known.begun, ["b"]);
        assert!(known.damaged.is_empty() && known.nameless.is_empty());
    }

    #[test]
    fn a_lease_that_cannot_be_read_is_what_the_kernel_has_for_its_link() {
        for written_down in [Some(written(1).link()), None] {
            let entries = vec![
                ("a".to_owned(), Entry::Lease(written(0))),
                ("b".to_owned(), unread(written_down.clone())),
            ];
            let known = known(entries, &settings(), || inventory(&[0, 1]));
            assert_eq!(known.damaged[0].container, "b");
            let found = match written_down {
                Some(_) => &known.leases["b"],
                None => &known.unowned[0],
            };
            assert_eq!(known.nameless.contains("b"), written_down.is_none());
            let wanted = written(1);
            assert_eq!(found.number, 1);
            assert_eq!(found.addresses, wanted.addresses);
            assert_eq!(found.ports, wanted.ports);
            assert_eq!(elements(found), elements(&wanted));
            assert_eq!(known.leases["a"], written(0));
        }
    }

    #[test]
    fn rules_that_somebody_has_flushed_meanwhile_come_back_as_far_as_they_are_known() {
        let entries = vec![("b".to_owned(), unread(Some(written(1).link())))];
        let links = Inventory {
            elements: BTreeSet::new(),
            ..inventory(&[1])
        };
        let known = known(entries, &settings(), || links);
        let plain = Lease::of(1, &Wants::default(), &settings());
        assert_eq!(elements(&known.leases["b"]), elements(&plain));
    }

    #[test]
    fn a_link_that_somebody_else_has_is_nobody_elses() {
        let entries = vec![
            ("a".to_owned(), Entry::Lease(written(0))),
            ("b".to_owned(), unread(Some(written(0).link()))),
            ("c".to_owned(), unread(Some("eth0".to_owned()))),
        ];
        let known = known(entries, &settings(), || inventory(&[0]));
        assert_eq!(known.leases.len(), 1);
        assert_eq!(
            known.nameless,
            BTreeSet::from(["b".to_owned(), "c".to_owned()])
        );
        assert!(known.unowned.is_empty());
    }
}
