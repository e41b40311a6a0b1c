//! What a network adds to a launch: a lease, a link, an address, a port, and how that grows with the ports that
//! are mapped already. In a network of its own, so that nothing of this machine's is changed.

#![expect(clippy::print_stdout, reason = "a bench is there to be read")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use network::{Namespace, Node, Port, Protocol, Rates, Settings, Wants, route_socket};
use nix::sched::{CloneFlags, unshare};

const CONTAINERS: usize = 200;
const CROWD: u16 = 2000;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let count = match std::env::args().any(|word| word == "--bench") {
        true => CONTAINERS,
        false => 2,
    };
    let measured = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        measure(count);
    });
    measured.join().unwrap();
}

fn measure(count: usize) {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        bridge: "bench0".to_owned(),
        v4: "10.90.0.0/16".parse().unwrap(),
        v6: None,
        mtu: None,
        allows_metadata: false,
    };
    let node = Node::recover(settings, directory.path()).unwrap();
    let port = |host| Port {
        protocol: Protocol::Tcp,
        host,
        container: 80,
    };
    // The bridge itself.
    container(&node, "first", &[port(1)]);
    for (what, crowd) in [("on an empty node", 0), ("with 2000 mapped ports", CROWD)] {
        let many: Vec<_> = (0..crowd).map(|at| port(10_000 + at)).collect();
        if !many.is_empty() {
            container(&node, "crowd", &many);
        }
        let mut attached = Vec::new();
        let mut released = Vec::new();
        for at in 0..count {
            let name = format!("c{at}");
            let (place, took) = container(&node, &name, &[port(2)]);
            attached.push(took);
            let begun = Instant::now();
            node.release(&name).unwrap();
            released.push(begun.elapsed());
            drop(place);
        }
        let (attached, released) = (median(attached), median(released));
        println!("{what}: attach p50 {attached:?}, release p50 {released:?}");
    }
}

fn container(node: &Node, name: &str, ports: &[Port]) -> (OwnedFd, Duration) {
    // As it comes from those that are made ahead.
    let (namespace, route) = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let namespace: OwnedFd = File::open("/proc/thread-self/ns/net").unwrap().into();
        (namespace, route_socket().unwrap())
    })
    .join()
    .unwrap();
    let begun = Instant::now();
    let wants = Wants {
        ports: ports.to_vec(),
        ..Wants::default()
    };
    let lease = node.reserve(name, &wants).unwrap();
    let inside = Namespace {
        namespace: namespace.as_fd(),
        route,
        rates: Rates::default(),
    };
    node.attach(&lease, inside).unwrap();
    (namespace, begun.elapsed())
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all.get(all.len() / 2).copied().unwrap_or_default()
}
