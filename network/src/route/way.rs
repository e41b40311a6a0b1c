//! Routes, of which a container needs one, and a host tells what it is connected to.

use std::net::IpAddr;

use super::address::{family, ip_of, octets};
use super::{Request, RouteError, failed};
use crate::netlink::{Attributes, Message, Reply, Socket, find, flag, u32_of};

const NEWROUTE: u16 = 24;
const GETROUTE: u16 = 26;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RTN_UNICAST: u8 = 1;
const RTNH_F_ONLINK: u32 = 4;

/// The way to a network, of the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// `None` is all that has no other.
    pub to: Option<IpAddr>,
    pub prefix: u8,
    /// Index of the link.
    pub link: u32,
}

pub fn default_way(gateway: IpAddr, link: u32) -> Request {
    let mut header = [0; 12];
    // The gateway is there, though no route of the container's says so.
    header[8..].copy_from_slice(&RTNH_F_ONLINK.to_ne_bytes());
    header[0] = family(gateway);
    header[4] = RT_TABLE_MAIN;
    header[5] = RTPROT_STATIC;
    header[7] = RTN_UNICAST;
    let attributes = Attributes::default()
        .bytes(RTA_GATEWAY, &octets(gateway))
        .u32(RTA_OIF, link);
    let message = Message::new(NEWROUTE, flag::CREATE | flag::REPLACE, &header, &attributes);
    Request::new(
        format!("make {gateway} the way out of a container"),
        message,
    )
}

pub fn ways(socket: &mut Socket) -> Result<Vec<Way>, RouteError> {
    let message = Message::new(GETROUTE, 0, &[0; 12], &Attributes::default());
    let replies = socket.dump(&message).map_err(failed("list routes"))?;
    Ok(replies.iter().filter_map(read).collect())
}

fn read(reply: &Reply) -> Option<Way> {
    let (header, attributes) = reply.body.split_first_chunk::<12>()?;
    let is_way = header[4] == RT_TABLE_MAIN && header[7] == RTN_UNICAST;
    if reply.kind != NEWROUTE || !is_way {
        return None;
    }
    Some(Way {
        to: find(attributes, RTA_DST).and_then(ip_of),
        prefix: header[1],
        link: u32_of(find(attributes, RTA_OIF)?)?,
    })
}
