//! Where neighbours are: known for good, they need not be asked for, and nobody else can say so.

use std::net::IpAddr;

use super::Request;
use super::address::{family, octets};
use crate::netlink::{Attributes, Message, flag};

pub const NEWNEIGH: u16 = 28;

const NDA_DST: u16 = 1;
pub const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;

/// Of a link of this end.
pub fn is_known(ip: IpAddr, hardware: [u8; 6], link: u32) -> Request {
    // struct ndmsg.
    let mut header = vec![family(ip), 0, 0, 0];
    header.extend(link.to_ne_bytes());
    header.extend(NUD_PERMANENT.to_ne_bytes());
    header.extend([0, 0]);
    let attributes = Attributes::default()
        .bytes(NDA_DST, &octets(ip))
        .bytes(NDA_LLADDR, &hardware);
    let message = Message::new(NEWNEIGH, flag::CREATE | flag::REPLACE, &header, &attributes);
    Request::new(format!("tell a container where {ip} is"), message)
}

/// What the kernel knows, as text.
#[cfg(test)]
pub fn known(socket: &mut crate::netlink::Socket) -> std::io::Result<Vec<String>> {
    use crate::netlink::{Reply, find};
    const GETNEIGH: u16 = 30;
    let message = Message::new(GETNEIGH, 0, &[0; 12], &Attributes::default());
    let told = |reply: &Reply| {
        let attributes = reply.body.get(12..)?;
        let ip = super::address::ip_of(find(attributes, NDA_DST)?)?;
        Some(format!("{ip} {:02x?}", find(attributes, NDA_LLADDR)?))
    };
    Ok(socket.dump(&message)?.iter().filter_map(told).collect())
}
