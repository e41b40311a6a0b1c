//! The verbs as engines call them: needs root, and cgroups of either version.

mod audit;
mod descriptors;
mod ends;
mod hooks;
mod limits;
mod memory;
mod mounts;
mod places;
mod processes;
mod refusals;
mod seccomp_agent;
mod shared_mounts;
mod steps;
mod support;
