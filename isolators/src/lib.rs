//! Isolators: what one container may use and see.
//!
//! Each isolator turns its part of a container [`Request`] into a contribution to the container's
//! OCI runtime spec ([`plan`] asks all of them), and owns the host objects that go with it: the
//! cgroup, later a veth or a map element.
//!
//! Invariant: nothing in this crate forks, mounts, or changes a namespace of the calling process.
//! Isolators describe; `containerizer::launch` acts.
#![forbid(unsafe_code)]

mod capabilities;
pub mod cgroups;
mod filesystem;
mod ipc;
mod isolator;
mod kernel_log;
pub mod mountinfo;
mod namespaces;
pub mod network;
mod process;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod pseudo_file;
mod request;
mod rlimits;
mod rootfs;
pub mod seccomp;
mod terminal;
mod volumes;

pub use capabilities::{default_capabilities, mask as capability_mask};
pub use isolator::{Host, Isolator, PlanError, plan};
pub use kernel_log::{KernelLog, Line};
pub use oci_spec::runtime::{Capability, PosixRlimitType as RlimitResource};
pub use process::STOP_SIGNAL;
pub use request::{
    Access, BadContainerId, BadUser, CapabilitySets, Command, ContainerId, CpuSet, Device,
    DeviceFile, DeviceKind, Files, IdRange, Ipc, Limit, PidNamespace, Priority, Request, Rlimit,
    Root, Seccomp, Share, Swap, Terminal, Tmpfs, User, Volume, WindowSize,
};
