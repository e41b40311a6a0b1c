//! What a check asks of its task's container: its network, and a command in it.

use std::io;
use std::net::SocketAddr;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use proto::v1::CommandInfo;
use tokio::net::{TcpSocket, TcpStream};

use super::command;
use crate::container::Container;

#[derive(Debug, Clone)]
pub enum Place {
    Container(Container),
    /// No container at all.
    #[cfg(test)]
    Here,
}

impl Place {
    /// By the network that the container has: its own loopback, where it has one.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let family = match to {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let make = move || {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            Ok(socket(family, SockType::Stream, flags, None)?)
        };
        let socket = match self {
            Place::Container(Container::Native(it)) => it.within_network(make).await?,
            Place::Container(Container::Docker(it)) => it.within_network(make).await?,
            #[cfg(test)]
            Place::Here => make()?,
        };
        TcpSocket::from_std_stream(socket.into()).connect(to).await
    }

    /// As the container's own command would run it. Dropping this ends it, with all that came of it.
    pub async fn run(&self, command: &CommandInfo) -> Result<command::Ended, String> {
        match self {
            Place::Container(Container::Native(it)) => command::run(it.clone(), command).await,
            Place::Container(Container::Docker(it)) => command::run_by_engine(it, command).await,
            #[cfg(test)]
            Place::Here => Err("there is no container".to_owned()),
        }
    }
}
