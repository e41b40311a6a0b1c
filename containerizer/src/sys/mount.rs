//! Mounts and their namespaces.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

/// A new mount of a new file system; an option's key alone is a flag. fsopen(2), fsconfig(2), fsmount(2).
pub fn detached_mount(
    fstype: &str,
    source: &str,
    options: &[(String, Option<String>)],
) -> io::Result<OwnedFd> {
    /// linux/mount.h
    const FSCONFIG_SET_FLAG: libc::c_uint = 0;
    const FSCONFIG_SET_STRING: libc::c_uint = 1;
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    const CLOEXEC: libc::c_uint = 1;
    let made = |fd: libc::c_long| match fd {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just made this descriptor for us.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
    };
    let fstype = CString::new(fstype)?;
    // SAFETY: the name ends with null, and outlives the call.
    let context = made(unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), CLOEXEC) })?;
    let configure = |command: libc::c_uint, key: Option<&str>, value: Option<&str>| {
        let (key, value) = (text(key)?, text(value)?);
        let pointer =
            |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |t| t.as_ptr());
        let (key_at, value_at) = (pointer(&key), pointer(&value));
        let fd = context.as_raw_fd();
        // SAFETY: key and value are null, or end with null and outlive the call.
        match unsafe { libc::syscall(libc::SYS_fsconfig, fd, command, key_at, value_at, 0) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    configure(FSCONFIG_SET_STRING, Some("source"), Some(source))?;
    for (key, value) in options {
        let command = match value {
            Some(_) => FSCONFIG_SET_STRING,
            None => FSCONFIG_SET_FLAG,
        };
        configure(command, Some(key), value.as_deref())?;
    }
    configure(FSCONFIG_CMD_CREATE, None, None)?;
    // SAFETY: numbers only.
    made(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, 0) })
}

fn text(text: Option<&str>) -> io::Result<Option<CString>> {
    Ok(text.map(CString::new).transpose()?)
}

/// The mount namespace that a process is in. Errors: `ESRCH` once it has ended; `ENOTTY` before Linux 6.11.
pub fn mount_namespace(pidfd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// linux/pidfd.h
    const PIDFD_GET_MNT_NAMESPACE: libc::c_ulong = 0xff03;
    // SAFETY: this request takes no argument and changes nothing.
    let fd = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_MNT_NAMESPACE, 0) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
