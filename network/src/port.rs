//! Ports of the host that lead into a container.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// Of IP.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    pub fn of_number(number: u8) -> Option<Self> {
        [Self::Tcp, Self::Udp]
            .into_iter()
            .find(|protocol| protocol.number() == number)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    pub protocol: Protocol,
    pub host: u16,
    pub container: u16,
}

impl Port {
    /// Whether a program of this host, more precisely of this thread's network, has the port.
    pub fn is_in_use(&self) -> io::Result<bool> {
        let bound = match self.bind(Ipv6Addr::UNSPECIFIED.into()) {
            // IPv6 may be switched off.
            Err(error) if is(&error, &[Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL]) => {
                self.bind(Ipv4Addr::UNSPECIFIED.into())
            }
            bound => bound,
        };
        match bound {
            Err(error) if is(&error, &[Errno::EADDRINUSE]) => Ok(true),
            bound => bound.map(|()| false),
        }
    }

    /// For a moment, at all addresses of a family; those of IPv6 have IPv4's among them.
    fn bind(&self, any: IpAddr) -> io::Result<()> {
        let kind = match self.protocol {
            Protocol::Tcp => Type::STREAM,
            Protocol::Udp => Type::DGRAM,
        };
        let address = SocketAddr::new(any, self.host);
        let socket = Socket::new(Domain::for_address(address), kind, None)?;
        if any.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        if self.protocol == Protocol::Tcp {
            // Connections that have ended a moment ago do no harm.
            socket.set_reuse_address(true)?;
        }
        socket.bind(&address.into())
    }
}

fn is(error: &io::Error, among: &[Errno]) -> bool {
    let number = error.raw_os_error();
    among.iter().any(|errno| number == Some(*errno as i32))
}
