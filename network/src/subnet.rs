//! Ranges of addresses, of which each container gets one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network, with its first address being the bridge's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet {
    /// The network's own address.
    base: IpAddr,
    prefix: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSubnet {
    #[error("{0:?} is no subnet: write it as 10.11.0.0/16 or fd00:11::/64")]
    Form(String),
    #[error("{subnet} has bits beyond its prefix: the network is {network}")]
    HostBits { subnet: String, network: Subnet },
    #[error(
        "{0} leaves no room for containers: give an IPv4 prefix of 8 to 30, or an IPv6 prefix of 32 to 120"
    )]
    Size(String),
}

impl FromStr for Subnet {
    type Err = BadSubnet;

    fn from_str(text: &str) -> Result<Self, BadSubnet> {
        let bad = || BadSubnet::Form(text.to_owned());
        let (ip, prefix) = text.split_once('/').ok_or_else(bad)?;
        let ip: IpAddr = ip.parse().map_err(|_no_address| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_no_number| bad())?;
        let sizes = match ip {
            IpAddr::V4(_) => 8..=30,
            IpAddr::V6(_) => 32..=120,
        };
        if !sizes.contains(&prefix) {
            return Err(BadSubnet::Size(text.to_owned()));
        }
        let network = Self::around(ip, prefix);
        match network.base == ip {
            true => Ok(network),
            false => Err(BadSubnet::HostBits {
                subnet: text.to_owned(),
                network,
            }),
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl Subnet {
    /// That of `prefix` bits which `ip` lies in.
    pub fn around(ip: IpAddr, prefix: u8) -> Self {
        let base = match ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(prefix.min(32)))
                    .unwrap_or(0);
                Ipv4Addr::from_bits(ip.to_bits() & mask).into()
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(prefix.min(128)))
                    .unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() & mask).into()
            }
        };
        Self { base, prefix }
    }

    pub fn base(&self) -> IpAddr {
        self.base
    }

    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The bridge's.
    pub fn gateway(&self) -> IpAddr {
        self.nth(1)
    }

    pub fn last(&self) -> IpAddr {
        match self.base {
            IpAddr::V4(base) => {
                let hosts = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                Ipv4Addr::from_bits(base.to_bits() | hosts).into()
            }
            IpAddr::V6(base) => {
                let hosts = u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                Ipv6Addr::from_bits(base.to_bits() | hosts).into()
            }
        }
    }

    /// Of containers: neither the network's own address, nor the gateway's, nor the broadcast address.
    pub fn count(&self) -> u64 {
        let (bits, reserved) = match self.base {
            IpAddr::V4(_) => (32 - u32::from(self.prefix), 3),
            IpAddr::V6(_) => (128 - u32::from(self.prefix), 2),
        };
        // More than fit into a node are never looked through.
        (1_u64 << bits.min(32)) - reserved
    }

    /// Of container number `at`, which is below `count`.
    pub fn of_container(&self, at: u64) -> IpAddr {
        self.nth(at + 2)
    }

    /// The opposite of `of_container`.
    pub fn number(&self, ip: IpAddr) -> Option<u64> {
        let distance = match (self.base, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                u64::from(ip.to_bits().checked_sub(base.to_bits())?)
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                u64::try_from(ip.to_bits().checked_sub(base.to_bits())?).ok()?
            }
            _ => return None,
        };
        distance.checked_sub(2).filter(|at| *at < self.count())
    }

    fn nth(&self, at: u64) -> IpAddr {
        match self.base {
            IpAddr::V4(base) => Ipv4Addr::from_bits(base.to_bits().wrapping_add(at as u32)).into(),
            IpAddr::V6(base) => Ipv6Addr::from_bits(base.to_bits() | u128::from(at)).into(),
        }
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        self.base.is_ipv4() == ip.is_ipv4() && Self::around(ip, self.prefix) == *self
    }

    /// Whether some address lies in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().expect("a subnet")
    }

    #[test]
    fn a_subnet_has_a_gateway_and_addresses_for_containers() {
        let small = subnet("10.1.2.0/29");
        assert_eq!(small.gateway().to_string(), "10.1.2.1");
        let all: Vec<_> = (0..small.count())
            .map(|at| small.of_container(at).to_string())
            .collect();
        assert_eq!(
            all,
            ["10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.6"]
        );
        assert_eq!(small.last().to_string(), "10.1.2.7");
        let six = subnet("fd00:1::/64");
        assert_eq!(six.gateway().to_string(), "fd00:1::1");
        assert_eq!(six.of_container(0).to_string(), "fd00:1::2");
    }

    #[test]
    fn what_is_no_subnet_is_refused_with_what_to_write() {
        for (text, wanted) in [
            ("10.0.0.0", "is no subnet"),
            ("10.0.0.0/x", "is no subnet"),
            ("10.0.0.0/33", "no room"),
            ("10.0.0.0/31", "no room"),
            ("fd00::/127", "no room"),
            ("10.0.0.1/24", "the network is 10.0.0.0/24"),
        ] {
            let error = text.parse::<Subnet>().expect_err(text).to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn overlaps_are_seen_both_ways() {
        let table = [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.1.0.0/16", "10.2.0.0/16", false),
            ("10.1.0.0/16", "fd00::/64", false),
            ("fd00::/64", "fd00::/48", true),
        ];
        for (one, other, wanted) in table {
            assert_eq!(subnet(one).overlaps(&subnet(other)), wanted);
            assert_eq!(subnet(other).overlaps(&subnet(one)), wanted);
        }
    }

    proptest! {
        #[test]
        fn a_containers_number_is_found_by_its_address(base: u32, prefix in 8_u8..=30, at: u64) {
            let subnet = Subnet::around(Ipv4Addr::from_bits(base).into(), prefix);
            let at = at % subnet.count();
            let ip = subnet.of_container(at);
            prop_assert!(subnet.contains(ip));
            prop_assert_eq!(subnet.number(ip), Some(at));
        }
    }
}
