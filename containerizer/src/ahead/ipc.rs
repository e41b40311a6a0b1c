//! IPC namespaces: to make one takes the kernel about as long as a mount, for that is in it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, unshare};

use crate::sys;

#[derive(Debug)]
pub struct Ipc {
    /// Nobody is in it.
    pub namespace: OwnedFd,
    /// A detached mount of its message queues.
    pub mqueue: OwnedFd,
}

impl Ipc {
    /// In the order that `Attached::ipc` wants.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.namespace.as_fd(), self.mqueue.as_fd()]
    }
}

/// This thread goes into it.
pub fn make() -> io::Result<Ipc> {
    unshare(CloneFlags::CLONE_NEWIPC)?;
    Ok(Ipc {
        namespace: File::open("/proc/thread-self/ns/ipc")?.into(),
        mqueue: sys::detached_mount("mqueue", "mqueue", &[])?,
    })
}
