//! Packet filters of others that drop whatever they do not know. Docker's is one: what is to be passed on must
//! be accepted there, too, for a packet goes through all that there are.
//!
//! `iptables` keeps its rules in a table `filter` with a chain `FORWARD`; where Docker is, `DOCKER-USER` is
//! before all of Docker's own rules, and is for others.

use super::{CREATE, Expression, SUBSYSTEM};
use crate::netlink::{Attributes, Message, Reply, Socket, find, text};

const GETCHAIN: u8 = 4;
const NEWRULE: u8 = 6;
const GETRULE: u8 = 7;
const DELRULE: u8 = 8;

const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const HOOK_NUMBER: u16 = 1;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;

const FORWARD: u32 = 2;
const DROP: u32 = 0;
const FILTER: &str = "filter";
const FORWARDS: &str = "FORWARD";
const FOR_OTHERS: &str = "DOCKER-USER";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chain {
    pub family: u8,
    pub table: String,
    pub name: String,
    /// All that is passed on goes through it, and what none of its rules knows is dropped.
    pub drops: bool,
}

/// A rule of ours among others'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    pub family: u8,
    pub table: String,
    pub chain: String,
    handle: Vec<u8>,
}

fn message(family: u8, number: u8, flags: u16, attributes: &Attributes) -> Message {
    let kind = u16::from_be_bytes([SUBSYSTEM, number]);
    Message::new(kind, flags, &[family, 0, 0, 0], attributes)
}

/// Of all families.
pub fn chains(socket: &mut Socket) -> std::io::Result<Vec<Chain>> {
    let replies = socket.dump(&message(0, GETCHAIN, 0, &Attributes::default()))?;
    Ok(replies.iter().filter_map(chain).collect())
}

fn chain(reply: &Reply) -> Option<Chain> {
    let (header, attributes) = reply.body.split_first_chunk::<4>()?;
    let number = |value: &[u8]| Some(u32::from_be_bytes(value.try_into().ok()?));
    let hook = find(attributes, CHAIN_HOOK).and_then(|hook| number(find(hook, HOOK_NUMBER)?));
    let policy = find(attributes, CHAIN_POLICY).and_then(number);
    Some(Chain {
        family: header[0],
        table: text(find(attributes, CHAIN_TABLE)?),
        name: text(find(attributes, CHAIN_NAME)?),
        drops: hook == Some(FORWARD) && policy == Some(DROP),
    })
}

/// Rules that say by `mark` to be ours.
pub fn ours(socket: &mut Socket, mark: &str) -> std::io::Result<Vec<Ours>> {
    let replies = socket.dump(&message(0, GETRULE, 0, &Attributes::default()))?;
    let rule = |reply: &Reply| {
        let (header, attributes) = reply.body.split_first_chunk::<4>()?;
        (find(attributes, RULE_USERDATA)? == userdata(mark)).then_some(())?;
        Some(Ours {
            family: header[0],
            table: text(find(attributes, RULE_TABLE)?),
            chain: text(find(attributes, RULE_CHAIN)?),
            handle: find(attributes, RULE_HANDLE)?.to_vec(),
        })
    };
    Ok(replies.iter().filter_map(rule).collect())
}

/// A comment, as `nft` writes it.
fn userdata(mark: &str) -> Vec<u8> {
    let mut data = vec![0, mark.len() as u8 + 1];
    data.extend(mark.bytes().chain([0]));
    data
}

/// Where a bridge's packets must be let through. Pure.
pub fn to_open(chains: &[Chain]) -> Vec<Chain> {
    let droppers = chains.iter().filter(|it| it.drops && it.is_iptables());
    let place = |dropper: &Chain| {
        let same = |it: &&Chain| it.family == dropper.family && it.table == dropper.table;
        let mut others = chains.iter().filter(same);
        others
            .find(|it| it.name == FOR_OTHERS)
            .unwrap_or(dropper)
            .clone()
    };
    droppers.map(place).collect()
}

/// Those that only who made them can open. Pure.
pub fn closed<'a>(chains: &'a [Chain], table: &'a str) -> impl Iterator<Item = &'a Chain> {
    chains
        .iter()
        .filter(move |it| it.drops && !it.is_iptables() && it.table != table)
}

impl Chain {
    fn is_iptables(&self) -> bool {
        self.table == FILTER && self.name == FORWARDS
    }

    /// Lets through what comes from the bridge and what goes there.
    pub fn open(&self, bridge: &str, mark: &str) -> Vec<Message> {
        let rule = |condition: Vec<Expression>| {
            let expressions = [condition, Expression::accept_counted()].concat();
            let attributes = Attributes::default()
                .text(RULE_TABLE, &self.table)
                .text(RULE_CHAIN, &self.name)
                .nest(RULE_EXPRESSIONS, Expression::list(&expressions))
                .bytes(RULE_USERDATA, &userdata(mark));
            // At the beginning, unlike with APPEND.
            message(self.family, NEWRULE, CREATE, &attributes)
        };
        vec![
            rule(Expression::comes_from(bridge)),
            rule(Expression::goes_to(bridge)),
        ]
    }
}

impl Ours {
    pub fn delete(&self) -> Message {
        let attributes = Attributes::default()
            .text(RULE_TABLE, &self.table)
            .text(RULE_CHAIN, &self.chain)
            .bytes(RULE_HANDLE, &self.handle);
        message(self.family, DELRULE, 0, &attributes)
    }

    pub fn is_in(&self, chain: &Chain) -> bool {
        (self.family, &*self.table, &*self.chain) == (chain.family, &*chain.table, &*chain.name)
    }
}

/// What is to be done with rules of ours so that each of `places` has its two. Pure.
pub fn changes(places: &[Chain], ours: &[Ours], bridge: &str, mark: &str) -> Vec<Message> {
    let mut messages = Vec::new();
    let elsewhere = ours.iter().filter(|it| !places.iter().any(|p| it.is_in(p)));
    messages.extend(elsewhere.map(Ours::delete));
    for place in places {
        let here: Vec<_> = ours.iter().filter(|it| it.is_in(place)).collect();
        if here.len() != 2 {
            messages.extend(here.into_iter().map(Ours::delete));
            messages.extend(place.open(bridge, mark));
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(family: u8, table: &str, name: &str, drops: bool) -> Chain {
        Chain {
            family,
            table: table.to_owned(),
            name: name.to_owned(),
            drops,
        }
    }

    #[test]
    fn what_iptables_drops_is_let_through_where_docker_leaves_room_for_that() {
        let docker = [
            chain(2, "filter", "FORWARD", true),
            chain(2, "filter", "DOCKER-USER", false),
            chain(10, "filter", "FORWARD", true),
            chain(1, "firewalld", "filter_FORWARD", true),
            chain(1, "longshore0", "forward", true),
        ];
        let open = to_open(&docker);
        assert_eq!(open, [docker[1].clone(), docker[2].clone()]);
        let closed: Vec<_> = closed(&docker, "longshore0").collect();
        assert_eq!(closed, [&docker[3]]);
        assert_eq!(to_open(&[chain(2, "filter", "FORWARD", false)]), []);
    }

    #[test]
    fn rules_of_ours_are_there_twice_or_made_anew() {
        let places = [chain(2, "filter", "FORWARD", true)];
        let rule = |chain: &str| Ours {
            family: 2,
            table: "filter".to_owned(),
            chain: chain.to_owned(),
            handle: vec![0; 8],
        };
        let count = |ours: &[Ours]| changes(&places, ours, "b", "m").len();
        assert_eq!(count(&[]), 2);
        assert_eq!(count(&[rule("FORWARD"), rule("FORWARD")]), 0);
        assert_eq!(count(&[rule("FORWARD")]), 3);
        assert_eq!(
            count(&[rule("FORWARD"), rule("FORWARD"), rule("DOCKER-USER")]),
            1
        );
    }
}
