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

/// `seen` with what is in its maps.
pub fn rules(
    table: &Table,
    wanted: &BTreeSet<Element>,
    seen: Option<(&Seen, &BTreeSet<Element>)>,
) -> Change {
    match seen {
        // An element that leads elsewhere is removed before the right one is added.
        Some((rules, elements)) if *rules == table.as_seen() => Change::Elements {
            remove: elements.difference(wanted).cloned().collect(),
            add: wanted.difference(elements).cloned().collect(),
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
    use crate::lease::is_link;
    use crate::port::{Port, Protocol};
    use crate::ruleset::{self, sets};
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
        let port = Port {
            protocol: Protocol::Tcp,
            host: port,
            container: to,
        };
        sets::port("10.0.0.2".parse().expect("an address"), &port)
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
        let nothing = Change::Elements {
            remove: vec![],
            add: vec![],
        };
        assert_eq!(rules(&table, &wanted, Some((&seen, &wanted))), nothing);
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
    fn rules_do_not_grow_in_number_with_the_containers() {
        let table = ruleset::table(&settings());
        let count: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
        assert!(count < 30, "{count}");
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
            link("lshore00000001", Some(7)),
            link("lshore00000002", None),
            link("lshore00000003", Some(7)),
            link("lshore00000004", Some(8)),
            link("eth1", Some(7)),
            link("lshore00000005", None),
        ];
        let wanted = BTreeSet::from(["lshore00000001".to_owned(), "lshore00000002".to_owned()]);
        let plan = links(7, &wanted, &seen, is_link);
        assert_eq!(plan.to_attach, ["lshore00000002"]);
        assert_eq!(plan.to_delete, ["lshore00000003"]);
    }
}
