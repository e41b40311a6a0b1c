//! Descriptors that came by their numbers, or shall be waited for.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A copy of a descriptor that somebody else has opened, by its number. Errors: `EBADF`.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the number is only copied; when it is not open the kernel says so.
    duplicate_above(unsafe { BorrowedFd::borrow_raw(number) }, 0)
}

/// Owns a descriptor that a message has brought, which nobody else can know yet. Errors: `EBADF`.
pub fn received(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: recvmsg(2) has just opened it for its only caller, who hands it over here.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The lowest free number from `floor` on.
pub fn duplicate_above(fd: BorrowedFd<'_>, floor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl(2) with F_DUPFD_CLOEXEC takes numbers; `fd` is open for the call.
    let new = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, floor) };
    if new == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made `new` for us.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// Lets tokio wait until `fd` is readable. Gives the descriptor back when it cannot.
pub fn readable(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>, (OwnedFd, io::Error)> {
    // SAFETY: an OwnedFd stays open and keeps its number until the AsyncFd drops it.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    registered.map_err(|error| error.into_parts())
}
