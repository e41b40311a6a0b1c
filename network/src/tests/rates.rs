//! How fast a container may be, and how large its packets.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::node;
use super::world::{Place, apart, container, settings};
use crate::netlink::{Protocol as Family, Socket};
use crate::{Namespace, Node, Rates, Settings, Wants, route};

/// How long it takes until so many bytes are at the other end.
fn taken(from: &mut TcpStream, to: &mut TcpStream, bytes: usize) -> Duration {
    let begun = Instant::now();
    let sends = || from.write_all(&vec![7; bytes]).expect("is sent");
    let mut got = vec![0; bytes];
    thread::scope(|scope| {
        scope.spawn(sends);
        to.read_exact(&mut got).expect("arrives");
    });
    begun.elapsed()
}

#[test]
fn root_a_container_is_held_to_what_it_may_get_and_send() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let node = node(&directory);
        let lease = node.reserve("slow", &Wants::default()).expect("a lease");
        let mut place = Place::new();
        let rates = Rates {
            receives: Some(1_000_000),
            sends: Some(2_000_000),
        };
        let inside = Namespace {
            rates,
            ..place.inside()
        };
        node.attach(&lease, inside).expect("is connected");
        let told = || {
            let mut socket = Socket::open(Family::Route).expect("a socket");
            let limits = route::limits(&mut socket).expect("limits");
            limits.into_iter().map(|(_, rate)| rate).collect::<Vec<_>>()
        };
        assert_eq!(told(), [1_000_000]);
        assert_eq!(place.within(told), [2_000_000]);
        let listener = place.within(|| TcpListener::bind("0.0.0.0:80").expect("listens"));
        let mut ours = TcpStream::connect("10.90.0.2:80").expect("connects");
        let (mut theirs, _) = listener.accept().expect("somebody");
        // Less than it must take: some go at once. However slow the machine is, it is never too fast.
        let gets = taken(&mut ours, &mut theirs, 1_500_000);
        assert!(gets > Duration::from_millis(1_200), "{gets:?}");
        let sends = taken(&mut theirs, &mut ours, 2_500_000);
        assert!(sends > Duration::from_millis(1_000), "{sends:?}");
    });
}

#[test]
fn root_a_container_knows_its_gateway_and_sends_what_passes_by_the_way_out() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let _outside = Place::neighbour_by(1380, "cable", "192.0.2.1", "192.0.2.2");
        let mut socket = Socket::open(Family::Route).expect("a socket");
        let cable = route::link(&mut socket, "cable").expect("looks");
        let out = "192.0.2.2".parse().expect("an address");
        let way = route::default_way(out, cable.expect("a link").index);
        route::tell(&mut socket, &[way]).expect("a way");
        let node = node(&directory);
        let (web, _) = container(&node, "web", &[]);
        web.within(|| {
            let mut socket = Socket::open(Family::Route).expect("a socket");
            let link = route::link(&mut socket, "eth0").expect("looks");
            assert_eq!(link.expect("a link").mtu, 1380);
            let known = route::known(&mut socket).expect("neighbours");
            let gateway = "[0a, 58, 0a, 5a, 00, 01]";
            for ip in ["10.90.0.1", "fd00:90::1"] {
                assert!(known.contains(&format!("{ip} {gateway}")), "{known:?}");
            }
        });
    });
}

fn mtu_of(link: &str) -> u32 {
    let mut socket = Socket::open(Family::Route).expect("a socket");
    let link = route::link(&mut socket, link).expect("looks");
    link.expect("a link").mtu
}

#[test]
fn root_the_bridge_has_the_mtu_that_it_is_to_have_also_when_it_was_there() {
    apart(|| {
        // The first makes the bridge, and that has no port any more when the next agent comes.
        for (mtu, wanted) in [(Some(1400), 1400), (Some(1300), 1300), (None, 1500)] {
            let directory = tempfile::tempdir().expect("a directory");
            let settings = Settings { mtu, ..settings() };
            let node = Node::recover(settings, directory.path()).expect("a node");
            let (web, _) = container(&node, "web", &[]);
            assert_eq!(mtu_of("longshore0"), wanted);
            assert_eq!(web.within(|| mtu_of("eth0")), wanted);
            node.release("web").expect("releases");
            drop(web);
        }
    });
}

#[test]
fn root_a_host_that_heard_of_its_router_goes_on_to_when_it_passes_packets_on() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let _outside = Place::neighbour("cable", "192.0.2.1", "192.0.2.2");
        let _deaf = Place::neighbour("deaf", "198.51.100.1", "198.51.100.2");
        let switch = |link: &str| format!("/proc/sys/net/ipv6/conf/{link}/accept_ra");
        std::fs::write(switch("deaf"), "0").expect("is set");
        let node = node(&directory);
        let (_web, _) = container(&node, "web", &[]);
        let heard = |link: &str| std::fs::read_to_string(switch(link)).expect("is read");
        assert_eq!([heard("cable"), heard("deaf")], ["2\n", "0\n"]);
        assert_eq!(heard("longshore0"), "0\n");
    });
}
