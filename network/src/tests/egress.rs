//! What containers may not say is not heard, and is counted for who has said it.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::world::{
    LONG, Place, SHORT, apart, asked, connected, container, hears, is_silent,
    set_bridges_call_the_filter, settings, speak_as,
};
use super::{answers, node};
use crate::netlink::{Protocol as Family, Socket};
use crate::{Node, Settings, Wants, route};

fn held(node: &Node, id: &str, policy: &str) -> (Place, crate::Lease) {
    let wants = Wants {
        egress: Some(policy.parse().expect("a policy")),
        ..Wants::default()
    };
    connected(node, id, &wants)
}

pub fn denied(node: &Node, id: &str) -> u64 {
    node.denied().expect("counters")[id]
}

/// What is counted a moment after it was sent.
pub fn is_denied(node: &Node, id: &str, at_least: u64) {
    let deadline = Instant::now() + LONG;
    while denied(node, id) < at_least {
        assert!(Instant::now() < deadline, "{}", denied(node, id));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether `address` is reached from there by tcp, and by udp.
fn reaches(place: &Place, address: &str, wanted: [bool; 2]) {
    let patience = wanted.map(|it| if it { LONG } else { SHORT });
    let heard = place.within(|| super::world::said(address, patience));
    assert_eq!(heard.map(|it| it.is_some()), wanted, "{address}");
}

#[test]
fn root_a_container_that_is_held_to_a_policy_talks_to_whom_that_tells_and_to_nobody_else() {
    for bridges_call_the_filter in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        apart(|| {
            set_bridges_call_the_filter(bridges_call_the_filter);
            a_policy_is_kept(&directory);
        });
    }
}

fn a_policy_is_kept(directory: &tempfile::TempDir) {
    let outside = Place::neighbour("cable", "192.0.2.1", "192.0.2.2");
    let node = node(directory);
    let (web, _) = container(&node, "web", &[31000]);
    let (free, _) = container(&node, "free", &[]);
    let policy = "192.0.2.2:80/tcp, 192.0.2.0/30:80-81/tcp [fd00:90::2]:80/udp";
    let (bound, _) = held(&node, "bound", policy);
    for port in [80, 81, 82] {
        outside.serve("outside", port);
    }
    web.serve("web", 80);
    bound.serve("bound", 80);
    assert_eq!(denied(&node, "bound"), 0);
    reaches(&bound, "192.0.2.2:80", [true, false]);
    reaches(&bound, "192.0.2.2:81", [true, false]);
    reaches(&bound, "192.0.2.2:82", [false, false]);
    is_denied(&node, "bound", 4);
    let so_far = denied(&node, "bound");
    // Another container on the bridge, the host, and what leads from there to a container.
    for address in ["10.90.0.2:80", "10.90.0.1:31000", "192.0.2.1:31000"] {
        assert!(bound.within(|| is_silent(address)), "{address}");
    }
    reaches(&bound, "[fd00:90::2]:80", [false, true]);
    assert!(bound.within(|| is_silent("[fd00:90::1]:31000")));
    is_denied(&node, "bound", so_far + 8);
    // What it answers is heard.
    assert_eq!(
        free.within(|| asked("10.90.0.4:80")),
        answers("bound", "10.90.0.3")
    );
    assert_eq!(asked("10.90.0.4:80"), answers("bound", "10.90.0.1"));
    assert_eq!(asked("[fd00:90::4]:80"), answers("bound", "fd00:90::1"));
    // Others are as free as before.
    assert_eq!(
        free.within(|| asked("192.0.2.2:82")),
        answers("outside", "192.0.2.1")
    );
    assert_eq!(
        free.within(|| asked("10.90.0.1:31000")),
        answers("web", "10.90.0.1")
    );
    assert_eq!(denied(&node, "free"), 0);
    // With the others for neighbours, to whom it need not go by the host.
    let so_far = denied(&node, "bound");
    for (place, ip) in [(&free, "10.90.0.3"), (&bound, "10.90.0.4")] {
        place.is_in_one_net_with_others(ip);
    }
    assert_eq!(
        free.within(|| asked("10.90.0.2:80")),
        answers("web", "10.90.0.3")
    );
    assert!(bound.within(|| is_silent("10.90.0.2:80")));
    is_denied(&node, "bound", so_far + 1);
    node.release("bound").expect("releases");
    assert_eq!(node.denied().expect("counters").len(), 2);
}

#[test]
fn root_a_policy_outlasts_the_agent_and_a_flush() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let outside = Place::neighbour("cable", "192.0.2.1", "192.0.2.2");
        outside.serve("outside", 80);
        let first = node(&directory);
        let (bound, lease) = held(&first, "bound", "192.0.2.0/24:81/tcp");
        drop(first);
        crate::flush("longshore0").expect("flushes");
        let second = node(&directory);
        assert_eq!(second.lease("bound"), Some(lease));
        second.mend().expect("mends");
        second.mend().expect("has nothing to mend");
        assert!(bound.within(|| is_silent("192.0.2.2:80")));
        is_denied(&second, "bound", 1);
        let mut socket = Socket::open(Family::Route).expect("a socket");
        route::tell(&mut socket, &[route::delete("longshore0")]).expect("deletes");
        second.mend().expect("mends");
        let before = denied(&second, "bound");
        assert!(bound.within(|| is_silent("192.0.2.2:80")));
        is_denied(&second, "bound", before + 1);
    });
}

#[test]
fn root_nobody_speaks_in_anothers_name() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let outside = Place::neighbour("cable", "192.0.2.1", "192.0.2.2");
        let node = node(&directory);
        let (_free, free) = container(&node, "free", &[]);
        let (bound, _) = held(&node, "bound", "");
        let hears = |address: &str| {
            let bind = || UdpSocket::bind(address).expect("binds");
            let socket = outside.within(bind);
            socket.set_read_timeout(Some(SHORT)).expect("a patience");
            socket
        };
        let listener = hears("192.0.2.2:5000");
        let arrives = || listener.recv_from(&mut [0; 16]).is_ok();
        // With the address of the free one, then of nobody on the bridge, and with the free one's link's, too.
        for (at, ip) in ["10.90.0.2", "203.0.113.7"].into_iter().enumerate() {
            speak_as(&bound, ip, None, "192.0.2.2:5000");
            assert!(!arrives(), "{ip}");
            is_denied(&node, "bound", at as u64 + 1);
        }
        speak_as(&bound, "10.90.0.2", Some(free.hardware()), "192.0.2.2:5000");
        assert!(!arrives());
        assert_eq!(denied(&node, "free"), 0);
    });
}

#[test]
fn root_the_address_of_a_clouds_secrets_is_closed_but_where_an_operator_opens_it() {
    let directory = tempfile::tempdir().expect("a directory");
    for allows_metadata in [false, true] {
        apart(|| {
            let cloud = Place::neighbour("cable", "169.254.169.1", "169.254.169.254");
            cloud.serve("secret", 80);
            let cloud = Place::neighbour("cable6", "fd00:ec2::1", "fd00:ec2::254");
            cloud.serve("secret", 80);
            let settings = Settings {
                allows_metadata,
                ..settings()
            };
            let directory = directory.path().join(allows_metadata.to_string());
            let node = Node::recover(settings, &directory).expect("a node");
            let (free, _) = container(&node, "free", &[]);
            let (bound, _) = held(&node, "bound", "0.0.0.0/0, [::/0]");
            for (place, id) in [(&free, "free"), (&bound, "bound")] {
                for address in ["169.254.169.254:80", "[fd00:ec2::254]:80"] {
                    reaches(place, address, [allows_metadata; 2]);
                }
                match allows_metadata {
                    true => assert_eq!(denied(&node, id), 0),
                    false => is_denied(&node, id, 4),
                }
            }
        });
    }
}

#[test]
fn root_who_is_held_goes_on_to_answer_who_has_asked() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let outside = Place::neighbour("cable", "192.0.2.1", "192.0.2.2");
        let node = node(&directory);
        let ports = vec![crate::Port {
            protocol: crate::Protocol::Udp,
            host: 31000,
            container: 80,
        }];
        let wants = Wants {
            ports,
            egress: Some("".parse().expect("a policy")),
        };
        let (bound, _) = connected(&node, "bound", &wants);
        bound.serve("bound", 80);
        let bind = || UdpSocket::bind("192.0.2.2:5000").expect("binds");
        let socket = outside.within(bind);
        let asks = || hears(&socket, "192.0.2.1:31000", SHORT);
        for _ in 0..3 {
            // A link of which the kernel has not heard yet that it is up loses what is sent by it.
            let deadline = Instant::now() + LONG;
            let mut heard = asks();
            while heard.is_none() && Instant::now() < deadline {
                heard = asks();
            }
            assert_eq!(heard.as_deref(), Some("bound 192.0.2.2"));
        }
        assert_eq!(denied(&node, "bound"), 0);
    });
}
