//! Addresses, protocols and ports together, made such that no two overlap: the kernel refuses those that do.

use std::net::IpAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    pub first: IpAddr,
    pub last: IpAddr,
    /// From one to another, of IP.
    pub protocols: (u8, u8),
    pub ports: (u16, u16),
}

/// First and last number in each direction.
type Sides = [(u128, u128); 3];

/// What is in one of `all` is in one of these, and in one only.
pub fn apart(all: impl Iterator<Item = Region>) -> Vec<Region> {
    let mut apart: Vec<Region> = Vec::new();
    for new in all {
        let mut rest = vec![new];
        for there in &apart {
            rest = rest.iter().flat_map(|it| minus(it, there)).collect();
        }
        apart.extend(rest);
    }
    apart
}

fn minus(whole: &Region, hole: &Region) -> Vec<Region> {
    if whole.first.is_ipv4() != hole.first.is_ipv4() {
        return vec![*whole];
    }
    let parts = beside(sides(whole), &sides(hole));
    parts.iter().map(|it| of_sides(it, whole.first)).collect()
}

fn beside(whole: Sides, hole: &Sides) -> Vec<Sides> {
    let mut pairs = whole.iter().zip(hole);
    if !pairs.all(|(it, hole)| it.0 <= hole.1 && hole.0 <= it.1) {
        return vec![whole];
    }
    let (mut rest, mut parts) = (whole, Vec::new());
    for (at, hole) in hole.iter().enumerate() {
        let Some(side) = rest.get(at).copied() else {
            break;
        };
        let with = |side| {
            let mut part = rest;
            part.iter_mut().skip(at).take(1).for_each(|it| *it = side);
            part
        };
        if side.0 < hole.0 {
            parts.push(with((side.0, hole.0 - 1)));
        }
        if side.1 > hole.1 {
            parts.push(with((hole.1 + 1, side.1)));
        }
        rest = with((side.0.max(hole.0), side.1.min(hole.1)));
    }
    parts
}

fn sides(it: &Region) -> Sides {
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    [
        (number(it.first), number(it.last)),
        (it.protocols.0.into(), it.protocols.1.into()),
        (it.ports.0.into(), it.ports.1.into()),
    ]
}

/// `like`: an address of the same family. All numbers come from a region.
fn of_sides([addresses, protocols, ports]: &Sides, like: IpAddr) -> Region {
    let ip = |number: u128| match like {
        IpAddr::V4(_) => IpAddr::V4((number as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(number.into()),
    };
    Region {
        first: ip(addresses.0),
        last: ip(addresses.1),
        protocols: (protocols.0 as u8, protocols.1 as u8),
        ports: (ports.0 as u16, ports.1 as u16),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn holds(it: &Region, ip: u8, protocol: u8, port: u16) -> bool {
        let ip: IpAddr = Ipv4Addr::new(10, 0, 0, ip).into();
        (it.first..=it.last).contains(&ip)
            && (it.protocols.0..=it.protocols.1).contains(&protocol)
            && (it.ports.0..=it.ports.1).contains(&port)
    }

    fn any_region() -> impl Strategy<Value = Region> {
        let side = || (0_u8..6, 0_u8..6).prop_map(|(a, b)| (a.min(b), a.max(b)));
        (side(), side(), side()).prop_map(|(ips, protocols, ports)| Region {
            first: Ipv4Addr::new(10, 0, 0, ips.0).into(),
            last: Ipv4Addr::new(10, 0, 0, ips.1).into(),
            protocols,
            ports: (ports.0.into(), ports.1.into()),
        })
    }

    proptest! {
        #[test]
        fn what_is_in_some_is_in_one(all in prop::collection::vec(any_region(), 0..6)) {
            let parts = apart(all.iter().copied());
            for ip in 0..6 {
                for protocol in 0..6 {
                    for port in 0..6 {
                        let count = parts.iter().filter(|it| holds(it, ip, protocol, port)).count();
                        let wanted = all.iter().any(|it| holds(it, ip, protocol, port));
                        prop_assert_eq!(count, usize::from(wanted));
                    }
                }
            }
        }
    }
}
