//! A node, its containers and its neighbours, each in a network of its own: nothing of the machine's network
//! is seen or changed.

mod egress;
mod filters;
mod rates;
mod whereabouts;
mod world;

use std::collections::BTreeSet;

use world::{LONG, Place, SHORT, apart, asked, container, is_silent, settings};

use crate::netlink::{Protocol as Family, Socket};
use crate::nftables::{self, TableName};
use crate::ruleset::sets;
use crate::{AttachError, Node, Port, Protocol, Settings, Wants, Watch, route};

fn node(directory: &tempfile::TempDir) -> Node {
    Node::recover(settings(), directory.path()).expect("a node")
}

fn answers(name: &str, from: &str) -> [Option<String>; 2] {
    [
        Some(format!("{name} {from}")),
        Some(format!("{name} {from}")),
    ]
}

fn links() -> BTreeSet<String> {
    let mut socket = Socket::open(Family::Route).expect("a socket");
    let links = route::links(&mut socket).expect("links");
    links.into_iter().map(|link| link.name).collect()
}

#[test]
fn root_a_port_of_the_host_is_reached_from_everywhere_and_nothing_else_is() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let outside = Place::neighbour("cable", "192.0.2.1", "192.0.2.2");
        let beyond = Place::neighbour("other", "198.51.100.1", "198.51.100.2");
        let node = node(&directory);
        let (web, _) = container(&node, "web", &[31000]);
        let (other, _) = container(&node, "other", &[]);
        web.serve("web", 80);
        web.serve("unmapped", 81);
        outside.serve("outside", 80);
        beyond.serve("beyond", 31000);

        // From this host.
        assert_eq!(asked("127.0.0.1:31000"), answers("web", "10.90.0.1"));
        assert_eq!(asked("192.0.2.1:31000"), answers("web", "192.0.2.1"));
        assert_eq!(asked("10.90.0.2:81"), answers("unmapped", "10.90.0.1"));
        // From its network: who asks is not hidden.
        let outsiders = || asked("192.0.2.1:31000");
        assert_eq!(outside.within(outsiders), answers("web", "192.0.2.2"));
        assert!(outside.within(|| is_silent("10.90.0.2:81") && is_silent("10.90.0.2:80")));
        // From another container, and from itself.
        for (place, ip) in [(&other, "10.90.0.3"), (&web, "10.90.0.2")] {
            assert_eq!(
                place.within(|| asked("192.0.2.1:31000")),
                answers("web", "10.90.0.1")
            );
            assert_eq!(
                place.within(|| asked("10.90.0.1:31000")),
                answers("web", "10.90.0.1")
            );
            assert_eq!(place.within(|| asked("10.90.0.2:80")), answers("web", ip));
        }
        // A port of another host stays that host's, also when its packets pass here.
        let passing = || asked("198.51.100.2:31000");
        assert_eq!(outside.within(passing), answers("beyond", "192.0.2.2"));
        // What leaves has the host's address.
        assert_eq!(
            web.within(|| asked("192.0.2.2:80")),
            answers("outside", "192.0.2.1")
        );
        node.release("web").expect("releases");
        assert!(outside.within(|| is_silent("192.0.2.1:31000")));
    });
}

#[test]
fn root_who_goes_on_talking_by_udp_talks_to_the_container_that_is_there() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let outside = Place::neighbour("cable", "192.0.2.1", "192.0.2.2");
        let node = node(&directory);
        let (_other, _) = container(&node, "other", &[]);
        let bind = || std::net::UdpSocket::bind("192.0.2.2:5000").expect("binds");
        // It stays there, whoever talks by it.
        let socket = outside.within(bind);
        let hears = |patience| world::hears(&socket, "192.0.2.1:31000", patience);
        assert_eq!(hears(SHORT), None);
        for name in ["first", "second"] {
            let (place, lease) = container(&node, name, &[31000]);
            node.forget_talks(&lease.ports);
            place.serve(name, 80);
            assert_eq!(hears(LONG), Some(format!("{name} 192.0.2.2")));
            node.release(name).expect("releases");
            node.forget_talks(&lease.ports);
            assert_eq!(hears(SHORT), None);
        }
    });
}

#[test]
fn root_ipv6_is_led_as_well() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let outside = Place::neighbour("cable", "fd00:91::1", "fd00:91::2");
        let beyond = Place::neighbour("other", "fd00:92::1", "fd00:92::2");
        let node = node(&directory);
        let (web, lease) = container(&node, "web", &[31000]);
        let (other, _) = container(&node, "other", &[]);
        web.serve("web", 80);
        outside.serve("outside", 80);
        beyond.serve("beyond", 31000);
        assert_eq!(lease.addresses[1].to_string(), "fd00:90::2");
        // From this host, from its network, from another container and from itself.
        assert_eq!(asked("[fd00:90::1]:31000"), answers("web", "fd00:90::1"));
        assert_eq!(asked("[fd00:91::1]:31000"), answers("web", "fd00:91::1"));
        let outsiders = || asked("[fd00:91::1]:31000");
        assert_eq!(outside.within(outsiders), answers("web", "fd00:91::2"));
        assert!(outside.within(|| is_silent("[fd00:90::2]:80")));
        for (place, ip) in [(&other, "fd00:90::3"), (&web, "fd00:90::2")] {
            for host in ["[fd00:90::1]:31000", "[fd00:91::1]:31000"] {
                let led = place.within(|| asked(host));
                assert_eq!(led, answers("web", "fd00:90::1"), "{host}");
            }
            let direct = place.within(|| asked("[fd00:90::2]:80"));
            assert_eq!(direct, answers("web", ip));
        }
        // A port of another host stays that host's, and what leaves has this host's address.
        let passing = || asked("[fd00:92::2]:31000");
        assert_eq!(outside.within(passing), answers("beyond", "fd00:91::2"));
        let leaves = web.within(|| asked("[fd00:91::2]:80"));
        assert_eq!(leaves, answers("outside", "fd00:91::1"));
    });
}

#[test]
fn root_what_somebody_flushed_or_deleted_is_mended() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let outside = Place::neighbour("cable", "192.0.2.1", "192.0.2.2");
        let node = node(&directory);
        let (web, _) = container(&node, "web", &[31000]);
        web.serve("web", 80);
        let reached = || outside.within(|| asked("192.0.2.1:31000"));
        assert_eq!(reached(), answers("web", "192.0.2.2"));

        let table = TableName::of("longshore0");
        let mut filter = Socket::open(Family::Netfilter).expect("a socket");
        let flush = vec![nftables::delete(&table)];
        nftables::commit(&mut filter, &table, "delete", flush).expect("flushes");
        assert!(outside.within(|| is_silent("192.0.2.1:31000")));
        node.mend().expect("mends");
        assert_eq!(reached(), answers("web", "192.0.2.2"));

        let mut socket = Socket::open(Family::Route).expect("a socket");
        route::tell(&mut socket, &[route::delete("longshore0")]).expect("deletes");
        node.mend().expect("mends");
        assert_eq!(reached(), answers("web", "192.0.2.2"));
    });
}

#[test]
fn root_another_agent_takes_over_what_is_there_and_a_removal_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let before = links();
        let first = node(&directory);
        let (web, lease) = container(&first, "web", &[31000]);
        web.serve("web", 80);
        drop(first);
        let second = node(&directory);
        assert_eq!(second.lease("web"), Some(lease));
        second.mend().expect("mends");
        assert_eq!(asked("127.0.0.1:31000"), answers("web", "10.90.0.1"));
        let (_other, other) = container(&second, "other", &[31001]);
        assert_eq!(other.addresses[0].to_string(), "10.90.0.3");
        for container in ["web", "other", "web"] {
            second.release(container).expect("releases");
        }
        assert_eq!(second.containers(), Vec::<String>::new());
        second.remove().expect("removes");
        second.remove().expect("removes again");
        assert_eq!(links(), before);
        let mut filter = Socket::open(Family::Netfilter).expect("a socket");
        let table = TableName::of("longshore0");
        assert_eq!(nftables::seen(&mut filter, &table).expect("looks"), None);
    });
}

#[test]
fn root_thousands_of_ports_are_told_at_once_and_compared() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let first = node(&directory);
        let ports: Vec<u16> = (30000..32000).collect();
        let (web, _) = container(&first, "web", &ports);
        web.serve("web", 80);
        assert_eq!(asked("127.0.0.1:31999"), answers("web", "10.90.0.1"));
        let table = TableName::of("longshore0");
        let mut filter = Socket::open(Family::Netfilter).expect("a socket");
        let seen = |filter: &mut Socket| {
            let elements = nftables::Elements {
                table: &table,
                set: &sets::PORTS_V4,
            };
            elements.seen(filter).expect("elements").len()
        };
        assert_eq!(seen(&mut filter), 4000);
        let again = node(&directory);
        again.mend().expect("mends");
        assert_eq!(seen(&mut filter), 4000);
        again.release("web").expect("releases");
        assert_eq!(seen(&mut filter), 0);
    });
}

#[test]
fn root_what_cannot_be_is_said_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let tried = |settings: Settings| {
        let node = Node::recover(settings, directory.path()).expect("a node");
        let lease = node.reserve("c", &Wants::default()).expect("a lease");
        let mut place = Place::new();
        let error = node.attach(&lease, place.inside()).expect_err("refused");
        node.release("c").expect("releases");
        match error {
            AttachError::Host(error) => error.to_string(),
            other => panic!("{other}"),
        }
    };
    apart(|| {
        let _outside = Place::neighbour("cable", "192.0.2.1", "192.0.2.2");
        let overlapping = Settings {
            v4: "192.0.0.0/16".parse().expect("a subnet"),
            ..settings()
        };
        let error = tried(overlapping);
        assert!(
            error.contains("192.0.2.0/24, which this host reaches by link cable"),
            "{error}"
        );
        let foreign = Settings {
            bridge: "cable".to_owned(),
            ..settings()
        };
        let error = tried(foreign);
        assert!(
            error.contains("link cable is there and is a veth"),
            "{error}"
        );
        let first = node(&directory);
        let (_web, _) = container(&first, "web", &[]);
        let other = Settings {
            v4: "10.91.0.0/24".parse().expect("a subnet"),
            ..settings()
        };
        drop(first);
        let error = tried(other);
        assert!(
            error.contains("bridge longshore0 has the address 10.90.0.1/24"),
            "{error}"
        );
        assert!(!links().contains("lshore0a5b0003"));
    });
}

#[test]
fn root_a_flush_is_noticed_and_what_containers_do_is_none() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let node = node(&directory);
        let (_first, _) = container(&node, "first", &[31000]);
        let watch = Watch::open(&settings().bridge).expect("watches");
        let (_second, _) = container(&node, "second", &[31001]);
        node.release("second").expect("releases");
        assert!(!watch.has_seen_a_loss());
        let table = TableName::of("longshore0");
        let mut filter = Socket::open(Family::Netfilter).expect("a socket");
        let flush = vec![nftables::delete(&table)];
        nftables::commit(&mut filter, &table, "delete", flush).expect("flushes");
        assert!(watch.has_seen_a_loss());
        assert!(!watch.has_seen_a_loss());
        let mut socket = Socket::open(Family::Route).expect("a socket");
        route::tell(&mut socket, &[route::delete("longshore0")]).expect("deletes");
        assert!(watch.has_seen_a_loss());
        assert!(!watch.has_seen_a_loss());
    });
}

#[test]
fn root_a_port_that_somebody_listens_on_is_in_use() {
    apart(|| {
        let port = |protocol| Port {
            protocol,
            host: 31000,
            container: 80,
        };
        let (tcp, udp) = (port(Protocol::Tcp), port(Protocol::Udp));
        let in_use = |port: &Port| port.is_in_use().expect("can be told");
        assert!(!in_use(&tcp) && !in_use(&udp));
        let listener = std::net::TcpListener::bind("127.0.0.1:31000").expect("listens");
        assert!(in_use(&tcp) && !in_use(&udp));
        drop(listener);
        let _socket = std::net::UdpSocket::bind("[::1]:31000").expect("binds");
        assert!(!in_use(&tcp) && in_use(&udp));
    });
}

#[test]
fn ports_and_addresses_belong_to_one_container() {
    let directory = tempfile::tempdir().expect("a directory");
    let small = Settings {
        v4: "10.90.0.0/30".parse().expect("a subnet"),
        ..settings()
    };
    let node = Node::recover(small, directory.path()).expect("a node");
    let port = |protocol, host| Port {
        protocol,
        host,
        container: 80,
    };
    let tcp = port(Protocol::Tcp, 31000);
    let wants = |ports: &[Port]| Wants {
        ports: ports.to_vec(),
        ..Wants::default()
    };
    let twice = node.reserve("a", &wants(&[tcp, tcp]));
    let twice = twice.expect_err("refused");
    assert_eq!(twice.to_string(), "port 31000/tcp is asked for twice");
    node.reserve("a", &wants(&[tcp])).expect("a lease");
    let taken = node.reserve("b", &wants(&[tcp])).expect_err("refused");
    let taken = taken.to_string();
    assert_eq!(taken, "port 31000/tcp of this host is that of container a");
    let exhausted = node
        .reserve("b", &wants(&[port(Protocol::Udp, 31000)]))
        .expect_err("refused");
    let exhausted = exhausted.to_string();
    assert!(
        exhausted.starts_with("all 1 addresses of 10.90.0.0/30"),
        "{exhausted}"
    );
    assert_eq!(node.containers(), ["a"]);
    assert!(!node.place("b").exists());
}

#[test]
fn a_node_without_containers_is_left_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = node(&directory);
    node.mend().expect("there is nothing to mend");
    node.release("never").expect("there is nothing to release");
}
