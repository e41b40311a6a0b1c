//! Sets and maps: what is looked up in them, and what is found.

use super::table::TableName;
use super::{CREATE, counters, message};
use crate::netlink::{Attributes, Message};

const NEWSET: u8 = 9;

const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LEN: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LEN: u16 = 7;
const SET_DESC: u16 = 9;
const SET_ID: u16 = 10;
const SET_EXPR: u16 = 17;
const DESC_CONCAT: u16 = 2;
const ELEMENT: u16 = 1;
const FIELD_LEN: u16 = 1;
const IS_INTERVAL: u32 = 4;
const IS_MAP: u32 = 8;
const IS_CONCAT: u32 = 0x80;

/// Of a link, in bytes.
pub const NAME: usize = 16;

/// A part of a key, or of what it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    V4,
    V6,
    Hardware,
    Link,
    Protocol,
    Port,
}

impl Field {
    /// As `nft` numbers types, which prints values by them; the kernel only keeps the numbers.
    fn kind(self) -> u32 {
        match self {
            Self::V4 => 7,
            Self::V6 => 8,
            Self::Hardware => 9,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Link => 41,
        }
    }

    pub fn length(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
            Self::Hardware => 6,
            Self::Link => NAME,
            Self::Protocol => 1,
            Self::Port => 2,
        }
    }
}

/// Each field fills whole registers.
pub fn length(fields: &[Field]) -> usize {
    let lengths = fields.iter().map(|it| it.length().next_multiple_of(4));
    lengths.sum()
}

fn kind(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |kind, it| kind << 6 | it.kind())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    pub name: &'static str,
    pub key: &'static [Field],
    /// Of a map. A set has none.
    pub data: &'static [Field],
    /// Its elements are ranges in each field, no two of which overlap.
    pub is_ranges: bool,
    /// Each of its elements counts what it is found for.
    pub counts: bool,
}

impl Set {
    pub const fn map(name: &'static str, key: &'static [Field], data: &'static [Field]) -> Self {
        Self {
            data,
            ..Self::of(name, key)
        }
    }

    pub const fn of(name: &'static str, key: &'static [Field]) -> Self {
        Self {
            name,
            key,
            data: &[],
            is_ranges: false,
            counts: false,
        }
    }

    pub fn create(&self, table: &TableName, id: u32) -> Message {
        let mut flags = 0;
        let mut attributes = Attributes::default()
            .text(SET_TABLE, table.as_str())
            .text(SET_NAME, self.name)
            .u32_be(SET_KEY_TYPE, kind(self.key))
            .u32_be(SET_KEY_LEN, length(self.key) as u32)
            .u32_be(SET_ID, id);
        if !self.data.is_empty() {
            flags |= IS_MAP;
            attributes = attributes
                .u32_be(SET_DATA_TYPE, kind(self.data))
                .u32_be(SET_DATA_LEN, length(self.data) as u32);
        }
        if self.is_ranges {
            flags |= IS_INTERVAL | IS_CONCAT;
            let fields = self.key.iter().fold(Attributes::default(), |all, it| {
                let length = Attributes::default().u32_be(FIELD_LEN, it.length() as u32);
                all.nest(ELEMENT, length)
            });
            let description = Attributes::default().nest(DESC_CONCAT, fields);
            attributes = attributes.nest(SET_DESC, description);
        }
        if self.counts {
            attributes = attributes.nest(SET_EXPR, counters::none());
        }
        message(table, NEWSET, CREATE, &attributes.u32_be(SET_FLAGS, flags))
    }
}
