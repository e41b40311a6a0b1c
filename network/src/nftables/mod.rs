//! nf_tables: the kernel's packet filter and address translation.
//!
//! Source: include/uapi/linux/netfilter/{nf_tables,nfnetlink}.h of Linux, and what `nft --debug=netlink` prints.

mod counters;
mod element;
mod events;
mod expression;
pub mod foreign;
mod set;
mod table;

pub use element::{Element, ElementChange, Elements, padded};
pub use events::{events, is_loss};
pub use expression::Expression;
pub use set::{Field, Set};
pub use table::{Base, Chain, Hook, Kind, Rule, Seen, Table, TableName, delete, seen};

use crate::netlink::{Attributes, Message, Refused, Socket, flag};

const SUBSYSTEM: u8 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

fn kind(number: u8) -> u16 {
    u16::from_be_bytes([SUBSYSTEM, number])
}

fn message(table: &TableName, number: u8, flags: u16, attributes: &Attributes) -> Message {
    let header = [table.family(), 0, 0, 0];
    Message::new(kind(number), flags, &header, attributes)
}

#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("cannot {attempt} nf_tables table {table}")]
    Refused {
        attempt: &'static str,
        table: String,
        source: std::io::Error,
    },
}

impl FilterError {
    pub fn is(&self, errno: nix::errno::Errno) -> bool {
        let Self::Refused { source, .. } = self;
        source.raw_os_error() == Some(errno as i32)
    }
}

/// All of it is done, or nothing.
pub fn commit(
    socket: &mut Socket,
    table: &TableName,
    attempt: &'static str,
    messages: Vec<Message>,
) -> Result<(), FilterError> {
    let frame = |kind| Message::new(kind, 0, &[0, 0, 0, SUBSYSTEM], &Attributes::default());
    let begin = std::iter::once(frame(BATCH_BEGIN));
    let batch = begin.chain(messages).chain([frame(BATCH_END)]);
    let batch: Vec<_> = batch.collect();
    socket.tell(&batch).map_err(|refused| {
        let Refused { at, error } = refused;
        tracing::debug!(at, %error, table = table.as_str(), "a batch of nf_tables was refused");
        refuse(table, attempt)(error)
    })
}

fn refuse(table: &TableName, attempt: &'static str) -> impl FnOnce(std::io::Error) -> FilterError {
    let table = table.as_str().to_owned();
    move |source| FilterError::Refused {
        attempt,
        table,
        source,
    }
}

const CREATE: u16 = flag::CREATE;
const APPEND: u16 = flag::CREATE | flag::APPEND;
