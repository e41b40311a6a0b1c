//! Netlink: how the kernel is told of links, addresses, routes and packet filters, and asked for them.
//!
//! Source: netlink(7), include/uapi/linux/netlink.h.

mod attributes;
mod message;
mod socket;

pub use attributes::{Attributes, find, parse, text, u32_of};
pub use message::{Message, flag};
pub use socket::{Protocol, Refused, Reply, Socket};

#[cfg(test)]
mod tests;
