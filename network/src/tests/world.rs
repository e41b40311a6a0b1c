//! Networks for tests: a host that is not ours, containers on it, and neighbours of it.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot make its world fails"
)]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};

use crate::netlink::{Attributes, Message, Protocol, Socket, flag};
use crate::nftables::{Expression, TableName};
use crate::route::{self, Address, Peer, Veth};
use crate::{Namespace, Node, Rates, Settings, Wants};

/// Long enough for the slowest machine, for what must come; for what must not, `SHORT`.
pub const LONG: Duration = Duration::from_secs(60);
pub const SHORT: Duration = Duration::from_millis(300);

/// A network namespace.
pub struct Place {
    namespace: OwnedFd,
    route: Option<OwnedFd>,
}

/// On a thread of its own, in a network of its own.
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let body = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network");
        let mut socket = Socket::open(Protocol::Route).expect("a socket");
        route::tell(&mut socket, &[route::up(1)]).expect("a loopback");
        work()
    };
    thread::scope(|scope| scope.spawn(body).join().expect("as it should be"))
}

impl Place {
    pub fn new() -> Self {
        apart(|| Self {
            namespace: File::open("/proc/thread-self/ns/net")
                .expect("a namespace")
                .into(),
            route: Some(crate::route_socket().expect("a socket")),
        })
    }

    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let body = || {
            setns(&self.namespace, CloneFlags::CLONE_NEWNET).expect("goes there");
            work()
        };
        thread::scope(|scope| scope.spawn(body).join().expect("as it should be"))
    }

    /// Once.
    pub fn inside(&mut self) -> Namespace<'_> {
        Namespace {
            route: self.route.take().expect("it is not connected yet"),
            namespace: self.namespace.as_fd(),
            rates: Rates::default(),
        }
    }

    /// One that is connected with this thread's network by a cable, `ours` at this end and `theirs` there.
    pub fn neighbour(cable: &str, ours: &str, theirs: &str) -> Self {
        Self::neighbour_by(1500, cable, ours, theirs)
    }

    pub fn neighbour_by(mtu: u32, cable: &str, ours: &str, theirs: &str) -> Self {
        let mut place = Self::new();
        let mut socket = Socket::open(Protocol::Route).expect("a socket");
        let veth = Veth {
            name: cable,
            master: None,
            mtu,
            peer: Peer {
                name: "eth0",
                address: [2, 0, 0, 0, 0, 9],
                namespace: place.namespace.as_fd(),
            },
        };
        route::tell(&mut socket, &[veth.create()]).expect("a cable");
        let mut there = Socket::of(place.route.take().expect("a socket"));
        for (socket, link, ip) in [(&mut socket, cable, ours), (&mut there, "eth0", theirs)] {
            let link = route::link(socket, link).expect("a link").expect("a link");
            let address = Address {
                index: link.index,
                ip: ip.parse().expect("an address"),
                prefix: if ip.contains(':') { 64 } else { 24 },
            };
            route::tell(socket, &[address.add(), route::up(link.index)]).expect("an address");
        }
        let link = route::link(&mut there, "eth0")
            .expect("a link")
            .expect("a link");
        let way = route::default_way(ours.parse().expect("an address"), link.index);
        route::tell(&mut there, &[way]).expect("a way");
        place
    }

    /// As a program may make it that can change the container's network.
    pub fn is_in_one_net_with_others(&self, ip: &str) {
        self.within(|| {
            let mut socket = Socket::open(Protocol::Route).expect("a socket");
            let link = route::link(&mut socket, "eth0").expect("looks");
            let address = Address {
                index: link.expect("a link").index,
                ip: ip.parse().expect("an address"),
                prefix: 24,
            };
            route::tell(&mut socket, &[address.add()]).expect("an address");
        });
    }

    /// Tells everyone who connects by tcp, or says something by udp, its own name and theirs.
    pub fn serve(&self, name: &'static str, port: u16) {
        self.within(|| {
            let all: IpAddr = "::".parse().expect("an address");
            let tcp = TcpListener::bind((all, port)).expect("listens");
            let udp = UdpSocket::bind((all, port)).expect("binds");
            let answer = move |from: SocketAddr| format!("{name} {}", from.ip().to_canonical());
            thread::spawn(move || {
                for stream in tcp.incoming().flatten() {
                    let mut stream = stream;
                    let from = stream.peer_addr().expect("a peer");
                    let _ = stream.write_all(answer(from).as_bytes());
                }
            });
            thread::spawn(move || {
                let mut buffer = [0; 16];
                while let Ok((_, from)) = udp.recv_from(&mut buffer) {
                    let _ = udp.send_to(answer(from).as_bytes(), from);
                }
            });
        });
    }
}

/// What is said at `address`, by tcp and by udp.
pub fn asked(address: &str) -> [Option<String>; 2] {
    said(address, [LONG; 2])
}

/// In that time each.
pub fn said(address: &str, [by_tcp, by_udp]: [Duration; 2]) -> [Option<String>; 2] {
    let address: SocketAddr = address.parse().expect("an address");
    [tcp(address, by_tcp), udp(address, by_udp)]
}

/// Whether nobody answers there.
pub fn is_silent(address: &str) -> bool {
    let address: SocketAddr = address.parse().expect("an address");
    tcp(address, SHORT).is_none() && udp(address, SHORT).is_none()
}

fn tcp(address: SocketAddr, patience: Duration) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// What is said to one who goes on talking from the same port.
pub fn hears(socket: &UdpSocket, address: &str, patience: Duration) -> Option<String> {
    socket.set_read_timeout(Some(patience)).expect("a patience");
    let mut buffer = [0; 64];
    // A socket keeps word that nobody was there for who uses it next.
    let _ = socket.take_error();
    socket.send_to(b"?", address).expect("is sent");
    let (length, _) = socket.recv_from(&mut buffer).ok()?;
    String::from_utf8(buffer[..length].to_vec()).ok()
}

fn udp(address: SocketAddr, patience: Duration) -> Option<String> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => "0.0.0.0".parse().ok()?,
        SocketAddr::V6(_) => "::".parse().ok()?,
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.set_read_timeout(Some(patience)).ok()?;
    socket.send_to(b"?", address).ok()?;
    let mut buffer = [0; 64];
    let (length, _) = socket.recv_from(&mut buffer).ok()?;
    String::from_utf8(buffer[..length].to_vec()).ok()
}

/// Where the kernel has that.
pub fn set_bridges_call_the_filter(is_so: bool) {
    for name in ["iptables", "ip6tables"] {
        let file = format!("/proc/sys/net/bridge/bridge-nf-call-{name}");
        if std::fs::exists(&file).expect("can be told") {
            std::fs::write(file, if is_so { "1" } else { "0" }).expect("is set");
        }
    }
}

/// Sends a datagram from `place` with the sender's address that is named, and that of its link, by a socket that
/// asks the kernel for neither.
pub fn speak_as(place: &Place, ip: &str, hardware: Option<[u8; 6]>, to: &str) {
    let (from, to): (Ipv4Addr, SocketAddrV4) = (
        ip.parse().expect("an address"),
        to.parse().expect("an address"),
    );
    place.within(|| {
        if let Some(hardware) = hardware {
            let mut socket = Socket::open(Protocol::Route).expect("a socket");
            let link = route::link(&mut socket, "eth0").expect("looks");
            let index = link.expect("a link").index;
            route::tell(&mut socket, &[route::becomes(index, hardware)]).expect("another address");
        }
        let raw = socket2::Socket::new(
            socket2::Domain::IPV4,
            socket2::Type::from(nix::libc::SOCK_RAW),
            Some(socket2::Protocol::from(nix::libc::IPPROTO_RAW)),
        );
        let raw = raw.expect("a raw socket");
        let packet = datagram(from, to);
        raw.send_to(&packet, &SocketAddr::V4(to).into())
            .expect("is sent");
    });
}

/// Of IPv4, as it is on the wire; udp may leave its sum out, and the kernel fills in that of the header.
fn datagram(from: Ipv4Addr, to: SocketAddrV4) -> Vec<u8> {
    let said = b"spoofed";
    let udp = 8 + said.len() as u16;
    let mut packet = vec![0x45, 0];
    packet.extend((20 + udp).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.ip().octets());
    for number in [5000, to.port(), udp, 0] {
        packet.extend(number.to_be_bytes());
    }
    packet.extend(said);
    packet
}

pub fn settings() -> Settings {
    Settings {
        bridge: "longshore0".to_owned(),
        v4: "10.90.0.0/24".parse().expect("a subnet"),
        v6: Some("fd00:90::/64".parse().expect("a subnet")),
        mtu: None,
        allows_metadata: false,
    }
}

/// A container on the node, with ports of the host that lead to its port 80 by tcp and udp.
pub fn container(node: &Node, id: &str, ports: &[u16]) -> (Place, crate::Lease) {
    let both = ports.iter().flat_map(|host| {
        [crate::Protocol::Tcp, crate::Protocol::Udp].map(|protocol| crate::Port {
            protocol,
            host: *host,
            container: 80,
        })
    });
    let ports: Vec<_> = both.collect();
    connected(
        node,
        id,
        &Wants {
            ports,
            ..Wants::default()
        },
    )
}

pub fn connected(node: &Node, id: &str, wants: &Wants) -> (Place, crate::Lease) {
    let lease = node.reserve(id, wants).expect("a lease");
    let mut place = Place::new();
    node.attach(&lease, place.inside()).expect("is connected");
    (place, lease)
}

/// How a packet filter is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuses {
    ByPolicy,
    ByLastRule,
}

/// One of somebody else's, for all that is passed on: `iptables -P FORWARD DROP` makes table `filter` with chain
/// `FORWARD` of family 2.
pub fn make_filter(socket: &mut Socket, family: u8, table: &str, chain: &str, how: Refuses) {
    let message = |number: u8, attributes: &Attributes| {
        Message::new(
            u16::from_be_bytes([10, number]),
            flag::CREATE | flag::APPEND,
            &[family, 0, 0, 0],
            attributes,
        )
    };
    let named = || Attributes::default().text(1, table);
    let hook = Attributes::default().u32_be(1, 2).u32_be(2, 0);
    let policy = u32::from(how == Refuses::ByLastRule);
    let base = named()
        .text(3, chain)
        .nest(4, hook)
        .u32_be(5, policy)
        .text(7, "filter");
    let drop = Expression::list(&Expression::drop());
    let last = named().text(2, chain).nest(4, drop);
    let mut messages = vec![message(0, &named()), message(3, &base)];
    messages.extend((how == Refuses::ByLastRule).then(|| message(6, &last)));
    crate::nftables::commit(socket, &TableName::of(table), "make", messages).expect("a table");
}

/// As `nft delete table` does.
pub fn delete_filter(socket: &mut Socket, family: u8, table: &str) {
    let named = Attributes::default().text(1, table);
    let kind = u16::from_be_bytes([10, 2]);
    let gone = vec![Message::new(kind, 0, &[family, 0, 0, 0], &named)];
    crate::nftables::commit(socket, &TableName::of(table), "delete", gone).expect("is deleted");
}

/// A container's link, for a program that writes whole frames to it.
pub struct Wire {
    socket: socket2::Socket,
    link: socket2::SockAddr,
}

impl Wire {
    /// `ip`: the container's. Something is said to it first: from that the socket knows the link.
    pub fn of(place: &Place, ip: &str) -> Self {
        const ALL: u16 = 3;
        let open = || {
            socket2::Socket::new(
                socket2::Domain::from(nix::libc::AF_PACKET),
                socket2::Type::from(nix::libc::SOCK_RAW),
                Some(socket2::Protocol::from(i32::from(ALL.to_be()))),
            )
        };
        let socket = place.within(open).expect("a raw socket");
        socket.set_read_timeout(Some(LONG)).expect("a patience");
        let any = UdpSocket::bind("0.0.0.0:0").expect("binds");
        any.send_to(b"?", (ip, 9)).expect("is sent");
        let mut buffer = [std::mem::MaybeUninit::uninit(); 64];
        let (_, link) = socket.recv_from(&mut buffer).expect("a frame");
        Self { socket, link }
    }

    pub fn says(&self, frame: &[u8]) {
        self.socket.send_to(frame, &self.link).expect("is sent");
    }
}
