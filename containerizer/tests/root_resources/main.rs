//! OCI `linux.resources`: what the kernel was told, what it does, and how that is changed while the
//! container runs.

mod devices;
mod freeze;
mod limits;
mod network;
mod placement;
mod statistics;
mod support;
mod update;
