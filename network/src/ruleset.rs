//! The rules of a node. There are as many for a thousand containers as for one: what differs is in maps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::nftables::{Chain, Element, Expression as E, Hook, Kind, Map, Rule, Table, TableName};
use crate::settings::Settings;
use crate::subnet::Subnet;

pub const PORTS_V4: Map = Map {
    name: "ports4",
    is_v4: true,
};
pub const PORTS_V6: Map = Map {
    name: "ports6",
    is_v4: false,
};

/// Priorities as nft(8) names them.
const RAW: i32 = -300;
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

pub fn map_of(element: &Element) -> Map {
    match element.to.0 {
        IpAddr::V4(_) => PORTS_V4,
        IpAddr::V6(_) => PORTS_V6,
    }
}

pub fn table(settings: &Settings) -> Table {
    let bridge = &settings.bridge;
    let chain = |name, kind, hook, priority, rules| Chain {
        name,
        kind,
        hook,
        priority,
        rules,
    };
    Table {
        name: TableName::of(bridge),
        maps: vec![PORTS_V4, PORTS_V6],
        chains: vec![
            chain("raw", Kind::Filter, Hook::Prerouting, RAW, raw(settings)),
            chain("prerouting", Kind::Nat, Hook::Prerouting, DSTNAT, led()),
            chain("output", Kind::Nat, Hook::Output, DSTNAT, led()),
            chain(
                "forward",
                Kind::Filter,
                Hook::Forward,
                FILTER,
                forward(settings),
            ),
            chain(
                "postrouting",
                Kind::Nat,
                Hook::Postrouting,
                SRCNAT,
                masquerade(settings),
            ),
        ],
    }
}

fn loopback() -> Subnet {
    Subnet::around(Ipv4Addr::LOCALHOST.into(), 8)
}

/// A bridge that answers to 127.0.0.1 of the host would let containers reach what listens only there
/// (CVE-2020-8558), and a container might speak in another's name.
fn raw(settings: &Settings) -> Vec<Rule> {
    let from = || E::comes_from(&settings.bridge);
    let own = settings.subnets().filter(|subnet| subnet.base().is_ipv4());
    let foreign = own.map(|subnet| [from(), E::source_beyond(subnet), E::drop()].concat());
    let inside = [from(), E::destination_in(loopback()), E::drop()].concat();
    foreign.chain([inside]).collect()
}

/// Only what is for this host: a port that leads into a container is no port of other hosts whose packets
/// we pass on (CVE-2025-67499).
fn led() -> Vec<Rule> {
    [PORTS_V4, PORTS_V6]
        .map(|map| [E::is_for_this_host(), E::led_by(map.name, map.is_v4)].concat())
        .to_vec()
}

/// Into a container leads nothing but its ports: who is on the host's network has no way to the others.
fn forward(settings: &Settings) -> Vec<Rule> {
    let bridge = &settings.bridge;
    let enters = || [E::comes_from_elsewhere(bridge), E::goes_to(bridge)].concat();
    let metadata = METADATA
        .iter()
        .filter(|_| !settings.allows_metadata)
        .map(|(ip, prefix)| {
            let there = E::destination_in(Subnet::around(*ip, *prefix));
            [E::comes_from(bridge), there, E::drop()].concat()
        });
    let entering = [
        [enters(), E::belongs_to_a_connection(), E::accept()].concat(),
        [enters(), E::was_led(), E::accept()].concat(),
        [enters(), E::drop()].concat(),
    ];
    metadata.chain(entering).collect()
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
