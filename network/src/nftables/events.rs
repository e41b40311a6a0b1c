//! What the kernel tells of changes: that somebody has taken away what we have made is seen at once, and so is a
//! packet filter that comes after us.

use std::io;

use super::{foreign, kind};
use crate::netlink::{Protocol, Reply, Socket, find, text};

/// Of nfnetlink.h: changes of nf_tables.
const GROUP: u32 = 7;

/// Of a table, a chain, a rule and a map. Not of an element: those come and go with containers, and the kernel
/// does not tell by which process.
const DELETIONS: &[u8] = &[2, 5, 8, 11];
const DELRULE: u8 = 8;
const NEWCHAIN: u8 = 3;
/// The table of a chain, a rule or a map, and of itself.
const TABLE: u16 = 1;
const CHAIN_HOOK: u16 = 4;

/// Tells of all changes.
pub fn events() -> io::Result<Socket> {
    let socket = Socket::open(Protocol::Netfilter)?;
    socket.join(GROUP)?;
    Ok(socket)
}

/// Whether something of the table was deleted, or of what others let through for it, or others judge packets that
/// did not do so before.
pub fn is_loss(events: &[Reply], table: &str) -> bool {
    events.iter().any(|event| {
        let attributes = event.body.get(4..).unwrap_or_default();
        let is = |number: u8| event.kind == kind(number);
        match find(attributes, TABLE).map(text).as_deref() == Some(table) {
            true => DELETIONS.iter().any(|number| is(*number)),
            false => {
                let judges = is(NEWCHAIN) && find(attributes, CHAIN_HOOK).is_some();
                judges || is(DELRULE) && foreign::is_marked(attributes, table)
            }
        }
    })
}
