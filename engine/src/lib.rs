//! A Docker Engine, over its unix socket: containers, images and what it tells of them.
//!
//! Every call is bounded in time and in the size of its answer, and has a connection of its own where it may
//! wait: an engine that hangs, restarts or lies is an error of that call, and of nothing else. Source: the
//! Docker Engine API, versions 1.41 and later.

#![forbid(unsafe_code)]

mod call;
mod client;
mod container;
mod create;
mod error;
mod exec;
mod frames;
mod image;
mod inspected;
mod lines;
mod session;
mod version;

pub use client::Engine;
pub use container::{Actor, Event, Listed};
pub use create::{
    Addresses, Create, DeviceMapping, DeviceRequest, DriverConfig, Empty, Endpoint, Healthcheck,
    HostConfig, LogConfig, Mount, NetworkingConfig, PortBinding, Resources, RestartPolicy,
    TmpfsOptions, Ulimit, VolumeOptions,
};
pub use error::EngineError;
pub use exec::ExecEnd;
pub use frames::{Frame, Logs, Source};
pub use image::{Credentials, Image, Progress, Pull};
pub use inspected::{Address, Inspected, State, Status};
pub use lines::Lines;
pub use session::{Input, Output, Session, Talk};
pub use version::Version;

#[cfg(test)]
mod tests;
