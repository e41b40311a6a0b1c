//! New file systems: fsopen(2), fsconfig(2), fsmount(2). Linux 5.2.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use super::{c_string, check, owned};

pub fn fsopen(fstype: &str) -> io::Result<OwnedFd> {
    const FSOPEN_CLOEXEC: u32 = 1;
    let fstype = c_string(fstype)?;
    // SAFETY: the string outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), FSOPEN_CLOEXEC) })
}

/// Sets one parameter of a file system that is being configured; a value of `None` is a flag.
pub fn fsconfig_set(fs: BorrowedFd<'_>, key: &str, value: Option<&str>) -> io::Result<()> {
    const SET_FLAG: u32 = 0;
    const SET_STRING: u32 = 1;
    let key = c_string(key)?;
    let value = value.map(c_string).transpose()?;
    let (command, value): (u32, *const libc::c_char) = match &value {
        None => (SET_FLAG, std::ptr::null()),
        Some(text) => (SET_STRING, CStr::as_ptr(text)),
    };
    // SAFETY: the strings outlive the call; null is what SET_FLAG wants.
    check(unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            fs.as_raw_fd(),
            command,
            key.as_ptr(),
            value,
            0,
        )
    })
    .map(drop)
}

/// The same with what is open for a value.
pub fn fsconfig_set_fd(fs: BorrowedFd<'_>, key: &str, value: BorrowedFd<'_>) -> io::Result<()> {
    const SET_FD: u32 = 5;
    let key = c_string(key)?;
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: the string outlives the call; SET_FD takes no other value than the number.
    check(unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            fs.as_raw_fd(),
            SET_FD,
            key.as_ptr(),
            none,
            value.as_raw_fd(),
        )
    })
    .map(drop)
}

pub fn fsconfig_create(fs: BorrowedFd<'_>) -> io::Result<()> {
    const CMD_CREATE: u32 = 6;
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: CMD_CREATE takes null key and value.
    check(unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            fs.as_raw_fd(),
            CMD_CREATE,
            none,
            none,
            0,
        )
    })
    .map(drop)
}

/// A detached mount of a configured file system.
pub fn fsmount(fs: BorrowedFd<'_>, attributes: u64) -> io::Result<OwnedFd> {
    const FSMOUNT_CLOEXEC: u32 = 1;
    // SAFETY: fsmount takes numbers only.
    owned(unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            fs.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            attributes,
        )
    })
}
