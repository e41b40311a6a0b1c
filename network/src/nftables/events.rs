//! What the kernel tells of changes: that somebody has taken away what we have made is seen at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::kind;
use crate::netlink::{Protocol, Reply, Socket, find, text};

/// Of nfnetlink.h: changes of nf_tables.
const GROUP: u32 = 7;

/// Of a table, a chain, a rule and a map. Not of an element: those come and go with containers, and the kernel
/// does not tell by which process.
const DELETIONS: &[u8] = &[2, 5, 8, 11];
/// The table of a chain, a rule or a map, and of itself.
const TABLE: u16 = 1;

/// Of one table, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
    table: String,
}

impl Watch {
    pub fn open(table: &str) -> io::Result<Self> {
        let socket = Socket::open(Protocol::Netfilter)?;
        socket.join(GROUP)?;
        Ok(Self {
            socket,
            table: table.to_owned(),
        })
    }

    /// Whether somebody has deleted something of it since the last time, ourselves when we made it anew
    /// included. To be asked when the descriptor can be read.
    pub fn has_seen_a_loss(&self) -> bool {
        match self.socket.receive(|_| false) {
            Ok(events) => is_loss(&events, &self.table),
            // There were too many to be told.
            Err(_) => true,
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is_loss(events: &[Reply], table: &str) -> bool {
    events.iter().any(|event| {
        let attributes = event.body.get(4..).unwrap_or_default();
        let is_ours = || find(attributes, TABLE).map(text).as_deref() == Some(table);
        DELETIONS.iter().any(|number| event.kind == kind(*number)) && is_ours()
    })
}
