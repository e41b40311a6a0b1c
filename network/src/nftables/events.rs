//! What the kernel tells of changes: that somebody has taken away what we have made is seen at once.

use std::io;

use super::kind;
use crate::netlink::{Protocol, Reply, Socket, find, text};

/// Of nfnetlink.h: changes of nf_tables.
const GROUP: u32 = 7;

/// Of a table, a chain, a rule and a map. Not of an element: those come and go with containers, and the kernel
/// does not tell by which process.
const DELETIONS: &[u8] = &[2, 5, 8, 11];
/// The table of a chain, a rule or a map, and of itself.
const TABLE: u16 = 1;

/// Tells of all changes.
pub fn events() -> io::Result<Socket> {
    let socket = Socket::open(Protocol::Netfilter)?;
    socket.join(GROUP)?;
    Ok(socket)
}

/// Whether something of the table was deleted.
pub fn is_loss(events: &[Reply], table: &str) -> bool {
    events.iter().any(|event| {
        let attributes = event.body.get(4..).unwrap_or_default();
        let is_ours = || find(attributes, TABLE).map(text).as_deref() == Some(table);
        DELETIONS.iter().any(|number| event.kind == kind(*number)) && is_ours()
    })
}
