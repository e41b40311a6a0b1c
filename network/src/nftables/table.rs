//! A table: its chains, their rules, and its sets.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;

use super::set::Set;
use super::{APPEND, CREATE, Element, Expression, FilterError, message, refuse};
use crate::netlink::{Attributes, Message, Socket, find, text};

const NEWTABLE: u8 = 0;
const GETTABLE: u8 = 1;
const DELTABLE: u8 = 2;
const NEWCHAIN: u8 = 3;
const NEWRULE: u8 = 6;
const GETRULE: u8 = 7;

const TABLE_NAME: u16 = 1;
const TABLE_USERDATA: u16 = 6;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
/// A comment, as `nft` writes it: kind, length, and a text with its zero.
const COMMENT: u8 = 0;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    family: Family,
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// Packets of IPv4 and IPv6 alike.
    Inet = 1,
    /// What a bridge gets.
    Bridge = 7,
}

impl TableName {
    /// That of a bridge.
    pub fn of(bridge: &str) -> Self {
        Self {
            family: Family::Inet,
            name: bridge.to_owned(),
        }
    }

    /// That of what it passes on by itself.
    pub fn of_frames(bridge: &str) -> Self {
        Self {
            family: Family::Bridge,
            name: bridge.to_owned(),
        }
    }

    pub fn family(&self) -> u8 {
        self.family as u8
    }

    pub fn as_str(&self) -> &str {
        &self.name
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Prerouting = 0,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Filter,
    Nat,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    pub name: &'static str,
    /// One that has none is only sent to.
    pub base: Option<Base>,
    pub rules: Vec<Rule>,
}

/// On whose way packets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    pub kind: Kind,
    pub hook: Hook,
    pub priority: i32,
}

pub type Rule = Vec<Expression>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: TableName,
    pub sets: Vec<Set>,
    pub chains: Vec<Chain>,
}

/// What the kernel has of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The stamp of whoever made it.
    pub stamp: Option<String>,
    /// How many there are, by chain.
    pub rules: BTreeMap<String, usize>,
}

impl Table {
    /// Tells one way to make a table from another.
    pub fn stamp(&self) -> String {
        let mut sum = crc32fast::Hasher::new();
        for message in self.content() {
            sum.update(message.body.as_bytes());
        }
        format!("longshore {:08x}", sum.finalize())
    }

    pub fn as_seen(&self) -> Seen {
        let rules = self.chains.iter();
        let rules = rules.map(|chain| (chain.name.to_owned(), chain.rules.len()));
        Seen {
            stamp: Some(self.stamp()),
            rules: rules.filter(|(_, count)| *count > 0).collect(),
        }
    }

    /// Those of `elements` that are in its sets.
    pub fn own(&self, elements: &BTreeSet<Element>) -> BTreeSet<Element> {
        let is_own = |it: &&Element| self.sets.iter().any(|set| set.name == it.set);
        elements.iter().filter(is_own).cloned().collect()
    }

    /// Makes it, instead of what may be there of it.
    pub fn replace(&self) -> Vec<Message> {
        let stamp = self.stamp();
        let mut comment = vec![COMMENT, stamp.len() as u8 + 1];
        comment.extend(stamp.bytes().chain([0]));
        let stamped = named(&self.name).bytes(TABLE_USERDATA, &comment);
        // There is none to delete unless one is made first.
        let first = message(&self.name, NEWTABLE, CREATE, &named(&self.name));
        let gone = delete(&self.name);
        let made = message(&self.name, NEWTABLE, CREATE, &stamped);
        let mut messages = vec![first, gone, made];
        messages.extend(self.content());
        messages
    }

    fn content(&self) -> Vec<Message> {
        let sets = self.sets.iter().zip(1..);
        let sets = sets.map(|(set, id)| set.create(&self.name, id));
        // A rule may send to a chain that comes later.
        let chains = self.chains.iter().map(|chain| chain.create(&self.name));
        let rules = self.chains.iter();
        let all = chains.chain(rules.flat_map(|chain| chain.fill(&self.name)));
        sets.chain(all).collect()
    }
}

fn named(name: &TableName) -> Attributes {
    Attributes::default().text(TABLE_NAME, name.as_str())
}

pub fn delete(name: &TableName) -> Message {
    message(name, DELTABLE, 0, &named(name))
}

impl Chain {
    fn create(&self, table: &TableName) -> Message {
        let attributes = Attributes::default()
            .text(CHAIN_TABLE, table.as_str())
            .text(CHAIN_NAME, self.name);
        let attributes = match self.base {
            Some(base) => base.describe(attributes),
            None => attributes,
        };
        message(table, NEWCHAIN, CREATE, &attributes)
    }

    fn fill(&self, table: &TableName) -> impl Iterator<Item = Message> {
        self.rules.iter().map(|rule| {
            let attributes = Attributes::default()
                .text(RULE_TABLE, table.as_str())
                .text(RULE_CHAIN, self.name)
                .nest(RULE_EXPRESSIONS, Expression::list(rule));
            message(table, NEWRULE, APPEND, &attributes)
        })
    }
}

impl Base {
    fn describe(self, attributes: Attributes) -> Attributes {
        let hook = Attributes::default()
            .u32_be(HOOK_NUMBER, self.hook as u32)
            .u32_be(HOOK_PRIORITY, self.priority as u32);
        let kind = match self.kind {
            Kind::Filter => "filter",
            Kind::Nat => "nat",
        };
        attributes.nest(CHAIN_HOOK, hook).text(CHAIN_TYPE, kind)
    }
}

/// `None` when there is no such table.
pub fn seen(socket: &mut Socket, name: &TableName) -> Result<Option<Seen>, FilterError> {
    let reply = match socket.get(&message(name, GETTABLE, 0, &named(name))) {
        Ok(reply) => reply,
        Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => return Ok(None),
        Err(error) => return Err(refuse(name, "look at")(error)),
    };
    let of_rules = Attributes::default().text(RULE_TABLE, name.as_str());
    let replies = socket.dump(&message(name, GETRULE, 0, &of_rules));
    let replies = replies.map_err(refuse(name, "read the rules of"))?;
    let mut rules = BTreeMap::new();
    for reply in &replies {
        let attributes = reply.body.get(4..).unwrap_or_default();
        // Old kernels tell the rules of all tables.
        let is_ours = find(attributes, RULE_TABLE).map(text).as_deref() == Some(name.as_str());
        if let (true, Some(chain)) = (is_ours, find(attributes, RULE_CHAIN)) {
            *rules.entry(text(chain)).or_default() += 1;
        }
    }
    let attributes = reply.body.get(4..).unwrap_or_default();
    let comment = find(attributes, TABLE_USERDATA).and_then(|data| match data {
        [COMMENT, _, text @ ..] => Some(text),
        _ => None,
    });
    Ok(Some(Seen {
        stamp: comment.map(text),
        rules,
    }))
}
