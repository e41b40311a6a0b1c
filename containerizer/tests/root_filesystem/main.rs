//! The file system of a container with a root of its own, as its OCI spec says: needs root, and cgroups
//! of either version.

mod attacks;
mod cradle;
mod devices;
mod hidden;
mod idmaps;
mod mounts;
mod names;
mod namespaces;
mod native;
mod propagation;
mod support;
mod user_namespaces;
