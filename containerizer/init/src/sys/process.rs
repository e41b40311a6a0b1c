//! Processes that are made, waited for and ended, and what this one is.

use std::ffi::CStr;
use std::io;

use super::check;

/// The child gets `None`.
pub fn fork() -> io::Result<Option<i32>> {
    // SAFETY: this process has one thread, so the child may do all that the parent may.
    match check(unsafe { libc::fork() }.into())? {
        0 => Ok(None),
        pid => Ok(Some(pid as i32)),
    }
}

/// The same, but the new process is a child of our parent.
pub fn fork_sister() -> io::Result<Option<i32>> {
    fork_into(libc::CLONE_PARENT as u64)
}

/// fork(2) into new namespaces, by the CLONE_* flags of clone3(2). The child gets `None`.
pub fn fork_into(flags: u64) -> io::Result<Option<i32>> {
    // SAFETY: an all-zero clone_args asks for nothing.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags;
    // With CLONE_PARENT it is that of our own end.
    if flags & libc::CLONE_PARENT as u64 == 0 {
        args.exit_signal = libc::SIGCHLD as u64;
    }
    // SAFETY: without CLONE_VM the child goes on in a copy of this process, which has one thread.
    let ret = unsafe { libc::syscall(libc::SYS_clone3, &args, size_of::<libc::clone_args>()) };
    match check(ret)? {
        0 => Ok(None),
        pid => Ok(Some(pid as i32)),
    }
}

/// Waits for one child to end.
pub fn wait_for(pid: i32) {
    // SAFETY: a null status asks for nothing back.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}

/// One child that has ended, with its raw wait status; `None` when none has.
pub fn reap() -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

/// Until killed.
pub fn sleep() -> ! {
    loop {
        // SAFETY: pause(2) touches no memory.
        unsafe { libc::pause() };
    }
}

pub fn exit(code: i32) -> ! {
    // SAFETY: _exit does not return and runs no handlers.
    unsafe { libc::_exit(code) }
}

/// In the pid namespace that it is in.
pub fn own_pid() -> i32 {
    // SAFETY: getpid touches no memory and cannot fail.
    unsafe { libc::getpid() }
}

pub fn setsid() {
    // SAFETY: setsid touches no memory; failing means that we lead a session already.
    unsafe { libc::setsid() };
}

/// What ps shows; at most 15 bytes.
pub fn set_name(name: &CStr) {
    // SAFETY: PR_SET_NAME reads a string that ends with NUL.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

pub fn umask(mask: u32) {
    // SAFETY: umask(2) cannot fail and touches no memory.
    unsafe { libc::umask(mask as libc::mode_t) };
}

/// By the clock that never steps. 0 where there is none.
pub fn monotonic_nanoseconds() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
