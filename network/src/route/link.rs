//! Links: bridges, and pairs of which one end is in a container.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;

use super::{Request, RouteError, failed};
use crate::netlink::{Attributes, Message, Reply, Socket, find, flag, text, u32_of};

pub const NEWLINK: u16 = 16;
pub const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const SETLINK: u16 = 19;

const IFLA_ADDRESS: u16 = 1;
pub const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
pub const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;

const IFF_UP: u32 = 1;

const AF_INET6: u16 = 10;

/// struct ifinfomsg.
pub fn header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&change.to_ne_bytes());
    header
}

/// As the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// "bridge", "veth" …; hardware has none.
    pub kind: Option<String>,
    pub mtu: u32,
    /// Index of the bridge that it is a port of.
    pub master: Option<u32>,
    pub is_up: bool,
}

impl Link {
    fn read(reply: &Reply) -> Option<Self> {
        if reply.kind != NEWLINK {
            return None;
        }
        let (header, attributes) = reply.body.split_first_chunk::<16>()?;
        let number = |at: usize| u32_of(header.get(at..at + 4)?);
        let info = find(attributes, IFLA_LINKINFO).unwrap_or_default();
        Some(Self {
            index: number(4)?,
            is_up: number(8)? & IFF_UP != 0,
            name: text(find(attributes, IFLA_IFNAME)?),
            kind: find(info, IFLA_INFO_KIND).map(text),
            mtu: u32_of(find(attributes, IFLA_MTU)?)?,
            master: find(attributes, IFLA_MASTER).and_then(u32_of),
        })
    }
}

/// `None` when there is no link of that name.
pub fn link(socket: &mut Socket, name: &str) -> Result<Option<Link>, RouteError> {
    let attributes = Attributes::default().text(IFLA_IFNAME, name);
    let message = Message::new(GETLINK, 0, &header(0, 0, 0), &attributes);
    match socket.get(&message) {
        Ok(reply) => Ok(Link::read(&reply)),
        Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => Ok(None),
        Err(error) => Err(failed(format!("look at link {name}"))(error)),
    }
}

pub fn links(socket: &mut Socket) -> Result<Vec<Link>, RouteError> {
    let message = Message::new(GETLINK, 0, &header(0, 0, 0), &Attributes::default());
    let replies = socket.dump(&message).map_err(failed("list links"))?;
    Ok(replies.iter().filter_map(Link::read).collect())
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge<'a> {
    pub name: &'a str,
    /// Its own: otherwise it has that of a port, and another one as ports come and go.
    pub address: [u8; 6],
}

impl Bridge<'_> {
    pub fn create(&self) -> Request {
        let info = Attributes::default().text(IFLA_INFO_KIND, "bridge");
        let attributes = Attributes::default()
            .text(IFLA_IFNAME, self.name)
            .bytes(IFLA_ADDRESS, &self.address)
            .nest(IFLA_LINKINFO, info);
        let flags = flag::CREATE | flag::EXCL;
        let message = Message::new(NEWLINK, flags, &header(0, 0, 0), &attributes);
        Request::new(format!("make bridge {}", self.name), message)
    }
}

/// A pair of links, both up, of which one is a port of a bridge and the other is born where it belongs: to
/// move a link takes the kernel fifty times as long.
#[derive(Debug, Clone)]
pub struct Veth<'a> {
    pub name: &'a str,
    /// Index of the bridge that it is to be a port of.
    pub master: Option<u32>,
    pub mtu: u32,
    pub peer: Peer<'a>,
}

#[derive(Debug, Clone)]
pub struct Peer<'a> {
    pub name: &'a str,
    pub address: [u8; 6],
    pub namespace: BorrowedFd<'a>,
}

impl Veth<'_> {
    pub fn create(&self) -> Request {
        let up = header(0, IFF_UP, IFF_UP);
        // Otherwise it is made with one for each processor, and waits until nobody looks at them to take all but
        // one away.
        let one_queue = Attributes::default()
            .u32(IFLA_NUM_TX_QUEUES, 1)
            .u32(IFLA_NUM_RX_QUEUES, 1);
        let peer = one_queue
            .clone()
            .text(IFLA_IFNAME, self.peer.name)
            .bytes(IFLA_ADDRESS, &self.peer.address)
            .u32(IFLA_MTU, self.mtu)
            .u32(IFLA_NET_NS_FD, self.peer.namespace.as_raw_fd() as u32);
        // Down: what its addresses are to be is said before it has any.
        let peer = Attributes::after(&header(0, 0, 0), &peer);
        let info = Attributes::default().text(IFLA_INFO_KIND, "veth").nest(
            IFLA_INFO_DATA,
            Attributes::default().nest(VETH_INFO_PEER, peer),
        );
        let attributes = one_queue
            .text(IFLA_IFNAME, self.name)
            .u32(IFLA_MTU, self.mtu)
            .nest(IFLA_LINKINFO, info);
        let attributes = match self.master {
            Some(master) => attributes.u32(IFLA_MASTER, master),
            None => attributes,
        };
        let flags = flag::CREATE | flag::EXCL;
        let message = Message::new(NEWLINK, flags, &up, &attributes);
        Request::new(format!("make link {} for a container", self.name), message)
    }
}

pub fn become_port(name: &str, bridge: u32) -> Request {
    let attributes = Attributes::default()
        .text(IFLA_IFNAME, name)
        .u32(IFLA_MASTER, bridge);
    let message = Message::new(SETLINK, 0, &header(0, IFF_UP, IFF_UP), &attributes);
    Request::new(format!("make link {name} a port of its bridge"), message)
}

/// With another address of hardware.
pub fn becomes(index: u32, address: [u8; 6]) -> Request {
    let attributes = Attributes::default().bytes(IFLA_ADDRESS, &address);
    let message = Message::new(SETLINK, 0, &header(index, 0, 0), &attributes);
    Request::new("give a link another address", message)
}

/// A bridge has the smallest MTU of its ports, whatever it was made with, until it is told one.
pub fn has_mtu(index: u32, mtu: u32) -> Request {
    let attributes = Attributes::default().u32(IFLA_MTU, mtu);
    let message = Message::new(SETLINK, 0, &header(index, 0, 0), &attributes);
    Request::new(format!("give a link the MTU {mtu}"), message)
}

/// IPv6 addresses are those that it is given, and no others.
pub fn no_own_addresses(index: u32) -> Request {
    let inet6 = Attributes::default().u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    let attributes =
        Attributes::default().nest(IFLA_AF_SPEC, Attributes::default().nest(AF_INET6, inet6));
    let message = Message::new(SETLINK, 0, &header(index, 0, 0), &attributes);
    Request::new("keep a link from having IPv6 addresses of its own", message)
}

pub fn up(index: u32) -> Request {
    let header = header(index, IFF_UP, IFF_UP);
    let message = Message::new(SETLINK, 0, &header, &Attributes::default());
    Request::new("bring a link up", message)
}

/// With its other end.
pub fn delete(name: &str) -> Request {
    let attributes = Attributes::default().text(IFLA_IFNAME, name);
    let message = Message::new(DELLINK, 0, &header(0, 0, 0), &attributes);
    Request::new(format!("delete link {name}"), message)
}
