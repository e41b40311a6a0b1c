//! Namespaces, and what a new one is given: names, a loopback interface.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use super::{check, own_pid, owned};

pub fn unshare(flags: u32) -> io::Result<()> {
    // SAFETY: unshare(2) takes flags only.
    check(unsafe { libc::unshare(flags as i32) }.into()).map(drop)
}

pub fn setns(fd: BorrowedFd<'_>, flag: u32) -> io::Result<()> {
    // SAFETY: `fd` stays open for the call.
    check(unsafe { libc::setns(fd.as_raw_fd(), flag as i32) }.into()).map(drop)
}

/// Errors: `ENOTTY` before Linux 6.11.
pub fn own_mount_namespace() -> io::Result<OwnedFd> {
    /// linux/pidfd.h
    const PIDFD_GET_MNT_NAMESPACE: libc::c_ulong = 0xff03;
    // SAFETY: pidfd_open(2) takes numbers.
    let this = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, own_pid(), 0) })?;
    // SAFETY: this request takes no argument and changes nothing.
    owned(unsafe { libc::ioctl(this.as_raw_fd(), PIDFD_GET_MNT_NAMESPACE as _, 0) }.into())
}

pub fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length describe `name`.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }.into()).map(drop)
}

pub fn set_domainname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length describe `name`.
    check(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }.into()).map(drop)
}

/// Sets IFF_UP on `lo`. netdevice(7).
pub fn loopback_up() -> io::Result<()> {
    // SAFETY: socket(2) takes numbers only.
    let socket = owned(
        unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }.into(),
    )?;
    // SAFETY: an all-zero ifreq is a valid value of that C struct.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads the ifreq, which outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) }.into())
        .map(drop)
}
