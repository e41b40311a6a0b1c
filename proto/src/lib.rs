//! The language of the cluster: Mesos v1 messages and their JSON form, RecordIO framing, resource
//! arithmetic, the texts of flags (resources, attributes, durations, sizes), and the messages of the
//! link between agent and master.
//!
//! Invariant: nothing in this crate does I/O or knows a clock; it depends on no other crate of ours.
//!
//! | module | is |
//! |---|---|
//! | [`v1`], [`link`] | the generated messages; enums are `i32` fields, maps are `BTreeMap` |
//! | [`json`], [`wire`] | the JSON form of any message (not the standard proto3 mapping), and the binary one |
//! | [`recordio`], [`media`] | framing of streams, and which encoding a request and its answer use |
//! | [`resources`], [`attributes`], [`units`], [`sizes`], [`ids`] | values that are valid once they exist |
//! | [`address`], [`error`], [`redact`] | where a master is; how errors are told; URIs without their secrets |
//! | [`task`], [`v0`], [`version`] | what agent and master both say about tasks and themselves |
#![forbid(unsafe_code)]

pub mod address;
pub mod attributes;
pub mod error;
pub mod ids;
pub mod json;
pub mod link;
pub mod media;
mod path;
pub mod recordio;
pub mod redact;
pub mod resources;
mod secret;
pub mod sizes;
pub mod task;
pub mod units;
pub mod v0;
pub mod version;
pub mod wire;

/// The generated messages, one module per protobuf package.
#[allow(clippy::all, clippy::unwrap_used, rust_2018_idioms)]
mod schema {
    include!(concat!(env!("OUT_DIR"), "/schema.rs"));
}

#[cfg(test)]
mod schema_tests;

pub use schema::mesos::v1;
pub use version::MESOS_VERSION;
