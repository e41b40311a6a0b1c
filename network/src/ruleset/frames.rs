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
    Table {
        name: TableName::of_frames(&settings.bridge),
        sets: vec![sets::UPWARD, sets::STRAYED],
        chains: vec![Chain {
            name: "prerouting",
            base: Some(base),
            rules: upward(settings),
        }],
    }
}

/// A container that is held to a policy says nothing to others but by the host.
fn upward(settings: &Settings) -> Vec<Rule> {
    let bridge = hardware_of(Some(settings.v4.gateway()));
    let accepted = [
        E::sender(sets::UPWARD.name, false),
        E::is_to(bridge),
        E::asks_for_an_address(),
        E::asks_for_a_neighbour(),
    ];
    let accepted = accepted.map(|condition| [condition, E::accept()].concat());
    let ends = [
        // Of those that a kernel joins by itself, too.
        [E::is_to_a_group(), E::drop()].concat(),
        [E::sender(sets::STRAYED.name, true), E::drop()].concat(),
        E::drop(),
    ];
    accepted.into_iter().chain(ends).collect()
}
