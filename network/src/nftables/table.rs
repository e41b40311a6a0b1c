//! A table: its chains, their rules, and its maps.

use std::collections::BTreeMap;

use nix::errno::Errno;

use super::{APPEND, CREATE, Expression, FilterError, message, refuse};
use crate::netlink::{Attributes, Message, Socket, find, text};

const NEWTABLE: u8 = 0;
const GETTABLE: u8 = 1;
const DELTABLE: u8 = 2;
const NEWCHAIN: u8 = 3;
const NEWRULE: u8 = 6;
const GETRULE: u8 = 7;
const NEWSET: u8 = 9;

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
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LEN: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LEN: u16 = 7;
const SET_ID: u16 = 10;
const SET_IS_MAP: u32 = 8;

/// Types as `nft` numbers them, which prints values by them; the kernel only keeps the numbers.
const IPV4_ADDR: u32 = 7;
const IPV6_ADDR: u32 = 8;
const INET_PROTO: u32 = 12;
const INET_SERVICE: u32 = 13;

/// A comment, as `nft` writes it: kind, length, and a text with its zero.
const COMMENT: u8 = 0;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName(String);

impl TableName {
    /// That of a bridge.
    pub fn of(bridge: &str) -> Self {
        Self(bridge.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
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
    pub kind: Kind,
    pub hook: Hook,
    pub priority: i32,
    pub rules: Vec<Rule>,
}

pub type Rule = Vec<Expression>;

/// From protocol and port of the host to address and port of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map {
    pub name: &'static str,
    pub is_v4: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: TableName,
    pub maps: Vec<Map>,
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

    /// Makes it, instead of what may be there of it.
    pub fn replace(&self) -> Vec<Message> {
        let stamp = self.stamp();
        let mut comment = vec![COMMENT, stamp.len() as u8 + 1];
        comment.extend(stamp.bytes().chain([0]));
        let stamped = named(&self.name).bytes(TABLE_USERDATA, &comment);
        // There is none to delete unless one is made first.
        let first = message(NEWTABLE, CREATE, &named(&self.name));
        let gone = delete(&self.name);
        let made = message(NEWTABLE, CREATE, &stamped);
        let mut messages = vec![first, gone, made];
        messages.extend(self.content());
        messages
    }

    fn content(&self) -> Vec<Message> {
        let maps = self.maps.iter().zip(1..);
        let maps = maps.map(|(map, id)| map.create(&self.name, id));
        let chains = self.chains.iter();
        let chains = chains.flat_map(|chain| chain.create(&self.name));
        maps.chain(chains).collect()
    }
}

fn named(name: &TableName) -> Attributes {
    Attributes::default().text(TABLE_NAME, name.as_str())
}

pub fn delete(name: &TableName) -> Message {
    message(DELTABLE, 0, &named(name))
}

impl Map {
    fn create(&self, table: &TableName, id: u32) -> Message {
        let (address, length) = match self.is_v4 {
            true => (IPV4_ADDR, 4),
            false => (IPV6_ADDR, 16),
        };
        let attributes = Attributes::default()
            .text(SET_TABLE, table.as_str())
            .text(SET_NAME, self.name)
            .u32_be(SET_FLAGS, SET_IS_MAP)
            .u32_be(SET_KEY_TYPE, INET_PROTO << 6 | INET_SERVICE)
            .u32_be(SET_KEY_LEN, 8)
            .u32_be(SET_DATA_TYPE, address << 6 | INET_SERVICE)
            .u32_be(SET_DATA_LEN, length + 4)
            .u32_be(SET_ID, id);
        message(NEWSET, CREATE, &attributes)
    }
}

impl Chain {
    fn create(&self, table: &TableName) -> Vec<Message> {
        let hook = Attributes::default()
            .u32_be(HOOK_NUMBER, self.hook as u32)
            .u32_be(HOOK_PRIORITY, self.priority as u32);
        let kind = match self.kind {
            Kind::Filter => "filter",
            Kind::Nat => "nat",
        };
        let attributes = Attributes::default()
            .text(CHAIN_TABLE, table.as_str())
            .text(CHAIN_NAME, self.name)
            .nest(CHAIN_HOOK, hook)
            .text(CHAIN_TYPE, kind);
        let chain = message(NEWCHAIN, CREATE, &attributes);
        let rules = self.rules.iter().map(|rule| {
            let attributes = Attributes::default()
                .text(RULE_TABLE, table.as_str())
                .text(RULE_CHAIN, self.name)
                .nest(RULE_EXPRESSIONS, Expression::list(rule));
            message(NEWRULE, APPEND, &attributes)
        });
        std::iter::once(chain).chain(rules).collect()
    }
}

/// `None` when there is no such table.
pub fn seen(socket: &mut Socket, name: &TableName) -> Result<Option<Seen>, FilterError> {
    let reply = match socket.get(&message(GETTABLE, 0, &named(name))) {
        Ok(reply) => reply,
        Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => return Ok(None),
        Err(error) => return Err(refuse(name, "look at")(error)),
    };
    let of_rules = Attributes::default().text(RULE_TABLE, name.as_str());
    let replies = socket.dump(&message(GETRULE, 0, &of_rules));
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
