//! What the kernel tells of changes of links.

use std::io;

use super::link::{DELLINK, IFLA_IFNAME};
use crate::netlink::{Protocol, Reply, Socket, find, text};

/// Of rtnetlink.h: changes of links.
const GROUP: u32 = 1;

pub fn events() -> io::Result<Socket> {
    let socket = Socket::open(Protocol::Route)?;
    socket.join(GROUP)?;
    Ok(socket)
}

/// Whether the link of that name was deleted.
pub fn is_loss(events: &[Reply], name: &str) -> bool {
    events.iter().any(|event| {
        let attributes = event.body.get(16..).unwrap_or_default();
        let is_it = || find(attributes, IFLA_IFNAME).map(text).as_deref() == Some(name);
        event.kind == DELLINK && is_it()
    })
}
