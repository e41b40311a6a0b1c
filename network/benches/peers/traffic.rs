//! How long packets are under way, and how many go at once.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use super::place::Place;

const PACKETS: usize = 1000;
const ROUNDS: usize = 5;
const LASTS: Duration = Duration::from_millis(1500);
const PORT: u16 = 7001;
const AT_ONCE: usize = 128 * 1024;

/// From another host to a port of this one, which leads to a container, and back.
pub fn round_trips(outside: &Place, container: &Place, port: u16) -> Vec<Duration> {
    let bind = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
    let echo = container.within(bind);
    let asks = || {
        let socket = UdpSocket::bind("192.0.2.2:0").unwrap();
        socket.connect(("192.0.2.1", port)).unwrap();
        socket
    };
    let asks = outside.within(asks);
    let waits = Duration::from_secs(10);
    for socket in [&asks, &echo] {
        socket.set_read_timeout(Some(waits)).unwrap();
    }
    let mut buffer = [0; 16];
    let mut taken = Vec::new();
    for _ in 0..PACKETS {
        let begun = Instant::now();
        asks.send(b"?").unwrap();
        // One thread does both: no other one is to be woken for it.
        let (_, from) = echo.recv_from(&mut buffer).unwrap();
        echo.send_to(b"!", from).unwrap();
        asks.recv(&mut buffer).unwrap();
        taken.push(begun.elapsed());
    }
    taken
}

/// In turn, so that what the machine does meanwhile falls on both.
pub fn compare(one: (&str, &Place, &str), other: (&str, &Place, &str)) {
    for (what, from_host) in [("host to container", true), ("container to host", false)] {
        let mut all = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for ((_, place, ip), rates) in [one, other].into_iter().zip(&mut all) {
                rates.push(match from_host {
                    true => throughput(Some(place), ip, None),
                    false => throughput(None, "192.0.2.1", Some(place)),
                });
            }
        }
        let [ours, theirs] = all.map(middle);
        println!(
            "{what}: {} {ours:.1} Gbit/s, {} {theirs:.1} Gbit/s, {:.2}x",
            one.0,
            other.0,
            ours / theirs
        );
    }
}

fn middle(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn at<T: Send>(place: Option<&Place>, work: impl FnOnce() -> T + Send) -> T {
    match place {
        Some(place) => place.within(work),
        None => work(),
    }
}

/// Gigabits a second by one connection; `None` is this host.
fn throughput(server: Option<&Place>, ip: &str, client: Option<&Place>) -> f64 {
    let address = SocketAddr::new(ip.parse().unwrap(), PORT);
    let listen = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
    let listener = at(server, listen);
    let mut sends = at(client, || TcpStream::connect(address).unwrap());
    let (mut gets, _) = listener.accept().unwrap();
    let counted = thread::spawn(move || {
        let mut buffer = vec![0; AT_ONCE];
        let (begun, mut all) = (Instant::now(), 0);
        loop {
            match gets.read(&mut buffer).unwrap() {
                0 => return all as f64 * 8.0 / begun.elapsed().as_secs_f64() / 1e9,
                some => all += some,
            }
        }
    });
    let bytes = vec![0; AT_ONCE];
    let begun = Instant::now();
    while begun.elapsed() < LASTS {
        sends.write_all(&bytes).unwrap();
    }
    drop(sends);
    counted.join().unwrap()
}
