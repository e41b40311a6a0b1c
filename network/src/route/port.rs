//! Ports of a bridge: who is at one, and whom that may talk to.

use super::Request;
use super::link::{IFLA_LINKINFO, NEWLINK, header};
use super::neighbour::{NDA_LLADDR, NEWNEIGH};
use crate::netlink::{Attributes, Message, flag};

const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_LEARNING: u16 = 8;
/// Linux 5.18; older kernels pass over it.
const IFLA_BRPORT_LOCKED: u16 = 39;

const AF_BRIDGE: u8 = 7;
const NUD_NOARP: u16 = 0x40;
/// What the bridge knows, and not the link.
const NTF_MASTER: u8 = 4;

/// Only who `is_at` the port can say something there. It may go back there: where bridges call the packet
/// filter, a container that talks to itself by a port of the host needs that.
pub fn hold(index: u32) -> Request {
    let data = Attributes::default()
        .u8(IFLA_BRPORT_MODE, 1)
        .u8(IFLA_BRPORT_LEARNING, 0)
        .u8(IFLA_BRPORT_LOCKED, 1);
    let info = Attributes::default()
        .text(IFLA_INFO_SLAVE_KIND, "bridge")
        .nest(IFLA_INFO_SLAVE_DATA, data);
    let attributes = Attributes::default().nest(IFLA_LINKINFO, info);
    let message = Message::new(NEWLINK, 0, &header(index, 0, 0), &attributes);
    Request::new("keep a container's link from all others", message)
}

/// Tells the bridge which address is at a port of it.
pub fn is_at(hardware: [u8; 6], index: u32) -> Request {
    // struct ndmsg.
    let mut header = vec![AF_BRIDGE, 0, 0, 0];
    header.extend(index.to_ne_bytes());
    header.extend(NUD_NOARP.to_ne_bytes());
    header.extend([NTF_MASTER, 0]);
    let attributes = Attributes::default().bytes(NDA_LLADDR, &hardware);
    let flags = flag::CREATE | flag::REPLACE;
    let message = Message::new(NEWNEIGH, flags, &header, &attributes);
    Request::new("tell the bridge who is at a port of it", message)
}
