//! Processes by a descriptor, which no other process can take over as it could a pid.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

/// A descriptor for a process that need not be ours. Errors: `ESRCH` when it is gone. Linux 5.3.
pub fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// A descriptor of another process. Errors: `EBADF`; `EPERM` for who may not trace it. Linux 5.6.
pub fn pidfd_getfd(pidfd: &OwnedFd, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_getfd(2) takes numbers only, and `pidfd` is open for the call.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sends `signal` to the process behind `pidfd`, which cannot be a recycled pid.
///
/// Errors: `ESRCH` once the process has been reaped. Linux 5.1, pidfd_send_signal(2).
pub fn pidfd_send_signal(pidfd: &OwnedFd, signal: i32) -> io::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: borrowing keeps `pidfd` open for the call, and the kernel reads a null `info` as "what
    // kill(2) would send" and keeps no pointer after returning.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            info,
            0,
        )
    };
    if ret == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Waits for a child of ours to end and reaps it: its si_code and si_status. `None` for the child of
/// another process (after a restart of ours), which that one reaps. Linux 5.4.
pub fn wait(pidfd: &OwnedFd) -> Option<(i32, i32)> {
    waitid(pidfd, 0)
}

/// The same without waiting: `None` also when it has not ended.
pub fn reap(pidfd: &OwnedFd) -> Option<(i32, i32)> {
    waitid(pidfd, libc::WNOHANG)
}

fn waitid(pidfd: &OwnedFd, options: i32) -> Option<(i32, i32)> {
    let options = libc::WEXITED | libc::__WALL | options;
    loop {
        // SAFETY: an all-zero siginfo_t is valid for the kernel to fill.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let fd = pidfd.as_raw_fd() as libc::id_t;
        // SAFETY: `info` outlives the call and `pidfd` is open.
        match unsafe { libc::waitid(libc::P_PIDFD, fd, &mut info, options) } {
            // With WNOHANG and nothing to tell, the kernel leaves it empty.
            0 if info.si_code == 0 => return None,
            // SAFETY: waitid filled `info` as for SIGCHLD.
            0 => return Some((info.si_code, unsafe { info.si_status() })),
            _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            _ => return None,
        }
    }
}
