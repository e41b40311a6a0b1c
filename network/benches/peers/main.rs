//! What a network costs here and with others, in one run: Docker's bridge, and the plugins of CNI. All of it is in
//! a network of its own, so that nothing of this machine's is changed, Docker's daemon included.
//!
//! What is not installed is left out, and that is said. `tests/bench network` runs it with all that it needs.

#![expect(clippy::print_stdout, reason = "a bench is there to be read")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

mod cni;
mod docker;
// The tests in it are those of its own crate.
#[expect(unused_imports, reason = "its tests are run where it is")]
#[path = "../../../tests/src/percentiles.rs"]
mod percentiles;
mod place;
mod traffic;
mod whole;

use std::time::{Duration, Instant};

use network::{Node, Port, Protocol, Settings, Wants};
use nix::sched::{CloneFlags, unshare};
use percentiles::Percentiles;
use place::Place;

const ROUNDS: usize = 200;
const TURNS: usize = 10;
const CROWD: u16 = 2000;
/// The port of the host that leads to the container whose packets are timed.
const ECHO: u16 = 7000;

fn main() {
    // `cargo test --benches` only wants to know that it is there.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    place::ip(&["link", "set", "lo", "up"]);
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        bridge: "bench0".to_owned(),
        v4: "10.90.0.0/16".parse().unwrap(),
        v6: None,
        mtu: None,
        allows_metadata: false,
    };
    let node = Node::recover(settings, &directory.path().join("leases")).unwrap();
    let outside = Place::outside();
    let ours = container(&node, "ours", &[ECHO]).0;
    // In turn, so that what the machine does meanwhile falls on both.
    let (mut alone, mut crowded) = (Launches::default(), Launches::default());
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let many: Vec<_> = (0..CROWD).map(|at| 10_000 + at).collect();
    for _ in 0..TURNS {
        alone.go_on(&node);
        before.extend(traffic::round_trips(&outside, &ours, ECHO));
        let crowd = container(&node, "crowd", &many);
        crowded.go_on(&node);
        after.extend(traffic::round_trips(&outside, &ours, ECHO));
        node.release("crowd").unwrap();
        drop(crowd);
    }
    let alone = alone.told("with nothing else");
    let crowded = crowded.told("with 2000 mapped ports");
    let (before, after) = (Percentiles::of(before), Percentiles::of(after));
    println!("a packet to a mapped port and back: {before:.3}");
    println!("a packet to a mapped port and back, with 2000 of them: {after:.3}");
    println!(
        "2000 mapped ports: attach {}, packets {}",
        ratio(crowded, alone),
        ratio(after, before)
    );
    if let Some(theirs) = cni::networks(directory.path(), ROUNDS / 4) {
        println!("CNI's bridge, host-local and portmap, ADD: {theirs:.2}");
        println!("ours to CNI's: {}", ratio(alone, theirs));
    }
    let whole = whole::compare(&node, directory.path(), ROUNDS / 4);
    let Some(docker) = docker::Docker::start(directory.path()) else {
        println!("dockerd is not installed, or does not start: it is left out");
        return;
    };
    let rounds = ROUNDS / 10;
    let (with, without) = (docker.runs(true, rounds), docker.runs(false, rounds));
    println!("docker run with its bridge and a port: {with:.1}");
    println!("docker run without a network: {without:.1}");
    match whole {
        Some(whole) => println!("our whole launch to docker run: {}", ratio(whole, with)),
        None => println!("our whole launch to docker run: left out, see above"),
    }
    let theirs = docker.container();
    traffic::compare(
        ("ours", &ours, "10.90.0.2"),
        ("docker", &theirs.place, &theirs.ip),
    );
}

fn ratio(one: Percentiles, other: Percentiles) -> String {
    format!(
        "p50 {:.2}x, p99 {:.2}x",
        one.p50 / other.p50,
        one.p99 / other.p99
    )
}

/// One container after the other, each with one port.
#[derive(Default)]
struct Launches {
    attached: Vec<Duration>,
    released: Vec<Duration>,
}

impl Launches {
    fn go_on(&mut self, node: &Node) {
        for at in 0..ROUNDS / TURNS {
            let name = format!("c{at}");
            let (_place, took) = container(node, &name, &[2]);
            self.attached.push(took);
            let begun = Instant::now();
            node.release(&name).unwrap();
            self.released.push(begun.elapsed());
        }
    }

    fn told(self, what: &str) -> Percentiles {
        let attached = Percentiles::of(self.attached);
        let released = Percentiles::of(self.released);
        println!("a network, {what}: attach {attached:.2}; release {released:.2}");
        attached
    }
}

fn container(node: &Node, name: &str, ports: &[u16]) -> (Place, Duration) {
    // As it comes from those that are made ahead.
    let mut place = Place::new();
    let begun = Instant::now();
    attached(node, name, ports, &mut place);
    (place, begun.elapsed())
}

fn attached(node: &Node, name: &str, ports: &[u16], place: &mut Place) {
    let port = |host: &u16| Port {
        protocol: Protocol::Udp,
        host: *host,
        container: *host,
    };
    let wants = Wants {
        ports: ports.iter().map(port).collect(),
        egress: None,
    };
    let lease = node.reserve(name, &wants).unwrap();
    node.attach(&lease, place.inside()).unwrap();
}
