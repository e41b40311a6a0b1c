//! One message: what is asked for, and of what.

use super::Attributes;

/// Of netlink.h, in a message's header.
pub mod flag {
    pub const REQUEST: u16 = 0x1;
    pub const ACK: u16 = 0x4;
    pub const DUMP: u16 = 0x300;
    pub const REPLACE: u16 = 0x100;
    pub const EXCL: u16 = 0x200;
    pub const CREATE: u16 = 0x400;
    pub const APPEND: u16 = 0x800;
}

pub const HEADER: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: u16,
    pub flags: u16,
    /// The family's own header, and attributes.
    pub body: Attributes,
}

impl Message {
    /// Begins the bytes of one.
    pub fn new(kind: u16, flags: u16, header: &[u8], attributes: &Attributes) -> Self {
        Self {
            kind,
            flags: flags | flag::REQUEST,
            body: Attributes::after(header, attributes),
        }
    }

    pub fn encode(&self, sequence: u32, into: &mut Vec<u8>) {
        let body = self.body.as_bytes();
        let length = (HEADER + body.len()) as u32;
        into.extend(length.to_ne_bytes());
        into.extend(self.kind.to_ne_bytes());
        into.extend(self.flags.to_ne_bytes());
        into.extend(sequence.to_ne_bytes());
        // The kernel knows who we are.
        into.extend(0_u32.to_ne_bytes());
        into.extend(body);
        let padded = into.len().next_multiple_of(4);
        into.resize(padded, 0);
    }
}
