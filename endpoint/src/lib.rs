//! How a part of the cluster listens and answers: one way for agent, master and scheduler.
//!
//! | module | is |
//! |---|---|
//! | [`listen()`], [`advertised`] | the socket, who may reach it, and the address that others are told |
//! | [`serve()`] | requests to a router, with bounds on connections, slow clients and the end |
//! | [`path`], [`Query`] | what a URL asks for, in every spelling that clients use |
//! | [`bounded_body`], [`jsonp`] | bodies in, JSON out |
//! | [`backlog`], [`RecordStream`] | streams of records out, with a bound on what a slow reader leaves unread |
//! | [`client()`], [`locate`] | the other side: how our own parts call each other, and find the master |
//!
//! Invariant: nothing here knows what is asked for or answered; no wait is without an end.
#![forbid(unsafe_code)]

mod backlog;
mod body;
mod client;
pub mod jsonp;
mod listen;
pub mod path;
mod query;
mod record_stream;
mod serve;

pub use backlog::{Records, TooFarBehind, Writer, backlog};
pub use body::{BodyError, MAX_BODY_BYTES, bounded_body};
pub use client::{NoMaster, client, locate};
pub use listen::{ListenError, NoAddress, advertised, inherit, listen};
pub use query::{Query, query_value};
pub use record_stream::RecordStream;
pub use serve::{serve, serve_until_handed_over};
