//! Descriptors by their numbers: what `init` inherits, makes, passes on and closes.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use super::{check, owned};

/// A descriptor that was there from the start.
pub fn inherited(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the containerizer left it open at this number, and only `close` of that number, after
    // its last use, ends it.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// The same, to be closed when it has served. To be called once.
pub fn take(fd: RawFd) -> OwnedFd {
    // SAFETY: the containerizer left it open at this number, and the program names it but once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

pub fn close(fd: RawFd) {
    // SAFETY: callers pass numbers of `init::fd` that no owned descriptor of ours wraps.
    unsafe { libc::close(fd) };
}

pub fn close_from(first: u32) {
    // SAFETY: at this point of start-up no owned descriptor has such a number. close_range(2), 5.9.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// All from `first` on are closed by an exec, whoever forgot to mark them. Linux 5.11.
pub fn close_on_exec_from(first: u32) {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: the flags of descriptors touch no memory.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) };
}

/// dup3(2): the new one may be inherited by the command, or not.
pub fn duplicate_to(fd: RawFd, number: RawFd, close_on_exec: bool) -> io::Result<()> {
    let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    // SAFETY: callers name numbers of `init::fd` or standard streams, which no owned descriptor wraps.
    check(unsafe { libc::dup3(fd, number, flags) }.into()).map(drop)
}

/// The lowest free number that is not below `floor`; closed by an exec.
pub fn duplicate_above(fd: RawFd, floor: RawFd) -> io::Result<RawFd> {
    // SAFETY: fcntl(2) with F_DUPFD_CLOEXEC takes numbers.
    check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, floor) }.into()).map(|new| new as RawFd)
}

/// Read and write end.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: the kernel fills both numbers.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }.into())?;
    // SAFETY: the kernel has just made them for us.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// A file in memory, without a name.
pub fn memory_file() -> io::Result<OwnedFd> {
    // SAFETY: the name is a string that ends with NUL.
    owned(unsafe { libc::memfd_create(c"longshore".as_ptr(), libc::MFD_CLOEXEC) }.into())
}

/// 0 at the end.
pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length describe `buffer`, which is ours alone for the call.
    let ret = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    check(ret as libc::c_long).map(|n| n as usize)
}

pub fn write(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length describe `bytes`, which outlives the call.
    let ret = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    check(ret as libc::c_long).map(|n| n as usize)
}
