//! How often something was found.

use crate::netlink::{Attributes, find, text};

const NAME: u16 = 1;
const DATA: u16 = 2;
const PACKETS: u16 = 2;
const COUNTER: &str = "counter";

/// One that has counted nothing yet.
pub fn none() -> Attributes {
    Attributes::default()
        .text(NAME, COUNTER)
        .nest(DATA, Attributes::default())
}

/// Packets, as one that the kernel tells of has counted them.
pub fn packets(expression: &[u8]) -> Option<u64> {
    let is_counter = find(expression, NAME).map(text).as_deref() == Some(COUNTER);
    let data = find(expression, DATA).filter(|_| is_counter)?;
    Some(u64::from_be_bytes(find(data, PACKETS)?.try_into().ok()?))
}
