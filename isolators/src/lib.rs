//! Isolators: what one container may use and see.
//!
//! Each isolator turns its part of a container [`Request`] into a contribution to the container's
//! OCI runtime spec, and owns the host objects that go with it (a cgroup, later a veth or a map
//! element).
//!
//! Invariant: nothing in this crate forks, mounts, or changes a namespace of the calling process.
//! Isolators describe; `containerizer::launch` acts.
#![forbid(unsafe_code)]

mod request;

pub use request::{
    Access, BadContainerId, BadUser, Command, ContainerId, Limit, Request, Share, User, Volume,
};
