//! Which schemes, hosts and addresses may be fetched from. Judged for what a task names and again for each
//! redirect; an address is judged once it is known, after the name was resolved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an operator allows. The default: everything but link-local addresses and those of clouds'
/// metadata services, which give away the credentials of the node.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Policy {
    /// In lower case; a plain path is `file`. Every scheme when empty.
    pub schemes: Vec<String>,
    /// Names and addresses; `*.example.com` is every host below that. Every host when empty.
    pub hosts: Vec<String>,
    pub link_local: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("the scheme {0} is not among this agent's --fetcher_allowed_schemes")]
    Scheme(String),
    #[error("the host {0} is not among this agent's --fetcher_allowed_hosts")]
    Host(String),
    #[error(
        "the address {0} is link-local or a cloud's metadata service, from where this agent fetches \
         nothing (--fetcher_allow_link_local)"
    )]
    Address(IpAddr),
}

/// Metadata services beside the link-local ones: of AWS (and its identities of pods) and Google by IPv6, of Alibaba, Azure (its "wire server")
/// and Oracle.
const METADATA: &[IpAddr] = &[
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

impl Policy {
    pub fn scheme(&self, scheme: &str) -> Result<(), Forbidden> {
        let allowed = self.schemes.is_empty() || self.schemes.iter().any(|it| it == scheme);
        allowed
            .then_some(())
            .ok_or_else(|| Forbidden::Scheme(scheme.to_owned()))
    }

    /// Of those who were named by another scheme, and send on to the servers that have it.
    pub fn within(&self, schemes: &[&str]) -> Self {
        let mut wider = self.clone();
        // None are all.
        if !wider.schemes.is_empty() {
            wider
                .schemes
                .extend(schemes.iter().map(|&scheme| scheme.to_owned()));
        }
        wider
    }

    /// `host` as it stands in a URL: an address counts as one.
    pub fn host(&self, host: &str) -> Result<(), Forbidden> {
        let plain = host.trim_start_matches('[').trim_end_matches([']', '.']);
        let plain = plain.to_ascii_lowercase();
        let matches = |allowed: &String| match allowed.strip_prefix('*') {
            Some(ending) => plain.ends_with(ending) && plain.len() > ending.len(),
            None => *allowed == plain,
        };
        if !self.hosts.is_empty() && !self.hosts.iter().any(matches) {
            return Err(Forbidden::Host(host.to_owned()));
        }
        plain.parse().map_or(Ok(()), |ip| self.address(ip))
    }

    pub fn address(&self, address: IpAddr) -> Result<(), Forbidden> {
        let address = reached(address);
        let link_local = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        match !self.link_local && (link_local || METADATA.contains(&address)) {
            true => Err(Forbidden::Address(address)),
            false => Ok(()),
        }
    }
}

/// Where packets go in the end: some addresses of IPv6 mean one of IPv4, by the kernel or by a gateway.
/// Sources: RFC 4291, section 2.5.5; RFC 6052, section 2.1; RFC 3056, section 2.
fn reached(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_services_are_out_of_reach_unless_they_are_allowed() {
        let (default, lax) = (
            Policy::default(),
            Policy {
                link_local: true,
                ..Policy::default()
            },
        );
        for host in [
            "169.254.169.254",
            "169.254.170.2",
            "[fe80::1]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::169.254.169.254]",
            "[::169.254.169.254]",
            "[2002:a9fe:a9fe::1]",
            "[fd00:ec2::254]",
            "[fd00:ec2::23]",
            "[fd20:ce::254]",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
        ] {
            let verdict = default.host(host);
            assert!(matches!(verdict, Err(Forbidden::Address(_))), "{host}");
            assert_eq!(lax.host(host), Ok(()), "{host}");
        }
        for host in [
            "127.0.0.1",
            "10.1.2.3",
            "100.100.100.201",
            "h",
            "[::1]",
            "[::]",
            "[64:ff9b::10.1.2.3]",
        ] {
            assert_eq!(default.host(host), Ok(()), "{host}");
        }
    }

    #[test]
    fn hosts_and_schemes_are_those_that_are_named() {
        let policy = Policy {
            schemes: vec!["https".into()],
            hosts: vec!["a.example".into(), "*.b.example".into(), "::1".into()],
            link_local: false,
        };
        for host in ["a.example", "A.Example.", "x.b.example", "[::1]"] {
            assert_eq!(policy.host(host), Ok(()), "{host}");
        }
        for host in ["x.a.example", "b.example", ".b.example", "xb.example"] {
            assert_eq!(policy.host(host), Err(Forbidden::Host(host.to_owned())));
        }
        assert_eq!(policy.scheme("https"), Ok(()));
        assert_eq!(policy.scheme("http"), Err(Forbidden::Scheme("http".into())));
    }
}
