//! Network namespaces: making one takes the kernel long, and at times much longer, joining one next to
//! nothing. And for each the file system that shows it: to make one the kernel compares it with all that
//! there are, so that takes longer with each container.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::sys;

#[derive(Debug)]
pub struct Network {
    /// Its loopback interface is up.
    pub namespace: OwnedFd,
    /// A detached mount of a sysfs that shows it.
    pub sysfs: OwnedFd,
    /// A netlink socket in it, for who connects it with others.
    pub route: OwnedFd,
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
    distrust_routers()?;
    this_threads()
}

/// That this thread is in, for one more container.
pub fn this_threads() -> io::Result<Network> {
    let route = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    Ok(Network {
        namespace: File::open("/proc/thread-self/ns/net")?.into(),
        sysfs: sys::detached_mount("sysfs", "sysfs", &[])?,
        route,
    })
}

/// Of links that come to be in it: another container on the same bridge could say to be their router.
fn distrust_routers() -> io::Result<()> {
    match std::fs::write("/proc/sys/net/ipv6/conf/default/accept_ra", "0") {
        // A kernel without IPv6, or a host on which this cannot be changed: it is for the host to say then.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        written => written,
    }
}

/// This thread goes into it.
pub fn enter(network: Network) -> io::Result<Network> {
    setns(&network.namespace, CloneFlags::CLONE_NEWNET)?;
    Ok(network)
}

/// Of the network that this thread is in: nobody else is bothered by who has which of its ports.
pub fn open_all_ports() -> io::Result<()> {
    std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
}
