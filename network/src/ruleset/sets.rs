//! What differs from container to container: elements of sets. Pure.

use std::net::IpAddr;

use super::{Hardware, octets};
use crate::egress::{Policy, Region};
use crate::nftables::{Element, Field as F, Set, padded};
use crate::port::{Port, Protocol};

/// From protocol and port of the host to address and port of a container.
pub const PORTS_V4: Set = Set::map("ports4", &[F::Protocol, F::Port], &[F::V4, F::Port]);
pub const PORTS_V6: Set = Set::map("ports6", &[F::Protocol, F::Port], &[F::V6, F::Port]);

/// Which addresses are those of which link.
pub const SENDERS_V4: Set = Set::of("senders4", &[F::V4, F::Hardware]);
pub const SENDERS_V6: Set = Set::of("senders6", &[F::V6, F::Hardware]);

/// Containers that may only talk to whom `ALLOWED_V4` and `ALLOWED_V6` tell.
pub const HELD: Set = Set::of("held", &[F::Hardware]);
pub const ALLOWED_V4: Set = Set {
    is_ranges: true,
    ..Set::of("allowed4", &[F::Hardware, F::V4, F::Protocol, F::Port])
};
pub const ALLOWED_V6: Set = Set {
    is_ranges: true,
    ..Set::of("allowed6", &[F::Hardware, F::V6, F::Protocol, F::Port])
};

/// The same containers, for the rules of frames.
pub const UPWARD: Set = Set::of("upward", &[F::Hardware]);

/// All containers, again: of which one a frame was refused.
pub const STRAYED: Set = Set {
    counts: true,
    ..Set::of("strayed", &[F::Hardware])
};

/// All containers: of which one a packet was refused.
pub const DENIED: Set = Set {
    counts: true,
    ..Set::of("denied", &[F::Hardware])
};

/// Of the rules of packets.
pub const ALL: [Set; 8] = [
    PORTS_V4, PORTS_V6, SENDERS_V4, SENDERS_V6, HELD, ALLOWED_V4, ALLOWED_V6, DENIED,
];

/// Links of containers, on the host, and which address is at which of them.
pub const LINKS: Set = Set::of("links", &[F::Link]);
pub const PLACES: Set = Set::of("places", &[F::Link, F::Hardware]);

/// Of those of frames.
pub const OF_FRAMES: [Set; 6] = [UPWARD, STRAYED, LINKS, PLACES, SENDERS_V4, SENDERS_V6];

pub fn port(ip: IpAddr, port: &Port) -> Element {
    let protocol = [port.protocol.number()];
    let set = if ip.is_ipv4() { PORTS_V4 } else { PORTS_V6 };
    let to = padded(&[&octets(ip), &port.container.to_be_bytes()]);
    element(set, &[&protocol, &port.host.to_be_bytes()], Some(to))
}

/// The opposite of `port`, as far as it tells of the host.
pub fn of_port(element: &Element) -> Option<(u16, Protocol)> {
    let is_port = [PORTS_V4.name, PORTS_V6.name].contains(&element.set);
    let (protocol, port) = element.key.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes(*port.first_chunk()?);
    Some((port, Protocol::of_number(protocol[0])?)).filter(|_| is_port)
}

/// The port of a container that an element leads to; `None` for what is no port's.
pub fn to_port(element: &Element) -> Option<Port> {
    let (host, protocol) = of_port(element)?;
    let address = match element.set {
        set if set == PORTS_V4.name => 4,
        _ => 16,
    };
    let container = element.data.as_ref()?.get(address..address + 2)?;
    Some(Port {
        protocol,
        host,
        container: u16::from_be_bytes(container.try_into().ok()?),
    })
}

/// Whether it is about the container with these addresses.
pub fn is_of(element: &Element, link: &str, hardware: Hardware, addresses: &[IpAddr]) -> bool {
    let Element { set, key, data, .. } = element;
    let is_in = |sets: &[Set]| sets.iter().any(|it| it.name == *set);
    if is_in(&[PORTS_V4, PORTS_V6]) {
        let data = data.as_deref().unwrap_or_default();
        return addresses.iter().any(|ip| data.starts_with(&octets(*ip)));
    }
    if is_in(&[LINKS, PLACES]) {
        return key
            .strip_prefix(link.as_bytes())
            .is_some_and(|rest| rest.starts_with(&[0]));
    }
    let hardware_at = match () {
        () if is_in(&[SENDERS_V4]) => 4,
        () if is_in(&[SENDERS_V6]) => 16,
        () => 0,
    };
    key.get(hardware_at..)
        .is_some_and(|rest| rest.starts_with(&hardware))
}

pub fn sender(ip: IpAddr, hardware: Hardware) -> Element {
    let set = if ip.is_ipv4() { SENDERS_V4 } else { SENDERS_V6 };
    element(set, &[&octets(ip), &hardware], None)
}

pub fn place(link: &str, hardware: Hardware) -> [Element; 2] {
    let mut name = link.as_bytes().to_vec();
    name.resize(F::Link.length(), 0);
    [
        element(LINKS, &[&name], None),
        element(PLACES, &[&name, &hardware], None),
    ]
}

/// By both kinds of rules.
pub fn denied(hardware: Hardware) -> [Element; 2] {
    [DENIED, STRAYED].map(|set| element(set, &[&hardware], None))
}

/// Of a container that is held to a policy.
pub fn held(hardware: Hardware, policy: &Policy) -> Vec<Element> {
    let allowed = policy.regions();
    let allowed = allowed.iter().map(|it| self::allowed(hardware, it));
    let held = [HELD, UPWARD].map(|set| element(set, &[&hardware], None));
    allowed.chain(held).collect()
}

fn allowed(hardware: Hardware, allowed: &Region) -> Element {
    let set = match allowed.first.is_ipv4() {
        true => ALLOWED_V4,
        false => ALLOWED_V6,
    };
    let end = |ip, protocol: u8, port: u16| {
        padded(&[&hardware, &octets(ip), &[protocol], &port.to_be_bytes()])
    };
    let Region {
        first,
        last,
        protocols,
        ports,
    } = *allowed;
    Element {
        set: set.name,
        key: end(first, protocols.0, ports.0),
        last: Some(end(last, protocols.1, ports.1)),
        data: None,
    }
}

fn element(set: Set, key: &[&[u8]], data: Option<Vec<u8>>) -> Element {
    Element {
        set: set.name,
        key: padded(key),
        last: None,
        data,
    }
}
