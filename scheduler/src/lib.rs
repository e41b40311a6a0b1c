//! The Marathon-compatible scheduler: apps and deployments in front, a framework towards the master.
//!
//! ```text
//! HTTP /v2 ──changes, views──► service ──► engine ──writes──► store
//!                                 ▲  │   (pure)
//!                          events │  │ calls
//!                                 └──┴──► master: v1 scheduler API
//! ```
//!
//! Invariants: one task owns the engine, and everything the engine decides is a function of its
//! state, an event and the time; what it decides is stored before anyone hears of it; the master
//! is spoken to only as any other framework would.
#![forbid(unsafe_code)]

mod app;
mod backoff;
mod checkups;
mod deployment;
mod engine;
mod events;
mod flags;
mod health;
mod http;
mod instance;
mod master;
mod placement;
mod root;
mod service;
mod start;
mod store;
mod task;

// Counts have 32 bits in apps and in the store: `as usize` loses nothing of them.
const _: () = assert!(usize::BITS >= u32::BITS);

pub use flags::Flags;
pub use start::{FailureReason, Handle, StartError, start};
pub use store::StoreError;
