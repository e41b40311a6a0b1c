//! What is to be done so that the kernel has what it should. Pure.

use std::collections::BTreeSet;

use crate::nftables::{Element, Seen, Table};
use crate::route::Link;

/// Of the table of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// All of it anew, with all elements.
    Replace,
    Elements {
        remove: Vec<Element>,
        add: Vec<Element>,
    },
}

impl Change {
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Elements { remove, add } if remove.is_empty() && add.is_empty())
    }
}

/// `seen` with what is in its maps.
pub fn rules(
    table: &Table,
    wanted: &BTreeSet<Element>,
    seen: Option<(&Seen, &BTreeSet<Element>)>,
) -> Change {
    match seen {
        // An element that leads elsewhere is removed before the right one is added.
        Some((rules, elements)) if *rules == table.as_seen() => Change::Elements {
            remove: elements.difference(wanted).copied().collect(),
            add: wanted.difference(elements).copied().collect(),
        },
        _ => Change::Replace,
    }
}

/// Names of links that are ports of no bridge, and of those that nobody has a lease for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    pub to_attach: Vec<String>,
    pub to_delete: Vec<String>,
}

/// `wanted`: names of the links of containers. Another agent may have a bridge on this node, too: only what
/// is a port of ours is ours without a lease.
pub fn links(
    bridge: u32,
    wanted: &BTreeSet<String>,
    seen: &[Link],
    is_named_as_ours: impl Fn(&str) -> bool,
) -> Links {
    let mut plan = Links::default();
    for link in seen {
        let is_wanted = wanted.contains(&link.name);
        match link.master {
            None if is_wanted => plan.to_attach.push(link.name.clone()),
            Some(master) if !is_wanted && master == bridge && is_named_as_ours(&link.name) => {
                plan.to_delete.push(link.name.clone());
            }
            _ => {}
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::number_of;
    use crate::port::Protocol;
    use crate::ruleset;
    use crate::settings::Settings;

    fn settings() -> Settings {
        Settings {
            bridge: "b".to_owned(),
            v4: "10.0.0.0/24".parse().expect("a subnet"),
            v6: None,
            mtu: None,
            allows_metadata: false,
        }
    }

    fn element(port: u16, to: u16) -> Element {
        Element {
            protocol: Protocol::Tcp,
            port,
            to: ("10.0.0.2".parse().expect("an address"), to),
        }
    }

    #[test]
    fn what_is_there_stays_and_elements_are_compared_one_by_one() {
        let table = ruleset::table(&settings());
        let seen = table.as_seen();
        let wanted = BTreeSet::from([element(1, 80), element(2, 80)]);
        let there = BTreeSet::from([element(2, 81), element(1, 80), element(3, 80)]);
        let change = rules(&table, &wanted, Some((&seen, &there)));
        let elements = Change::Elements {
            remove: vec![element(2, 81), element(3, 80)],
            add: vec![element(2, 80)],
        };
        assert_eq!(change, elements);
        assert!(rules(&table, &wanted, Some((&seen, &wanted))).is_none());
    }

    #[test]
    fn a_table_that_is_not_whole_or_not_made_this_way_is_made_anew() {
        let table = ruleset::table(&settings());
        let none = BTreeSet::new();
        let mut emptied = table.as_seen();
        emptied.rules.remove("forward");
        let foreign = Seen {
            stamp: None,
            ..table.as_seen()
        };
        let other = Settings {
            allows_metadata: true,
            ..settings()
        };
        let other = ruleset::table(&other).as_seen();
        assert_eq!(rules(&table, &none, None), Change::Replace);
        for seen in [emptied, foreign, other] {
            let change = rules(&table, &none, Some((&seen, &none)));
            assert_eq!(change, Change::Replace, "{seen:?}");
        }
    }

    #[test]
    fn rules_do_not_grow_in_number_with_the_ports() {
        let table = ruleset::table(&settings());
        let count: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
        assert!(count < 20, "{count}");
    }

    #[test]
    fn links_of_another_bridge_are_left_alone() {
        let link = |name: &str, master| Link {
            index: 9,
            name: name.to_owned(),
            kind: None,
            mtu: 1500,
            master,
            is_up: true,
        };
        let seen = [
            link("lshore1", Some(7)),
            link("lshore2", None),
            link("lshore3", Some(7)),
            link("lshore4", Some(8)),
            link("eth1", Some(7)),
            link("lshore5", None),
        ];
        let wanted = BTreeSet::from(["lshore1".to_owned(), "lshore2".to_owned()]);
        let plan = links(7, &wanted, &seen, |name| number_of(name).is_some());
        assert_eq!(plan.to_attach, ["lshore2"]);
        assert_eq!(plan.to_delete, ["lshore3"]);
    }
}
