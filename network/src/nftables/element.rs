//! Elements of maps: which port of the host leads where.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::table::TableName;
use super::{CREATE, FilterError, message, refuse};
use crate::netlink::{Attributes, Message, Reply, Socket, find, parse};
use crate::port::Protocol;

const NEWSETELEM: u8 = 12;
const GETSETELEM: u8 = 13;
const DELSETELEM: u8 = 14;

const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const LIST_ELEM: u16 = 1;
const ELEM_KEY: u16 = 1;
const ELEM_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;

/// An attribute that holds more of them would be too long.
const AT_ONCE: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    pub protocol: Protocol,
    /// Of the host.
    pub port: u16,
    /// In the container.
    pub to: (IpAddr, u16),
}

impl Element {
    /// Each part fills whole registers.
    fn key(&self) -> Vec<u8> {
        [vec![self.protocol.number(), 0, 0, 0], padded(self.port)].concat()
    }

    fn data(&self) -> Vec<u8> {
        let ip = match self.to.0 {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        [ip, padded(self.to.1)].concat()
    }

    fn read(element: &[u8]) -> Option<Self> {
        let value = |kind| find(find(element, kind)?, DATA_VALUE);
        let (key, data) = (value(ELEM_KEY)?, value(ELEM_DATA)?);
        let (ip, to): (IpAddr, _) = match data.split_first_chunk::<4>()? {
            (ip, port) if port.len() == 4 => (Ipv4Addr::from(*ip).into(), port),
            _ => {
                let (ip, port) = data.split_first_chunk::<16>()?;
                (Ipv6Addr::from(*ip).into(), port)
            }
        };
        let port = |bytes: &[u8]| Some(u16::from_be_bytes(*bytes.first_chunk()?));
        Some(Self {
            protocol: Protocol::of_number(*key.first()?)?,
            port: port(key.get(4..)?)?,
            to: (ip, port(to)?),
        })
    }
}

fn padded(port: u16) -> Vec<u8> {
    [port.to_be_bytes(), [0, 0]].concat()
}

/// Of one map.
#[derive(Debug, Clone, Copy)]
pub struct Elements<'a> {
    pub table: &'a TableName,
    pub map: &'a str,
}

/// What becomes of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementChange {
    Add,
    Remove,
}

impl Elements<'_> {
    pub fn change(&self, change: ElementChange, elements: &[Element]) -> Vec<Message> {
        let attributes = |element: &Element| match change {
            ElementChange::Remove => key(element),
            ElementChange::Add => {
                let data = Attributes::default().bytes(DATA_VALUE, &element.data());
                key(element).nest(ELEM_DATA, data)
            }
        };
        let (number, flags) = match change {
            ElementChange::Add => (NEWSETELEM, CREATE),
            ElementChange::Remove => (DELSETELEM, 0),
        };
        let message = |some: &[Element]| {
            let list = some.iter().map(&attributes);
            let list = list.fold(Attributes::default(), |list, it| list.nest(LIST_ELEM, it));
            let all = self.named().nest(LIST_ELEMENTS, list);
            message(number, flags, &all)
        };
        elements.chunks(AT_ONCE).map(message).collect()
    }

    fn named(&self) -> Attributes {
        Attributes::default()
            .text(LIST_TABLE, self.table.as_str())
            .text(LIST_SET, self.map)
    }

    /// What is in it.
    pub fn seen(&self, socket: &mut Socket) -> Result<Vec<Element>, FilterError> {
        let replies = socket.dump(&message(GETSETELEM, 0, &self.named()));
        let replies = replies.map_err(refuse(self.table, "read the ports of"))?;
        Ok(replies.iter().flat_map(read).collect())
    }
}

fn key(element: &Element) -> Attributes {
    let key = Attributes::default().bytes(DATA_VALUE, &element.key());
    Attributes::default().nest(ELEM_KEY, key)
}

fn read(reply: &Reply) -> Vec<Element> {
    let list = reply.body.get(4..).and_then(|it| find(it, LIST_ELEMENTS));
    let list = parse(list.unwrap_or_default());
    list.filter_map(|(_, element)| Element::read(element))
        .collect()
}
