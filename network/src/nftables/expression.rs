//! What a rule consists of: small steps over registers.

use std::net::IpAddr;

use super::set::NAME;
use crate::netlink::Attributes;
use crate::subnet::Subnet;

/// 4 bytes each; four of them are what the kernel calls register 1.
const REGISTER: u32 = 8;
const VERDICT: u32 = 0;

const ELEMENT: u16 = 1;
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;

const META_PROTOCOL: u32 = 1;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const IPS_DST_NAT: u32 = 1 << 5;
const STATE_ESTABLISHED: u32 = 1 << 1;
const STATE_RELATED: u32 = 1 << 2;
const FIB_RESULT_ADDRTYPE: u32 = 3;
const FIB_F_DADDR: u32 = 2;
const RTN_UNICAST: u32 = 1;
const RTN_LOCAL: u32 = 2;
const RTN_MULTICAST: u32 = 5;
const LINK_HEADER: u32 = 0;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const NAT_DNAT: u32 = 1;
const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;
const LOOKUP_INVERTED: u32 = 1;
const ICMP_V6: u8 = 58;
/// Kinds of ICMPv6 messages, and where that of a neighbour has the address that it is about: RFC 4861.
const ROUTER_ASKED: u8 = 133;
const NEIGHBOUR_ASKED: u8 = 135;
const NEIGHBOUR_TOLD: u8 = 136;
const REDIRECTED: u8 = 137;
const NEIGHBOUR_TARGET: u32 = 8;
/// Where ARP has the sender's addresses, on ethernet: RFC 826.
const ARP_SENDER: u32 = 8;
const ARP_SENDER_IP: u32 = 14;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_V6: u16 = 0x86dd;
const GOTO: i32 = -4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression(Attributes);

fn expression(name: &str, data: Attributes) -> Expression {
    let expression = Attributes::default()
        .text(EXPR_NAME, name)
        .nest(EXPR_DATA, data);
    Expression(Attributes::default().nest(ELEMENT, expression))
}

fn value(bytes: &[u8]) -> Attributes {
    Attributes::default().bytes(DATA_VALUE, bytes)
}

/// `key` of the packet into the first register.
fn meta(key: u32, register: u32) -> Expression {
    let data = Attributes::default().u32_be(1, register).u32_be(2, key);
    expression("meta", data)
}

fn compare(how: u32, bytes: &[u8]) -> Expression {
    let data = Attributes::default()
        .u32_be(1, REGISTER)
        .u32_be(2, how)
        .nest(3, value(bytes));
    expression("cmp", data)
}

fn payload(header: u32, offset: u32, length: u32, register: u32) -> Expression {
    let data = Attributes::default()
        .u32_be(1, register)
        .u32_be(2, header)
        .u32_be(3, offset)
        .u32_be(4, length);
    expression("payload", data)
}

/// What the first registers hold is in `set`, or is not.
fn found(set: &str, is_wanted: bool) -> Expression {
    let data = Attributes::default().text(1, set).u32_be(2, REGISTER);
    let data = match is_wanted {
        true => data,
        false => data.u32_be(5, LOOKUP_INVERTED),
    };
    expression("lookup", data)
}

/// The sender's, as its link says.
fn hardware(register: u32) -> Expression {
    payload(LINK_HEADER, 6, 6, register)
}

/// Where an address is in a header, and how many bytes it has.
fn place(is_v4: bool, is_source: bool) -> (u32, u32) {
    match (is_v4, is_source) {
        (true, true) => (12, 4),
        (true, false) => (16, 4),
        (false, true) => (8, 16),
        (false, false) => (24, 16),
    }
}

/// Only the bits of `mask` stay.
fn masked(mask: &[u8]) -> Expression {
    let data = Attributes::default()
        .u32_be(1, REGISTER)
        .u32_be(2, REGISTER)
        .u32_be(3, mask.len() as u32)
        .nest(4, value(mask))
        .nest(5, value(&vec![0; mask.len()]));
    expression("bitwise", data)
}

/// By the kind of route that its destination has.
fn goes_by(how: u32, kind: u32) -> Vec<Expression> {
    let data = Attributes::default()
        .u32_be(1, REGISTER)
        .u32_be(2, FIB_RESULT_ADDRTYPE)
        .u32_be(3, FIB_F_DADDR);
    vec![expression("fib", data), compare(how, &kind.to_ne_bytes())]
}

/// ICMPv6 of neighbour discovery, from one kind of message to another.
fn of_neighbours(first: u8, last: u8) -> Vec<Expression> {
    vec![
        meta(META_L4PROTO, REGISTER),
        compare(EQUAL, &[ICMP_V6]),
        payload(TRANSPORT_HEADER, 0, 1, REGISTER),
        compare(AT_LEAST, &[first]),
        compare(AT_MOST, &[last]),
    ]
}

/// A frame of that kind.
fn carries(ethertype: u16) -> Vec<Expression> {
    let kind = meta(META_PROTOCOL, REGISTER);
    vec![kind, compare(EQUAL, &ethertype.to_be_bytes())]
}

/// An address that is at that place of a packet, and that of the sender's link, are together in `set`.
fn speaks_for_itself(header: u32, offset: u32, length: u32, set: &str) -> Vec<Expression> {
    vec![
        payload(header, offset, length, REGISTER),
        hardware(REGISTER + length / 4),
        found(set, true),
    ]
}

fn tracked(key: u32) -> Expression {
    expression(
        "ct",
        Attributes::default().u32_be(1, REGISTER).u32_be(2, key),
    )
}

fn any_bit(bits: u32) -> [Expression; 2] {
    [masked(&bits.to_ne_bytes()), compare(UNEQUAL, &[0; 4])]
}

fn name(link: &str) -> [u8; NAME] {
    let mut name = [0; NAME];
    // The last byte stays zero: no link has a longer name.
    for (to, from) in name.iter_mut().zip(link.bytes().take(NAME - 1)) {
        *to = from;
    }
    name
}

fn of_family(is_v4: bool) -> [Expression; 2] {
    let family = if is_v4 { 2 } else { 10 };
    [meta(META_NFPROTO, REGISTER), compare(EQUAL, &[family])]
}

/// Conditions: each is steps of which the last ends the rule where it does not hold.
impl Expression {
    pub fn comes_from(link: &str) -> Vec<Self> {
        vec![meta(META_IIFNAME, REGISTER), compare(EQUAL, &name(link))]
    }

    pub fn comes_from_elsewhere(link: &str) -> Vec<Self> {
        vec![meta(META_IIFNAME, REGISTER), compare(UNEQUAL, &name(link))]
    }

    pub fn goes_to(link: &str) -> Vec<Self> {
        vec![meta(META_OIFNAME, REGISTER), compare(EQUAL, &name(link))]
    }

    pub fn goes_elsewhere(link: &str) -> Vec<Self> {
        vec![meta(META_OIFNAME, REGISTER), compare(UNEQUAL, &name(link))]
    }

    pub fn source_in(subnet: Subnet) -> Vec<Self> {
        within(subnet, true)
    }

    pub fn destination_in(subnet: Subnet) -> Vec<Self> {
        within(subnet, false)
    }

    /// The destination is this host.
    pub fn is_for_this_host() -> Vec<Self> {
        goes_by(EQUAL, RTN_LOCAL)
    }

    /// All who want to hear it are meant.
    pub fn is_for_a_group() -> Vec<Self> {
        goes_by(EQUAL, RTN_MULTICAST)
    }

    /// Its connection was led to another address than it was made to.
    pub fn was_led() -> Vec<Self> {
        let [mask, compare] = any_bit(IPS_DST_NAT);
        vec![tracked(CT_STATUS), mask, compare]
    }

    pub fn belongs_to_a_connection() -> Vec<Self> {
        let [mask, compare] = any_bit(STATE_ESTABLISHED | STATE_RELATED);
        vec![tracked(CT_STATE), mask, compare]
    }

    /// To where `map` says for its protocol and port, if that says something.
    pub fn led_by(map: &str, is_v4: bool) -> Vec<Self> {
        let family = if is_v4 { 2 } else { 10 };
        let port = REGISTER + if is_v4 { 1 } else { 4 };
        let lookup = Attributes::default()
            .text(1, map)
            .u32_be(2, REGISTER)
            .u32_be(3, REGISTER);
        let nat = Attributes::default()
            .u32_be(1, NAT_DNAT)
            .u32_be(2, family)
            .u32_be(3, REGISTER)
            .u32_be(5, port);
        vec![
            meta(META_NFPROTO, REGISTER),
            compare(EQUAL, &[family as u8]),
            meta(META_L4PROTO, REGISTER),
            payload(TRANSPORT_HEADER, 2, 2, REGISTER + 1),
            expression("lookup", lookup),
            expression("nat", nat),
        ]
    }

    /// Its sender's address and that of its link are not together in `set`.
    pub fn sender_unknown(set: &str, is_v4: bool) -> Vec<Self> {
        let (offset, length) = place(is_v4, true);
        let [family, is_family] = of_family(is_v4);
        vec![
            family,
            is_family,
            payload(NETWORK_HEADER, offset, length, REGISTER),
            hardware(REGISTER + length / 4),
            found(set, false),
        ]
    }

    /// Whether the address of its sender's link is in `set`.
    pub fn sender(set: &str, is_wanted: bool) -> Vec<Self> {
        vec![hardware(REGISTER), found(set, is_wanted)]
    }

    /// The link by which it comes is in `links`, and in `places` it is not together with the sender's address.
    pub fn comes_from_another(links: &str, places: &str) -> Vec<Self> {
        vec![
            meta(META_IIFNAME, REGISTER),
            found(links, true),
            hardware(REGISTER + NAME as u32 / 4),
            found(places, false),
        ]
    }

    /// Its sender's link, its destination, protocol and port are together in `set`.
    pub fn may_go(set: &str, is_v4: bool) -> Vec<Self> {
        let (offset, length) = place(is_v4, false);
        let [family, is_family] = of_family(is_v4);
        let protocol = REGISTER + 2 + length / 4;
        vec![
            family,
            is_family,
            hardware(REGISTER),
            payload(NETWORK_HEADER, offset, length, REGISTER + 2),
            meta(META_L4PROTO, protocol),
            payload(TRANSPORT_HEADER, 2, 2, protocol + 1),
            found(set, true),
        ]
    }

    /// By which neighbours of IPv6 find each other.
    pub fn seeks_neighbours() -> Vec<Self> {
        let [family, is_family] = of_family(false);
        let is_v6 = vec![family, is_family];
        // What passes through here is no neighbour's.
        let asked = of_neighbours(ROUTER_ASKED, NEIGHBOUR_TOLD);
        [is_v6, asked, goes_by(UNEQUAL, RTN_UNICAST)].concat()
    }

    /// The address of its receiver's link.
    pub fn is_to(hardware: [u8; 6]) -> Vec<Self> {
        let receiver = payload(LINK_HEADER, 0, 6, REGISTER);
        vec![receiver, compare(EQUAL, &hardware)]
    }

    /// Its receivers are all links, or many.
    pub fn is_to_a_group() -> Vec<Self> {
        vec![
            payload(LINK_HEADER, 0, 1, REGISTER),
            masked(&[1]),
            compare(EQUAL, &[1]),
        ]
    }

    /// ARP, and it says of the sender's address that it is at the sender's link.
    pub fn is_where_it_says(set: &str) -> Vec<Self> {
        let own = vec![
            payload(NETWORK_HEADER, ARP_SENDER_IP, 4, REGISTER),
            payload(NETWORK_HEADER, ARP_SENDER, 6, REGISTER + 1),
            found(set, true),
        ];
        let by_itself = speaks_for_itself(NETWORK_HEADER, ARP_SENDER_IP, 4, set);
        [carries(ETHERTYPE_ARP), own, by_itself].concat()
    }

    /// It asks for a neighbour of IPv6, from an address of its own.
    pub fn asks_by_itself(set: &str) -> Vec<Self> {
        let (offset, length) = place(false, true);
        let asks = of_neighbours(NEIGHBOUR_ASKED, NEIGHBOUR_ASKED);
        let by_itself = speaks_for_itself(NETWORK_HEADER, offset, length, set);
        [carries(ETHERTYPE_V6), asks, by_itself].concat()
    }

    /// It says where an address of IPv6 is, and that is its own.
    pub fn tells_of_itself(set: &str) -> Vec<Self> {
        let tells = of_neighbours(NEIGHBOUR_TOLD, NEIGHBOUR_TOLD);
        let of_itself = speaks_for_itself(TRANSPORT_HEADER, NEIGHBOUR_TARGET, 16, set);
        [carries(ETHERTYPE_V6), tells, of_itself].concat()
    }

    /// ARP.
    pub fn tells_of_addresses() -> Vec<Self> {
        carries(ETHERTYPE_ARP)
    }

    /// The same of IPv6: of routers, of neighbours, and of better ways.
    pub fn tells_of_neighbours() -> Vec<Self> {
        let all = of_neighbours(ROUTER_ASKED, REDIRECTED);
        [carries(ETHERTYPE_V6), all].concat()
    }

    /// All that is left goes there.
    pub fn goto(chain: &str) -> Vec<Self> {
        let verdict = Attributes::default()
            .u32_be(VERDICT_CODE, GOTO as u32)
            .text(VERDICT_CHAIN, chain);
        vec![immediate(verdict)]
    }

    /// With an address of this host.
    pub fn masquerade() -> Vec<Self> {
        vec![expression("masq", Attributes::default())]
    }

    pub fn accept() -> Vec<Self> {
        verdict(1)
    }

    /// As `iptables` has its rules.
    pub fn accept_counted() -> Vec<Self> {
        [vec![counter()], verdict(1)].concat()
    }

    pub fn drop() -> Vec<Self> {
        [vec![counter()], verdict(0)].concat()
    }

    pub fn list(all: &[Self]) -> Attributes {
        let attributes = all.iter().map(|it| &it.0);
        attributes.fold(Attributes::default(), Attributes::then)
    }
}

fn counter() -> Expression {
    expression("counter", Attributes::default())
}

fn verdict(code: u32) -> Vec<Expression> {
    vec![immediate(Attributes::default().u32_be(VERDICT_CODE, code))]
}

fn immediate(verdict: Attributes) -> Expression {
    let data = Attributes::default()
        .u32_be(1, VERDICT)
        .nest(2, Attributes::default().nest(DATA_VERDICT, verdict));
    expression("immediate", data)
}

fn within(subnet: Subnet, is_source: bool) -> Vec<Expression> {
    let base = match subnet.base() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let (offset, length) = place(subnet.base().is_ipv4(), is_source);
    let ones = |at: u32| {
        let bits = u32::from(subnet.prefix()).saturating_sub(at * 8).min(8);
        !0xff_u8.checked_shr(bits).unwrap_or(0)
    };
    let mask: Vec<u8> = (0..length).map(ones).collect();
    let [family, is_family] = of_family(subnet.base().is_ipv4());
    vec![
        family,
        is_family,
        payload(NETWORK_HEADER, offset, length, REGISTER),
        masked(&mask),
        compare(EQUAL, &base),
    ]
}
