//! The language of the cluster: Mesos v1 messages and their JSON form, RecordIO framing, resource
//! arithmetic, the texts of flags (resources, attributes, durations, sizes), and the messages of
//! the link between agent and master.
//!
//! Invariant: nothing in this crate does I/O or knows a clock; it depends on no other crate of ours.
#![forbid(unsafe_code)]

/// The generated messages, one module per protobuf package.
#[allow(clippy::all, clippy::unwrap_used, rust_2018_idioms)]
mod schema {
    include!(concat!(env!("OUT_DIR"), "/schema.rs"));
}

pub use schema::longshore::link::v1 as link;
pub use schema::mesos::v1;
