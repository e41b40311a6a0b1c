//! What goes over the links of a container's network, counted; over its loopback, not.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::thread;

use containerizer::{Container, Traffic};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use serde_json::json;

use crate::support::{Host, until};

const NEAR: i32 = 70;
const FAR: i32 = 71;

/// Attributes and messages of rtnetlink(7).
const NEWLINK: u16 = 16;
const NEWADDR: u16 = 20;
const IFNAME: u16 = 3;
const LINKINFO: u16 = 18;
const KIND: u16 = 1;
const DATA: u16 = 2;
const VETH_PEER: u16 = 1;
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len() as u16;
    let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
    [&length.to_ne_bytes(), &kind.to_ne_bytes(), value, &padding].concat()
}

/// `struct ifinfomsg`. A veth(4) comes up only when it has its peer.
fn link(index: i32, flags: u32) -> Vec<u8> {
    let flags = flags.to_ne_bytes();
    [&[0; 4][..], &index.to_ne_bytes(), &flags, &flags].concat()
}

/// In the network namespace of the calling thread.
fn ask(kind: u16, body: &[u8]) {
    const REQUEST_ACK_CREATE: u16 = 0x1 | 0x4 | 0x400;
    const HEAD: usize = 16;
    let length = (HEAD + body.len()) as u32;
    let flags = REQUEST_ACK_CREATE.to_ne_bytes();
    let message = [
        &length.to_ne_bytes(),
        &kind.to_ne_bytes()[..],
        &flags,
        &[0; 8],
        body,
    ]
    .concat();
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    );
    let netlink = netlink.unwrap();
    let kernel = NetlinkAddr::new(0, 0);
    sendto(netlink.as_raw_fd(), &message, &kernel, MsgFlags::empty()).unwrap();
    let mut answer = [0; 4096];
    recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty()).unwrap();
    let error = i32::from_ne_bytes(answer[HEAD..HEAD + 4].try_into().unwrap());
    assert_eq!(error, 0, "rtnetlink message {kind}");
}

/// Both ends in the container, one with a name that is no text.
fn make_links() {
    let peer = [link(FAR, 0), attribute(IFNAME, b"far\xff\0")].concat();
    let about = [
        attribute(KIND, b"veth"),
        attribute(DATA, &attribute(VETH_PEER, &peer)),
    ]
    .concat();
    let near = [
        link(NEAR, 0),
        attribute(IFNAME, b"eth0\0"),
        attribute(LINKINFO, &about),
    ]
    .concat();
    ask(NEWLINK, &near);
    let own = [10, 99, 0, 1];
    const INET_24: [u8; 4] = [2, 24, 0, 0];
    let address = [
        &INET_24[..],
        &NEAR.to_ne_bytes(),
        &attribute(LOCAL, &own),
        &attribute(ADDRESS, &own),
    ];
    ask(NEWADDR, &address.concat());
    const UP: u32 = 1;
    for index in [FAR, NEAR] {
        ask(NEWLINK, &link(index, UP));
    }
}

fn send(times: u64, to: &str) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_broadcast(true).unwrap();
    for _ in 0..times {
        socket.send_to(&[0; 1000], to).unwrap();
    }
}

/// A thread of its own, for it never comes back to our network.
fn inside(container: &Container, act: impl FnOnce() + Send) {
    let network = File::open(format!("/proc/{}/ns/net", container.pid())).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            setns(network, CloneFlags::CLONE_NEWNET).unwrap();
            act();
        });
    });
}

fn traffic(container: &Container) -> Option<Traffic> {
    container.snapshot().unwrap().network.map(|it| it.traffic)
}

#[tokio::test]
async fn root_what_a_container_sends_and_receives_is_counted_where_its_network_is_its_own() {
    let host = Host::new("traffic");
    let mut spec = serde_json::to_value(host.task("echo done; exec sleep 1000")).unwrap();
    let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({"type": "network"}));
    let spec = serde_json::from_value(spec).unwrap();
    let container = host.launch_spec(spec).await.unwrap();
    until("done", || host.said().contains("done")).await;
    inside(&container, || send(50, "127.0.0.1:9"));
    assert_eq!(traffic(&container), Some(Traffic::default()));
    inside(&container, || {
        make_links();
        send(10, "10.99.0.255:9");
    });
    let Traffic { received, sent } = traffic(&container).unwrap();
    // With the heads of UDP, IP and Ethernet; what the kernel itself says on new links is less than one.
    const FRAME: u64 = 1000 + 8 + 20 + 14;
    for counters in [received, sent] {
        assert!((10..50).contains(&counters.packets), "{counters:?}");
        let bytes = FRAME * 10..FRAME * 10 + 40 * 200;
        assert!(bytes.contains(&counters.bytes), "{counters:?}");
        assert_eq!((counters.errors, counters.dropped), (0, 0));
    }
    // Here what goes over the loopback counts, too.
    let protocols = container.snapshot().unwrap().network.unwrap().protocols;
    let udp = protocols.iter().find(|it| it.protocol == "Udp").unwrap();
    let sent = udp.counters.iter().find(|(name, _)| name == "OutDatagrams");
    assert_eq!(sent, Some(&("OutDatagrams".to_owned(), 60)));
    host.end(&container).await;
    host.finish();
}

#[tokio::test]
async fn root_on_the_hosts_network_a_container_has_no_traffic_of_its_own() {
    let host = Host::new("hosts-traffic");
    let container = host.launched("exec sleep 1000", json!({})).await;
    assert_eq!(traffic(&container), None);
    host.end(&container).await;
    host.finish();
}
