//! The messages of the link between agent and master, and what both sides know of its transport.
//! Source: schema/longshore/link/v1/link.proto.

pub use crate::schema::longshore::link::v1::*;

/// Where the master takes links.
pub const PATH: &str = "/api/v1/link";

/// The header `Longshore-Link-Id`, in the spelling of header tables: names have no case.
pub const LINK_ID: &str = "longshore-link-id";

/// Bytes of one message, either way. A call of a framework has 8 MiB at most, so no order to an
/// agent comes near; an agent that registers brings all of its tasks along.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
