//! Whom a container may talk to, when that is not everyone. Pure.
//!
//! ```text
//! 10.0.0.0/8:443/tcp  192.0.2.7:8000-8999  [fd00::/8]:53/udp  198.51.100.0/24  dns
//! ```
//!
//! An address or a network, then ports and a protocol where not all are meant; `dns` are the servers that the
//! container is told to ask for names.

mod regions;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::port::Protocol;
use crate::subnet::Subnet;
pub use regions::Region;

/// More would be a firewall, and its elements cost each container that comes later.
const MOST: usize = 64;
const DNS: u16 = 53;

/// Nothing but what it tells, and answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub allowed: Vec<Allowed>,
    /// Of the container's own name servers, too, which are known later.
    #[serde(default)]
    pub dns: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    pub first: IpAddr,
    pub last: IpAddr,
    /// Tcp and udp, when there are ports and no protocol.
    pub protocol: Option<Protocol>,
    /// All protocols of IP, when there are none.
    pub ports: Option<(u16, u16)>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPolicy {
    #[error(
        "{0:?} is nobody to talk to: write 10.0.0.0/8, 10.0.0.0/8:443/tcp, 10.0.0.1:8000-8999, [fd00::/8]:53/udp, \
         or dns"
    )]
    Form(String),
    #[error("{text:?} has bits beyond its prefix: the network is {network}")]
    HostBits { text: String, network: Subnet },
    #[error("{0} are named, and at most {MOST} can be")]
    Many(usize),
}

impl FromStr for Policy {
    type Err = BadPolicy;

    fn from_str(text: &str) -> Result<Self, BadPolicy> {
        let words = text.split(|c: char| c == ',' || c.is_whitespace());
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        if words.len() > MOST {
            return Err(BadPolicy::Many(words.len()));
        }
        let (dns, words): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| *word == "dns");
        let allowed = words.into_iter().map(str::parse);
        Ok(Self {
            allowed: allowed.collect::<Result<_, _>>()?,
            dns: !dns.is_empty(),
        })
    }
}

impl FromStr for Allowed {
    type Err = BadPolicy;

    fn from_str(word: &str) -> Result<Self, BadPolicy> {
        let bad = || BadPolicy::Form(word.to_owned());
        let (network, ports) = match word.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(bad)?,
            // What has more colons than one is an address of IPv6 alone.
            None => match word.split_once(':') {
                Some((network, ports)) if !ports.contains(':') => (network, &word[network.len()..]),
                _ => (word, ""),
            },
        };
        let (ip, prefix) = match network.split_once('/') {
            Some((ip, prefix)) => (ip, Some(prefix)),
            None => (network, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_no_address| bad())?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), str::parse);
        let prefix = prefix.map_err(|_no_number| bad())?;
        if prefix > bits {
            return Err(bad());
        }
        let network = Subnet::around(ip, prefix);
        if network.base() != ip {
            let text = word.to_owned();
            return Err(BadPolicy::HostBits { text, network });
        }
        let (ports, protocol) = match ports.strip_prefix(':') {
            Some(ports) => of_ports(ports).ok_or_else(bad)?,
            None if ports.is_empty() => (None, None),
            None => return Err(bad()),
        };
        Ok(Self {
            first: ip,
            last: network.last(),
            protocol,
            ports,
        })
    }
}

type Ports = (Option<(u16, u16)>, Option<Protocol>);

/// `443`, `443/tcp`, `8000-8999`
fn of_ports(text: &str) -> Option<Ports> {
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, "tcp")) => (ports, Some(Protocol::Tcp)),
        Some((ports, "udp")) => (ports, Some(Protocol::Udp)),
        Some(_) => return None,
        None => (text, None),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    let is_range = first > 0 && first <= last;
    is_range.then_some((Some((first, last)), protocol))
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.first, self.last)
    }
}

impl Policy {
    /// With the servers that a container asks for names, if it may.
    pub fn with_servers(mut self, servers: &[String]) -> Self {
        let servers = servers.iter().filter_map(|server| server.parse().ok());
        let servers = servers.filter(|_| self.dns).map(|ip: IpAddr| Allowed {
            first: ip,
            last: ip,
            protocol: None,
            ports: Some((DNS, DNS)),
        });
        self.allowed.extend(servers);
        self
    }

    /// The same, no two of which overlap.
    pub fn regions(&self) -> Vec<Region> {
        regions::apart(self.allowed.iter().flat_map(Allowed::regions))
    }
}

impl Allowed {
    fn regions(&self) -> Vec<Region> {
        let of = |protocols, ports| Region {
            first: self.first,
            last: self.last,
            protocols,
            ports,
        };
        let only = |protocol: Protocol| (protocol.number(), protocol.number());
        match (self.ports, self.protocol) {
            (None, _) => vec![of((0, u8::MAX), (0, u16::MAX))],
            (Some(ports), Some(protocol)) => vec![of(only(protocol), ports)],
            (Some(ports), None) => [Protocol::Tcp, Protocol::Udp]
                .map(|protocol| of(only(protocol), ports))
                .to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str) -> Allowed {
        text.parse().expect("it is one")
    }

    #[test]
    fn networks_ports_and_protocols_are_read() {
        let all = allowed("10.0.0.0/8");
        assert_eq!((all.ports, all.protocol), (None, None));
        assert_eq!(all.first.to_string(), "10.0.0.0");
        assert_eq!(all.last.to_string(), "10.255.255.255");
        let one = allowed("192.0.2.7:8000-8999/udp");
        assert_eq!(one.first, one.last);
        assert_eq!(one.ports, Some((8000, 8999)));
        assert_eq!(one.protocol, Some(Protocol::Udp));
        let six = allowed("[fd00::/8]:53");
        assert_eq!((six.ports, six.protocol), (Some((53, 53)), None));
        let last = "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        assert_eq!(six.last.to_string(), last);
        assert_eq!(allowed("fd00::1").first.to_string(), "fd00::1");
        let policy: Policy = " 10.0.0.0/8, dns\n192.0.2.1:1 ".parse().expect("a policy");
        assert_eq!((policy.allowed.len(), policy.dns), (2, true));
        assert_eq!("".parse(), Ok(Policy::default()));
    }

    #[test]
    fn what_is_none_is_refused_with_what_to_write() {
        for bad in [
            "example.com",
            "10.0.0.0/33",
            "10.0.0.0/x",
            "10.0.0.1:",
            "10.0.0.1:0",
            "10.0.0.1:9-8",
            "10.0.0.1:80/sctp",
            "10.0.0.1:65536",
            "[fd00::/8",
            "[fd00::/8]53",
            "fd00::/129",
            "*",
        ] {
            let error = bad.parse::<Policy>().expect_err(bad).to_string();
            assert!(error.starts_with(&format!("{bad:?} is nobody")), "{error}");
        }
        let error = "10.0.0.1/8"
            .parse::<Policy>()
            .expect_err("bits")
            .to_string();
        assert!(error.contains("the network is 10.0.0.0/8"), "{error}");
        let many = "10.0.0.1 ".repeat(65).parse::<Policy>();
        assert_eq!(many, Err(BadPolicy::Many(65)));
    }

    #[test]
    fn who_may_ask_for_names_may_ask_its_own_servers() {
        let servers = ["10.0.0.53".to_owned(), "fe80::1%eth0".to_owned()];
        let policy: Policy = "dns".parse().expect("a policy");
        let allowed_then = policy.with_servers(&servers).allowed;
        assert_eq!(allowed_then, [allowed("10.0.0.53:53")]);
        let silent = Policy::default().with_servers(&servers);
        assert_eq!(silent, Policy::default());
    }
}
