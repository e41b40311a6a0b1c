//! Connections that the kernel remembers. Where a packet of udp goes is decided when the first of its kind
//! comes, and as long as more of them come that is not decided anew: who goes on talking to a port would talk
//! to a container that is no more, or to nobody although there is one now.
//!
//! Source: include/uapi/linux/netfilter/nfnetlink_conntrack.h.

use std::net::IpAddr;

use crate::netlink::{Attributes, Message, Reply, Socket, find};
use crate::port::Protocol;

const SUBSYSTEM: u8 = 1;
const GET: u8 = 1;
const DELETE: u8 = 2;

const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const FILTER: u16 = 25;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const PROTO_NUM: u16 = 1;
const PROTO_SRC_PORT: u16 = 2;
const PROTO_DST_PORT: u16 = 3;
const FILTER_ORIG_FLAGS: u16 = 1;
const FILTER_REPLY_FLAGS: u16 = 2;
/// Of a filter.
const BY_PROTOCOL: u32 = 1 << 3;

/// Who talks to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tuple {
    protocol: u8,
    from: (IpAddr, u16),
    to: (IpAddr, u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Connection {
    family: u8,
    asked: Tuple,
    answered: Tuple,
    /// By which the kernel knows it.
    name: Attributes,
}

fn message(number: u8, family: u8, attributes: &Attributes) -> Message {
    let kind = u16::from_be_bytes([SUBSYSTEM, number]);
    Message::new(kind, 0, &[family, 0, 0, 0], attributes)
}

/// Forgets what was decided for udp ports of the host, but for what leads to one of `right`. To look at all that
/// is remembered takes the kernel some milliseconds.
pub fn forget(ports: &[u16], families: &[u8], right: &[IpAddr]) -> std::io::Result<()> {
    let mut socket = Socket::open(crate::netlink::Protocol::Netfilter)?;
    for family in families {
        // Kernels before 5.8 tell of other protocols, too.
        let replies = socket.dump(&message(GET, *family, &of_udp()))?;
        let all = replies.iter().filter_map(Connection::read);
        let stale = all.filter(|it| it.is_stale(ports, right));
        let messages: Vec<_> = stale
            .map(|it| message(DELETE, it.family, &it.name))
            .collect();
        for message in messages {
            // It may have come to its end by itself.
            if let Err(refused) = socket.tell(&[message]) {
                tracing::debug!(error = %refused.error, "a connection is not forgotten");
            }
        }
    }
    Ok(())
}

fn of_udp() -> Attributes {
    let protocol = Attributes::default().u8(PROTO_NUM, Protocol::Udp.number());
    let tuple = Attributes::default().nest(TUPLE_PROTO, protocol);
    let filter = Attributes::default()
        .u32(FILTER_ORIG_FLAGS, BY_PROTOCOL)
        .u32(FILTER_REPLY_FLAGS, 0);
    Attributes::default()
        .nest(TUPLE_ORIG, tuple)
        .nest(FILTER, filter)
}

impl Connection {
    fn read(reply: &Reply) -> Option<Self> {
        let (header, attributes) = reply.body.split_first_chunk::<4>()?;
        let asked = find(attributes, TUPLE_ORIG)?;
        let name = Attributes::default()
            .nest(TUPLE_ORIG, Attributes::after(asked, &Attributes::default()))
            .bytes(ID, find(attributes, ID)?);
        Some(Self {
            family: header[0],
            asked: Tuple::read(asked)?,
            answered: Tuple::read(find(attributes, TUPLE_REPLY)?)?,
            name,
        })
    }

    fn is_stale(&self, ports: &[u16], right: &[IpAddr]) -> bool {
        let Tuple { protocol, from, to } = self.asked;
        let is_of_ports = protocol == Protocol::Udp.number() && ports.contains(&to.1);
        // What has another address on its way from here goes to another host's port of that number.
        let is_plain = (self.answered.from, self.answered.to) == (to, from);
        let is_led = self.answered.from.0 != to.0;
        is_of_ports && (is_plain || is_led) && !right.contains(&self.answered.from.0)
    }
}

impl Tuple {
    fn read(attributes: &[u8]) -> Option<Self> {
        let (ip, protocol) = (find(attributes, TUPLE_IP)?, find(attributes, TUPLE_PROTO)?);
        // 1 and 2 are IPv4's, 3 and 4 IPv6's.
        let address = |v4: u16, v6: u16| {
            let v4 = find(ip, v4).and_then(|it| <[u8; 4]>::try_from(it).ok());
            let v6 = || find(ip, v6).and_then(|it| <[u8; 16]>::try_from(it).ok());
            v4.map(IpAddr::from).or_else(|| v6().map(IpAddr::from))
        };
        let port = |kind| Some(u16::from_be_bytes(find(protocol, kind)?.try_into().ok()?));
        Some(Self {
            protocol: *find(protocol, PROTO_NUM)?.first()?,
            from: (address(1, 3)?, port(PROTO_SRC_PORT)?),
            to: (address(2, 4)?, port(PROTO_DST_PORT)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> (IpAddr, u16) {
        let (ip, port) = text.split_once(':').expect("a port");
        let (ip, port) = (ip.parse(), port.parse());
        (ip.expect("an address"), port.expect("a number"))
    }

    fn connection(asked: [&str; 2], answered: [&str; 2]) -> Connection {
        let tuple = |[from, to]: [&str; 2]| Tuple {
            protocol: 17,
            from: end(from),
            to: end(to),
        };
        Connection {
            family: 2,
            asked: tuple(asked),
            answered: tuple(answered),
            name: Attributes::default(),
        }
    }

    #[test]
    fn what_was_decided_before_is_stale_and_what_is_elsewhere_is_not() {
        let right = [end("10.0.0.2:0").0];
        let asked = ["192.0.2.2:5000", "192.0.2.1:31000"];
        let table = [
            // To the container, to one that is no more, and to the host itself.
            (asked, ["10.0.0.2:80", "192.0.2.2:5000"], false),
            (asked, ["10.0.0.9:80", "192.0.2.2:5000"], true),
            (asked, ["192.0.2.1:31000", "192.0.2.2:5000"], true),
            // A container's own, to another host.
            (
                ["10.0.0.3:5000", "198.51.100.7:31000"],
                ["198.51.100.7:31000", "192.0.2.1:5000"],
                false,
            ),
            // Another port.
            (
                ["192.0.2.2:5000", "192.0.2.1:31001"],
                ["10.0.0.9:80", "192.0.2.2:5000"],
                false,
            ),
        ];
        for (asked, answered, wanted) in table {
            let connection = connection(asked, answered);
            assert_eq!(
                connection.is_stale(&[31000], &right),
                wanted,
                "{connection:?}"
            );
        }
    }
}
