//! Hears of what others take away.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use crate::netlink::Socket;
use crate::nftables;
use crate::route;

/// Of one bridge and its rules, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Watch {
    bridge: String,
    rules: Socket,
    links: Socket,
}

impl Watch {
    pub fn open(bridge: &str) -> io::Result<Self> {
        Ok(Self {
            bridge: bridge.to_owned(),
            rules: nftables::events()?,
            links: route::events()?,
        })
    }

    /// One of them can be read when there is something to hear.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.rules.as_fd(), self.links.as_fd()]
    }

    /// Whether somebody has deleted something since the last time, ourselves when we made it anew included.
    pub fn has_seen_a_loss(&self) -> bool {
        // Both are to be read to their ends.
        let rules = self.rules.receive(|_| false);
        let links = self.links.receive(|_| false);
        match (rules, links) {
            (Ok(rules), Ok(links)) => {
                nftables::is_loss(&rules, &self.bridge) || route::is_loss(&links, &self.bridge)
            }
            // There were too many to be told.
            _ => true,
        }
    }
}
