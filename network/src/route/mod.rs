//! rtnetlink: links, their addresses, and the way to everywhere else.
//!
//! Source: rtnetlink(7), include/uapi/linux/{rtnetlink,if_link,if_addr}.h.

mod address;
mod events;
mod link;
mod neighbour;
mod port;
mod rate;
mod way;

pub use address::{Address, addresses};
pub use events::{events, is_loss};
pub use link::{
    Bridge, Link, Peer, Veth, become_port, becomes, delete, has_mtu, link, links, no_own_addresses,
    up,
};
pub use neighbour::is_known;
#[cfg(test)]
pub use neighbour::known;
pub use port::{hold, is_at};
pub use rate::limit;
#[cfg(test)]
pub use rate::limits;
pub use way::{default_way, ways};

use crate::netlink::{Message, Socket};

/// A request that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempt}")]
pub struct RouteError {
    pub attempt: String,
    pub source: std::io::Error,
}

impl RouteError {
    pub fn is(&self, errno: nix::errno::Errno) -> bool {
        self.source.raw_os_error() == Some(errno as i32)
    }
}

/// What is asked for, with words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub attempt: String,
    pub message: Message,
}

impl Request {
    fn new(attempt: impl Into<String>, message: Message) -> Self {
        Self {
            attempt: attempt.into(),
            message,
        }
    }
}

/// All at once, in order. The first that fails is told of.
pub fn tell(socket: &mut Socket, requests: &[Request]) -> Result<(), RouteError> {
    let messages: Vec<_> = requests.iter().map(|it| it.message.clone()).collect();
    socket.tell(&messages).map_err(|refused| {
        let attempt = requests.get(refused.at).map(|it| it.attempt.clone());
        RouteError {
            attempt: attempt.unwrap_or_default(),
            source: refused.error,
        }
    })
}

/// A link that was there a moment ago.
pub fn gone(link: &str) -> RouteError {
    RouteError {
        attempt: format!("look at link {link}"),
        source: nix::errno::Errno::ENODEV.into(),
    }
}

fn failed(attempt: impl Into<String>) -> impl FnOnce(std::io::Error) -> RouteError {
    let attempt = attempt.into();
    move |source| RouteError { attempt, source }
}
