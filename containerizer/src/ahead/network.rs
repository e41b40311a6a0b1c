//! Network namespaces: making one takes the kernel long, and at times much longer, joining one next to
//! nothing. And for each the file system that shows it: to make one the kernel compares it with all that
//! there are, so that takes longer with each container.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, unshare};

use crate::sys;

#[derive(Debug)]
pub struct Network {
    /// Nobody is in it, and its loopback interface is up.
    pub namespace: OwnedFd,
    /// A detached mount of a sysfs that shows it.
    pub sysfs: OwnedFd,
}

impl Network {
    /// In the order that `Attached::network` wants.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.namespace.as_fd(), self.sysfs.as_fd()]
    }
}

/// This thread goes into it.
pub fn make() -> io::Result<Network> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    sys::loopback_up()?;
    Ok(Network {
        namespace: File::open("/proc/thread-self/ns/net")?.into(),
        sysfs: sys::detached_mount("sysfs", "sysfs", &[])?,
    })
}
