//! Elements of sets and maps.

use super::set::{self, Set};
use super::table::TableName;
use super::{CREATE, FilterError, counters, message, refuse};
use crate::netlink::{Attributes, Message, Reply, Socket, find, parse};

const NEWSETELEM: u8 = 12;
const GETSETELEM: u8 = 13;
const DELSETELEM: u8 = 14;

const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const LIST_ELEM: u16 = 1;
const ELEM_KEY: u16 = 1;
const ELEM_DATA: u16 = 2;
const ELEM_EXPR: u16 = 7;
const ELEM_KEY_END: u16 = 10;
const DATA_VALUE: u16 = 1;

/// An attribute that holds more of them would be too long.
const AT_ONCE: usize = 400;

/// As the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// The name of its set.
    pub set: &'static str,
    pub key: Vec<u8>,
    /// Of the range that begins with `key`.
    pub last: Option<Vec<u8>>,
    /// Of a map.
    pub data: Option<Vec<u8>>,
}

/// Fields, each of which fills whole registers.
pub fn padded(fields: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::new();
    for field in fields {
        all.extend(*field);
        all.resize(all.len().next_multiple_of(4), 0);
    }
    all
}

impl Element {
    fn read(set: &Set, element: &[u8]) -> Option<Self> {
        let value = |kind| find(find(element, kind)?, DATA_VALUE).map(<[u8]>::to_vec);
        let key = value(ELEM_KEY).filter(|key| key.len() == set::length(set.key))?;
        let data = value(ELEM_DATA);
        // Whoever has put it there, a set of another form is not ours.
        let length = data.as_ref().map_or(0, Vec::len);
        (length == set::length(set.data)).then_some(Self {
            set: set.name,
            key,
            last: value(ELEM_KEY_END),
            data,
        })
    }

    /// By which it is found.
    fn name(&self) -> Attributes {
        let value = |bytes: &[u8]| Attributes::default().bytes(DATA_VALUE, bytes);
        let name = Attributes::default().nest(ELEM_KEY, value(&self.key));
        match &self.last {
            Some(last) => name.nest(ELEM_KEY_END, value(last)),
            None => name,
        }
    }

    fn whole(&self) -> Attributes {
        match &self.data {
            Some(data) => {
                let data = Attributes::default().bytes(DATA_VALUE, data);
                self.name().nest(ELEM_DATA, data)
            }
            None => self.name(),
        }
    }
}

/// Of one set.
#[derive(Debug, Clone, Copy)]
pub struct Elements<'a> {
    pub table: &'a TableName,
    pub set: &'a Set,
}

/// What becomes of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementChange {
    Add,
    Remove,
}

impl Elements<'_> {
    /// Of all `elements` those that are the set's.
    pub fn change<'a>(
        &self,
        change: ElementChange,
        elements: impl Iterator<Item = &'a Element>,
    ) -> Vec<Message> {
        let (number, flags) = match change {
            ElementChange::Add => (NEWSETELEM, CREATE),
            ElementChange::Remove => (DELSETELEM, 0),
        };
        let mine = elements.filter(|it| it.set == self.set.name);
        let attributes = mine.map(|element| match change {
            ElementChange::Add => element.whole(),
            ElementChange::Remove => element.name(),
        });
        let attributes: Vec<_> = attributes.collect();
        let message = |some: &[Attributes]| {
            let list = some.iter().cloned();
            let list = list.fold(Attributes::default(), |list, it| list.nest(LIST_ELEM, it));
            let all = self.named().nest(LIST_ELEMENTS, list);
            message(self.table, number, flags, &all)
        };
        attributes.chunks(AT_ONCE).map(message).collect()
    }

    fn named(&self) -> Attributes {
        Attributes::default()
            .text(LIST_TABLE, self.table.as_str())
            .text(LIST_SET, self.set.name)
    }

    /// What is in it.
    pub fn seen(&self, socket: &mut Socket) -> Result<Vec<Element>, FilterError> {
        let all = self.dump(socket)?.into_iter();
        Ok(all.map(|(element, _)| element).collect())
    }

    /// For how many packets each was found.
    pub fn counted(&self, socket: &mut Socket) -> Result<Vec<(Element, u64)>, FilterError> {
        let all = self.dump(socket)?.into_iter();
        let counted = all.filter_map(|(element, packets)| Some((element, packets?)));
        Ok(counted.collect())
    }

    fn dump(&self, socket: &mut Socket) -> Result<Vec<(Element, Option<u64>)>, FilterError> {
        let replies = socket.dump(&message(self.table, GETSETELEM, 0, &self.named()));
        let replies = replies.map_err(refuse(self.table, "read the elements of"))?;
        let of_reply = |reply: &Reply| {
            let list = reply.body.get(4..).and_then(|it| find(it, LIST_ELEMENTS));
            let list = parse(list.unwrap_or_default());
            let read = list.filter_map(|(_, element)| {
                let packets = find(element, ELEM_EXPR).and_then(counters::packets);
                Some((Element::read(self.set, element)?, packets))
            });
            read.collect::<Vec<_>>()
        };
        Ok(replies.iter().flat_map(of_reply).collect())
    }
}
