//! The rules of a node. There are as many for a thousand containers as for one: what differs is in sets.

mod frames;
pub mod sets;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::nftables::{Base, Chain, Expression as E, Hook, Kind, Rule, Table, TableName};
use crate::settings::Settings;
use crate::subnet::Subnet;

/// The address of a container's end of its link.
pub type Hardware = [u8; 6];

/// Priorities as nft(8) names them.
const RAW: i32 = -300;
const MANGLE: i32 = -150;
const DSTNAT: i32 = -100;
const FILTER: i32 = 0;
const SRCNAT: i32 = 100;

/// Where clouds tell a machine its secrets.
const METADATA: [(IpAddr, u8); 2] = [
    (IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 32),
    (
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
        128,
    ),
];

/// Where what a container may not say ends.
const REFUSED: &str = "refused";

pub fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// Of packets, and of frames.
pub fn tables(settings: &Settings) -> [Table; 2] {
    [table(settings), frames::table(settings)]
}

pub fn table(settings: &Settings) -> Table {
    use Hook::{Forward, Output, Postrouting, Prerouting};
    use Kind::{Filter, Nat};
    let bridge = &settings.bridge;
    let chain = |name, kind, hook, priority, rules| {
        let base = Base {
            kind,
            hook,
            priority,
        };
        Chain {
            name,
            base: Some(base),
            rules,
        }
    };
    let refused = Chain {
        name: REFUSED,
        base: None,
        rules: refused(),
    };
    let masquerade = masquerade(settings);
    Table {
        name: TableName::of(bridge),
        sets: sets::ALL.to_vec(),
        chains: vec![
            chain("raw", Filter, Prerouting, RAW, raw(settings)),
            chain("egress", Filter, Prerouting, MANGLE, egress(settings)),
            chain("prerouting", Nat, Prerouting, DSTNAT, led()),
            chain("output", Nat, Output, DSTNAT, led()),
            chain("forward", Filter, Forward, FILTER, forward(bridge)),
            chain("postrouting", Nat, Postrouting, SRCNAT, masquerade),
            refused,
        ],
    }
}

fn loopback() -> Subnet {
    Subnet::around(Ipv4Addr::LOCALHOST.into(), 8)
}

/// A bridge that answers to 127.0.0.1 of the host would let containers reach what listens only there
/// (CVE-2020-8558), and a container might speak in another's name.
fn raw(settings: &Settings) -> Vec<Rule> {
    let refused = |condition: Vec<E>| {
        let from = E::comes_from(&settings.bridge);
        [from, condition, E::goto(REFUSED)].concat()
    };
    let nobody = Subnet::around(Ipv6Addr::UNSPECIFIED.into(), 128);
    vec![
        // That is how IPv6 begins: nothing that a container has tried.
        [
            E::comes_from(&settings.bridge),
            E::source_in(nobody),
            E::drop(),
        ]
        .concat(),
        refused(E::sender_unknown(sets::SENDERS_V4.name, true)),
        refused(E::sender_unknown(sets::SENDERS_V6.name, false)),
        refused(E::destination_in(loopback())),
    ]
}

/// Whom a container may talk to, be it the host, another container or somebody elsewhere: judged by the address
/// that it has said, before that leads it anywhere. What it answers is not judged.
fn egress(settings: &Settings) -> Vec<Rule> {
    let bridge = &settings.bridge;
    let from = |condition: Vec<E>, end: Vec<E>| [E::comes_from(bridge), condition, end].concat();
    let metadata = METADATA
        .iter()
        .filter(|_| !settings.allows_metadata)
        .map(|(ip, prefix)| {
            let there = E::destination_in(Subnet::around(*ip, *prefix));
            from(there, E::goto(REFUSED))
        });
    let accepted = [
        E::sender(sets::HELD.name, false),
        E::belongs_to_a_connection(),
        E::may_go(sets::ALLOWED_V4.name, true),
        E::may_go(sets::ALLOWED_V6.name, false),
        E::seeks_neighbours(),
    ];
    let accepted = accepted.map(|condition| from(condition, E::accept()));
    let ends = [
        // Of groups that a kernel joins by itself, too.
        from(E::is_for_a_group(), E::drop()),
        // Last, and without a condition that a broken packet might fail.
        from(Vec::new(), E::goto(REFUSED)),
    ];
    metadata.chain(accepted).chain(ends).collect()
}

/// Counted for the container whose it is.
fn refused() -> Vec<Rule> {
    vec![
        [E::sender(sets::DENIED.name, true), E::drop()].concat(),
        E::drop(),
    ]
}

/// Only what is for this host: a port that leads into a container is no port of other hosts whose packets
/// we pass on (CVE-2025-67499).
fn led() -> Vec<Rule> {
    [(sets::PORTS_V4, true), (sets::PORTS_V6, false)]
        .map(|(map, is_v4)| [E::is_for_this_host(), E::led_by(map.name, is_v4)].concat())
        .to_vec()
}

/// Into a container leads nothing but its ports: who is on the host's network has no way to the others.
fn forward(bridge: &str) -> Vec<Rule> {
    let enters = || [E::comes_from_elsewhere(bridge), E::goes_to(bridge)].concat();
    vec![
        [enters(), E::belongs_to_a_connection(), E::accept()].concat(),
        [enters(), E::was_led(), E::accept()].concat(),
        [enters(), E::drop()].concat(),
    ]
}

/// What leaves has the host's address; so has what containers say to each other by ports of the host, or the
/// answer would go past us; and what the host says to itself.
fn masquerade(settings: &Settings) -> Vec<Rule> {
    let bridge = &settings.bridge;
    let of_subnet = settings.subnets().flat_map(|subnet| {
        let from = || E::source_in(subnet);
        let leaving = [E::goes_elsewhere(bridge), from(), E::masquerade()];
        let among = [E::goes_to(bridge), from(), E::was_led(), E::masquerade()];
        [leaving.concat(), among.concat()]
    });
    let own = [
        E::goes_to(bridge),
        E::source_in(loopback()),
        E::masquerade(),
    ];
    of_subnet.chain([own.concat()]).collect()
}
