//! A container says where it is, and nobody else.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::egress::{denied, is_denied};
use super::world::{Wire, apart, asked, container};
use super::{answers, node};
use crate::netlink::{Protocol as Family, Socket};
use crate::route;
use crate::ruleset::Hardware;

const ARP: u16 = 0x0806;
const V6: u16 = 0x86dd;
const HOST: Hardware = [0x0a, 0x58, 10, 90, 0, 1];
const VICTIM: Hardware = [0x0a, 0x58, 10, 90, 0, 2];
const EVIL: Hardware = [0x0a, 0x58, 10, 90, 0, 3];

fn frame(to: Hardware, kind: u16, body: &[u8]) -> Vec<u8> {
    [&to[..], &EVIL, &kind.to_be_bytes(), body].concat()
}

/// Tells one container or the host that an address is somewhere.
fn arp(told: (Hardware, &str), ip: &str, is_at: Hardware) -> Vec<u8> {
    let octets = |ip: &str| ip.parse::<Ipv4Addr>().expect("an address").octets();
    let answer = [0, 1, 8, 0, 6, 4, 0, 2];
    let (to, their_ip) = told;
    let body = [&answer[..], &is_at, &octets(ip), &to, &octets(their_ip)].concat();
    frame(to, ARP, &body)
}

/// A message of ICMPv6 from one address to another, about a third. Its sum is none: who lets it through has not
/// looked at that.
fn about(kind: u8, from: &str, to: &str, target: &str) -> Vec<u8> {
    let octets = |ip: &str| ip.parse::<Ipv6Addr>().expect("an address").octets();
    let message = [
        &[kind, 0, 0, 0, 0x60, 0, 0, 0][..],
        &octets(target),
        &[2, 1],
        &EVIL,
    ]
    .concat();
    let length = message.len() as u8;
    let header = [
        &[0x60, 0, 0, 0, 0, length, 58, 255][..],
        &octets(from),
        &octets(to),
    ]
    .concat();
    frame(HOST, V6, &[header, message].concat())
}

#[test]
fn root_no_container_says_where_another_is_or_the_host_and_none_is_a_router() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let node = node(&directory);
        let (victim, lease) = container(&node, "victim", &[]);
        let (evil, of_evil) = container(&node, "evil", &[]);
        assert_eq!((lease.hardware(), of_evil.hardware()), (VICTIM, EVIL));
        victim.serve("victim", 80);
        let reached = || {
            assert_eq!(asked("10.90.0.2:80"), answers("victim", "10.90.0.1"));
            assert_eq!(asked("[fd00:90::2]:80"), answers("victim", "fd00:90::1"));
        };
        reached();
        let wire = Wire::of(&evil, "10.90.0.3");
        let (own, theirs, host) = ("fd00:90::3", "fd00:90::2", "fd00:90::1");
        wire.says(&arp((HOST, "10.90.0.1"), "10.90.0.3", EVIL));
        wire.says(&about(136, own, host, own));
        let lies = [
            arp((HOST, "10.90.0.1"), "10.90.0.2", EVIL),
            arp((HOST, "10.90.0.1"), "10.90.0.2", VICTIM),
            arp((HOST, "10.90.0.1"), "10.90.0.3", VICTIM),
            arp((HOST, "10.90.0.1"), "10.90.0.77", EVIL),
            arp((VICTIM, "10.90.0.2"), "10.90.0.1", EVIL),
            about(136, own, host, theirs),
            about(136, theirs, host, theirs),
            about(135, theirs, host, host),
            about(133, "fe80::1", "ff02::2", own),
            about(134, "fe80::1", "ff02::1", own),
            about(137, own, theirs, host),
        ];
        assert_eq!(denied(&node, "evil"), 0);
        for (number, lie) in (1..).zip(&lies) {
            wire.says(lie);
            is_denied(&node, "evil", number);
        }
        assert_eq!(denied(&node, "evil"), lies.len() as u64);
        assert_eq!(denied(&node, "victim"), 0);
        let mut socket = Socket::open(Family::Route).expect("a socket");
        let known = route::known(&mut socket).expect("neighbours");
        let at_evil = format!("{EVIL:02x?}");
        let wrong = |it: &&String| it.ends_with(&at_evil) && !it.starts_with("10.90.0.3 ");
        assert_eq!(known.iter().find(wrong), None, "{known:?}");
        reached();
    });
}
