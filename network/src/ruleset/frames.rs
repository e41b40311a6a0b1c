//! What the bridge itself passes on, from one of its ports to another: the rules of packets never see it, but
//! where bridges call the packet filter.

use super::sets;
use crate::lease::hardware_of;
use crate::nftables::{Base, Chain, Expression as E, Hook, Kind, Rule, Table, TableName};
use crate::settings::Settings;

/// Before that calls the packet filter.
const FIRST: i32 = -300;

pub fn table(settings: &Settings) -> Table {
    let base = Base {
        kind: Kind::Filter,
        hook: Hook::Prerouting,
        priority: FIRST,
    };
    let rules = [vec![of_another()], whereabouts(), upward(settings)];
    Table {
        name: TableName::of_frames(&settings.bridge),
        sets: sets::OF_FRAMES.to_vec(),
        chains: vec![Chain {
            name: "prerouting",
            base: Some(base),
            rules: rules.concat(),
        }],
    }
}

/// Nobody is told, nor counted, for whom another has spoken. Bridges hold their ports to that by themselves, but
/// later than this is judged, and not before Linux 5.18.
fn of_another() -> Rule {
    let condition = E::comes_from_another(sets::LINKS.name, sets::PLACES.name);
    [condition, E::drop()].concat()
}

/// Of itself a container says where it is, and of nobody else: who is told that an address is elsewhere sends
/// there what is another's. Nor is it a router. Of bridges that are not ours nothing is judged: their containers
/// are in no set.
fn whereabouts() -> Vec<Rule> {
    let (v4, v6) = (sets::SENDERS_V4.name, sets::SENDERS_V6.name);
    let itself = [
        E::is_where_it_says(v4),
        E::asks_by_itself(v6),
        E::tells_of_itself(v6),
    ];
    let itself = itself.map(|condition| [condition, E::accept()].concat());
    let others = [E::tells_of_addresses(), E::tells_of_neighbours()];
    let others = others.map(|condition| {
        let ours = E::sender(sets::STRAYED.name, true);
        [condition, ours, E::drop()].concat()
    });
    itself.into_iter().chain(others).collect()
}

/// A container that is held to a policy says nothing to others but by the host.
fn upward(settings: &Settings) -> Vec<Rule> {
    let bridge = hardware_of(Some(settings.v4.gateway()));
    let accepted = [E::sender(sets::UPWARD.name, false), E::is_to(bridge)];
    let accepted = accepted.map(|condition| [condition, E::accept()].concat());
    let ends = [
        // Of those that a kernel joins by itself, too.
        [E::is_to_a_group(), E::drop()].concat(),
        [E::sender(sets::STRAYED.name, true), E::drop()].concat(),
        E::drop(),
    ];
    accepted.into_iter().chain(ends).collect()
}
