//! The only unsafe code of this crate: starting a process in new namespaces, pidfds, and bpf(2). A module per
//! subject of the kernel; callers name them all as `sys`.
#![allow(unsafe_code)]

mod bpf;
mod descriptors;
mod kernel;
mod memory;
mod mount;
mod network;
mod pidfd;
mod quota;
mod spawn;
mod terminal;

pub use bpf::*;
pub use descriptors::*;
pub use kernel::*;
pub use memory::*;
pub use mount::*;
pub use network::*;
pub use pidfd::*;
pub use quota::*;
pub use spawn::*;
pub use terminal::*;
