//! Addresses of links.

use std::net::IpAddr;

use super::{Request, RouteError, failed};
use crate::netlink::{Attributes, Message, Reply, Socket, find, flag, u32_of};

const NEWADDR: u16 = 20;
const GETADDR: u16 = 22;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
/// Nobody else can have it, so the kernel need not ask around before it is used.
const IFA_F_NODAD: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Of its link.
    pub index: u32,
    pub ip: IpAddr,
    pub prefix: u8,
}

pub fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

pub fn family(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 10,
    }
}

pub fn ip_of(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

impl Address {
    /// Not an error where the link has it.
    pub fn add(&self) -> Request {
        let octets = octets(self.ip);
        let mut attributes = Attributes::default()
            .bytes(IFA_LOCAL, &octets)
            .bytes(IFA_ADDRESS, &octets);
        let mut flags = IFA_F_NODAD;
        if let IpAddr::V4(ip) = self.ip {
            let hosts = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
            let broadcast = ip.to_bits() | hosts;
            attributes = attributes.bytes(IFA_BROADCAST, &broadcast.to_be_bytes());
            flags = 0;
        }
        let mut header = vec![family(self.ip), self.prefix, flags, 0];
        header.extend(self.index.to_ne_bytes());
        let message = Message::new(NEWADDR, flag::CREATE | flag::REPLACE, &header, &attributes);
        Request::new(format!("give a link the address {}", self.ip), message)
    }

    fn read(reply: &Reply) -> Option<Self> {
        if reply.kind != NEWADDR {
            return None;
        }
        let (header, attributes) = reply.body.split_first_chunk::<8>()?;
        let ip = find(attributes, IFA_LOCAL).or_else(|| find(attributes, IFA_ADDRESS));
        Some(Self {
            index: u32_of(header.get(4..8)?)?,
            ip: ip_of(ip?)?,
            prefix: header[1],
        })
    }
}

/// Of all links.
pub fn addresses(socket: &mut Socket) -> Result<Vec<Address>, RouteError> {
    let message = Message::new(GETADDR, 0, &[0; 8], &Attributes::default());
    let replies = socket.dump(&message).map_err(failed("list addresses"))?;
    Ok(replies.iter().filter_map(Address::read).collect())
}
