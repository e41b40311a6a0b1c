//! Packet filters of others that refuse whatever they do not know, by their policy or by their last rule. What is
//! to be passed on must be accepted there, too, for a packet goes through all that there are.
//!
//! `iptables` keeps its rules in a table `filter` with a chain `FORWARD`; where Docker is, `DOCKER-USER` is
//! before all of Docker's own rules, and is for others. `firewalld` has a table of its name.

use std::collections::BTreeMap;

use super::{CREATE, Expression, SUBSYSTEM};
use crate::netlink::{Attributes, Message, Reply, Socket, find, parse, text};

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
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const TARGET_NAME: u16 = 1;
/// Tables and chains of others that we know, and that leave it to others what else is in them.
const KNOWN: [(&str, &str); 2] = [("filter", "FORWARD"), ("firewalld", "filter_FORWARD")];
const FOR_OTHERS: &str = "DOCKER-USER";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chain {
    pub family: u8,
    pub table: String,
    pub name: String,
    /// All that is passed on goes through it, and what none of its other rules knows is refused.
    pub refuses: bool,
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
    let rules = socket.dump(&message(0, GETRULE, 0, &Attributes::default()))?;
    // The last rule of each chain is the last that is told of it.
    let ends: BTreeMap<_, _> = rules.iter().filter_map(end).collect();
    let replies = socket.dump(&message(0, GETCHAIN, 0, &Attributes::default()))?;
    let chains = replies.iter().filter_map(|reply| chain(reply, &ends));
    Ok(chains.collect())
}

/// By family, table and name.
type Place = (u8, String, String);

fn chain(reply: &Reply, ends: &BTreeMap<Place, bool>) -> Option<Chain> {
    let (header, attributes) = reply.body.split_first_chunk::<4>()?;
    let hook = find(attributes, CHAIN_HOOK).and_then(|hook| number(find(hook, HOOK_NUMBER)?));
    let policy = find(attributes, CHAIN_POLICY).and_then(number);
    let (family, table) = (header[0], text(find(attributes, CHAIN_TABLE)?));
    let name = text(find(attributes, CHAIN_NAME)?);
    let ends = ends.get(&(family, table.clone(), name.clone()));
    let refuses = policy == Some(DROP) || ends.copied().unwrap_or_default();
    Some(Chain {
        family,
        table,
        name,
        refuses: hook == Some(FORWARD) && refuses,
    })
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// Where a rule is, and whether it refuses all that comes to it.
fn end(reply: &Reply) -> Option<(Place, bool)> {
    let (header, attributes) = reply.body.split_first_chunk::<4>()?;
    let table = text(find(attributes, RULE_TABLE)?);
    let chain = text(find(attributes, RULE_CHAIN)?);
    let steps = find(attributes, RULE_EXPRESSIONS).unwrap_or_default();
    let steps: Vec<_> = parse(steps).map(|(_, step)| refusal(step)).collect();
    let refuses = steps.contains(&Some(true)) && !steps.contains(&None);
    Some(((header[0], table, chain), refuses))
}

/// `None` of a step on which it depends whether the rule comes to its end.
fn refusal(step: &[u8]) -> Option<bool> {
    let data = find(step, EXPRESSION_DATA).unwrap_or_default();
    match text(find(step, EXPRESSION_NAME)?).as_str() {
        "counter" | "log" => Some(false),
        "reject" => Some(true),
        "immediate" => {
            let verdict = find(find(data, IMMEDIATE_DATA)?, DATA_VERDICT)?;
            (number(find(verdict, VERDICT_CODE)?)? == DROP).then_some(true)
        }
        // Of iptables.
        "target" => ["REJECT", "DROP"]
            .contains(&text(find(data, TARGET_NAME)?).as_str())
            .then_some(true),
        _ => None,
    }
}

/// Rules that say by `mark` to be ours.
pub fn ours(socket: &mut Socket, mark: &str) -> std::io::Result<Vec<Ours>> {
    let replies = socket.dump(&message(0, GETRULE, 0, &Attributes::default()))?;
    let rule = |reply: &Reply| {
        let (header, attributes) = reply.body.split_first_chunk::<4>()?;
        is_marked(attributes, mark).then_some(())?;
        Some(Ours {
            family: header[0],
            table: text(find(attributes, RULE_TABLE)?),
            chain: text(find(attributes, RULE_CHAIN)?),
            handle: find(attributes, RULE_HANDLE)?.to_vec(),
        })
    };
    Ok(replies.iter().filter_map(rule).collect())
}

/// Whether a rule says by `mark` to be ours.
pub fn is_marked(rule: &[u8], mark: &str) -> bool {
    find(rule, RULE_USERDATA).is_some_and(|it| it == userdata(mark))
}

/// A comment, as `nft` writes it.
fn userdata(mark: &str) -> Vec<u8> {
    let mut data = vec![0, mark.len() as u8 + 1];
    data.extend(mark.bytes().chain([0]));
    data
}

/// Where a bridge's packets must be let through. Pure.
pub fn to_open(chains: &[Chain]) -> Vec<Chain> {
    let refusing = chains.iter().filter(|it| it.refuses && it.is_known());
    let place = |refusing: &Chain| {
        let same = |it: &&Chain| it.family == refusing.family && it.table == refusing.table;
        let mut others = chains.iter().filter(same);
        others
            .find(|it| it.name == FOR_OTHERS)
            .unwrap_or(refusing)
            .clone()
    };
    refusing.map(place).collect()
}

/// Those that only who made them can open. Pure.
pub fn closed<'a>(chains: &'a [Chain], table: &'a str) -> impl Iterator<Item = &'a Chain> {
    chains
        .iter()
        .filter(move |it| it.refuses && !it.is_known() && it.table != table)
}

impl Chain {
    fn is_known(&self) -> bool {
        KNOWN.contains(&(&*self.table, &*self.name))
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

/// What is to be done with rules of ours so that each of `places` has its two: what belongs together, for a table
/// may be closed to all but its owner. Pure.
pub fn changes(places: &[Chain], ours: &[Ours], bridge: &str, mark: &str) -> Vec<Vec<Message>> {
    let elsewhere = ours.iter().filter(|it| !places.iter().any(|p| it.is_in(p)));
    let elsewhere = elsewhere.map(|it| vec![it.delete()]);
    let here = places.iter().map(|place| {
        let here: Vec<_> = ours.iter().filter(|it| it.is_in(place)).collect();
        match here.len() {
            2 => Vec::new(),
            _ => {
                let gone = here.into_iter().map(Ours::delete);
                gone.chain(place.open(bridge, mark)).collect()
            }
        }
    });
    let all = elsewhere.chain(here);
    all.filter(|messages| !messages.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(family: u8, table: &str, name: &str, refuses: bool) -> Chain {
        Chain {
            family,
            table: table.to_owned(),
            name: name.to_owned(),
            refuses,
        }
    }

    #[test]
    fn what_others_refuse_is_let_through_where_they_leave_room_for_that() {
        let docker = [
            chain(2, "filter", "FORWARD", true),
            chain(2, "filter", "DOCKER-USER", false),
            chain(10, "filter", "FORWARD", true),
            chain(1, "firewalld", "filter_FORWARD", true),
            chain(1, "my-own", "forward", true),
            chain(1, "longshore0", "forward", true),
        ];
        let open = to_open(&docker);
        assert_eq!(open, [1, 2, 3].map(|at: usize| docker[at].clone()));
        let closed: Vec<_> = closed(&docker, "longshore0").collect();
        assert_eq!(closed, [&docker[4]]);
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
        let count = |ours: &[Ours]| changes(&places, ours, "b", "m").concat().len();
        assert_eq!(count(&[]), 2);
        assert_eq!(count(&[rule("FORWARD"), rule("FORWARD")]), 0);
        assert_eq!(count(&[rule("FORWARD")]), 3);
        assert_eq!(
            count(&[rule("FORWARD"), rule("FORWARD"), rule("DOCKER-USER")]),
            1
        );
    }
}
