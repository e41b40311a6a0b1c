//! What a rule consists of: small steps over registers.

use std::net::IpAddr;

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
const RTN_LOCAL: u32 = 2;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const NAT_DNAT: u32 = 1;
const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;
const NAME: usize = 16;

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

fn of_family(ip: IpAddr) -> [Expression; 2] {
    let family = if ip.is_ipv4() { 2 } else { 10 };
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
        within(subnet, true, EQUAL)
    }

    pub fn source_beyond(subnet: Subnet) -> Vec<Self> {
        within(subnet, true, UNEQUAL)
    }

    pub fn destination_in(subnet: Subnet) -> Vec<Self> {
        within(subnet, false, EQUAL)
    }

    /// The destination is this host.
    pub fn is_for_this_host() -> Vec<Self> {
        let data = Attributes::default()
            .u32_be(1, REGISTER)
            .u32_be(2, FIB_RESULT_ADDRTYPE)
            .u32_be(3, FIB_F_DADDR);
        let local = compare(EQUAL, &RTN_LOCAL.to_ne_bytes());
        vec![expression("fib", data), local]
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
    let code = Attributes::default().u32_be(VERDICT_CODE, code);
    let data = Attributes::default()
        .u32_be(1, VERDICT)
        .nest(2, Attributes::default().nest(DATA_VERDICT, code));
    vec![expression("immediate", data)]
}

fn within(subnet: Subnet, is_source: bool, how: u32) -> Vec<Expression> {
    let (base, length, offset) = match subnet.base() {
        IpAddr::V4(ip) => (ip.octets().to_vec(), 4, if is_source { 12 } else { 16 }),
        IpAddr::V6(ip) => (ip.octets().to_vec(), 16, if is_source { 8 } else { 24 }),
    };
    let ones = |at: u32| {
        let bits = u32::from(subnet.prefix()).saturating_sub(at * 8).min(8);
        !0xff_u8.checked_shr(bits).unwrap_or(0)
    };
    let mask: Vec<u8> = (0..length).map(ones).collect();
    let [family, is_family] = of_family(subnet.base());
    vec![
        family,
        is_family,
        payload(NETWORK_HEADER, offset, length, REGISTER),
        masked(&mask),
        compare(how, &base),
    ]
}
