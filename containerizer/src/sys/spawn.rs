//! Starting a process in new namespaces: clone3(2), then execveat(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use crate::places::Places;

use super::pidfd::wait;

/// What a new process shall be.
pub struct Spawn<'a> {
    /// The program: an open file, run by execveat(2).
    pub exe: BorrowedFd<'a>,
    pub places: &'a Places,
    /// The only argument, its name.
    pub name: &'a CStr,
    /// Descriptors and the numbers they get, in ascending order of numbers from 0 without gaps.
    pub descriptors: &'a [BorrowedFd<'a>],
    /// CLONE_NEW* flags.
    pub namespaces: u64,
    /// A cgroup v2 directory that the process starts in.
    pub cgroup: Option<BorrowedFd<'a>>,
}

pub struct Spawned {
    /// In our pid namespace.
    pub pid: u32,
    pub pidfd: OwnedFd,
}

/// What the child works on. It lives on the parent's stack; the parent sleeps until the exec.
struct Child {
    exe: RawFd,
    name: *const libc::c_char,
    /// Numbers above all targets, so that no move hits one that is still needed.
    sources: *const RawFd,
    count: usize,
    /// Above all sources, and `exe`.
    end: RawFd,
    /// Set by the child when something fails: it shares our memory.
    errno: i32,
}

const STACK: usize = 32 * 1024;

/// Starts a process that shares nothing with this one but, until its exec, the memory: like
/// vfork(2), so the cost does not grow with the size of the agent; nor with the number of its open
/// descriptors.
///
/// Errors: those of clone3(2) and execveat(2), e.g. `EPERM` without CAP_SYS_ADMIN.
pub fn spawn(spawn: &Spawn<'_>) -> io::Result<Spawned> {
    let all = [spawn.descriptors, &[spawn.exe]].concat();
    let taken = spawn.places.take(&all)?;
    let mut sources: Vec<RawFd> = taken.numbers().collect();
    let end = sources.iter().max().map_or(0, |last| last + 1);
    let exe = sources.pop().unwrap_or_default();
    let mut child = Child {
        exe,
        name: spawn.name.as_ptr(),
        sources: sources.as_ptr(),
        count: sources.len(),
        end,
        errno: 0,
    };
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let mut pidfd: RawFd = -1;
    // SAFETY: an all-zero clone_args asks for nothing.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    let shared = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES;
    args.flags = spawn.namespaces | (libc::CLONE_PIDFD | shared) as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    args.stack = stack.as_mut_ptr() as u64;
    args.stack_size = STACK as u64;
    if let Some(cgroup) = spawn.cgroup {
        const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // A signal handler of ours must not run in the child, on our memory.
    let old = block_signals();
    // SAFETY: `args` names a stack and a pidfd slot that outlive the call; `child` and all it points
    // to do so too, and the kernel does not resume us before the child has exec'ed or ended.
    let ret = unsafe { clone3(&args, child_main, &raw mut child) };
    restore_signals(&old);
    if ret < 0 {
        return Err(io::Error::from_raw_os_error(-ret as i32));
    }
    // SAFETY: with CLONE_PIDFD a successful clone3 stored a new descriptor there.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    if child.errno != 0 {
        wait(&pidfd);
        return Err(io::Error::from_raw_os_error(child.errno));
    }
    Ok(Spawned {
        pid: ret as u32,
        pidfd,
    })
}

/// clone3(2), where the child runs `entry(child)` on the stack in `args`. Returns the pid or a
/// negated errno.
///
/// # Safety
/// `args` must be valid for clone3 with CLONE_VM and CLONE_VFORK, its stack unused and large enough
/// for `entry`, which must not return; `child` must stay valid until the call returns.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(
    args: *const libc::clone_args,
    entry: extern "C" fn(*mut Child) -> !,
    child: *mut Child,
) -> i64 {
    let ret: i64;
    // SAFETY: the parent's path only makes the call. The child's path never comes back: it has a
    // stack of its own, aligned for a call, and `entry` does not return.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, {child}",
            "and rsp, -16",
            "call {entry}",
            "ud2",
            "2:",
            child = in(reg) child,
            entry = in(reg) entry,
            inlateout("rax") libc::SYS_clone3 => ret,
            in("rdi") args,
            in("rsi") size_of::<libc::clone_args>(),
            out("rcx") _,
            out("r11") _,
        );
    }
    ret
}

/// The same for processors without assembly here: a copy of the address space instead of sharing it.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn clone3(
    args: *const libc::clone_args,
    entry: extern "C" fn(*mut Child) -> !,
    child: *mut Child,
) -> i64 {
    // SAFETY: without CLONE_VM the child returns here on its own copy of this very stack.
    unsafe {
        let mut args = *args;
        // Not CLONE_VFORK: until it has exec'ed, its descriptors are those that lie in our places.
        args.flags &= !(libc::CLONE_VM as u64);
        (args.stack, args.stack_size) = (0, 0);
        match libc::syscall(libc::SYS_clone3, &args, size_of::<libc::clone_args>()) {
            -1 => -i64::from(
                io::Error::last_os_error()
                    .raw_os_error()
                    .unwrap_or(libc::EIO),
            ),
            0 => entry(child),
            pid => pid,
        }
    }
}

/// Between clone and exec: only system calls, on data prepared by the parent.
extern "C" fn child_main(child: *mut Child) -> ! {
    // SAFETY: the parent keeps `child` and everything it points to alive and untouched until we have
    // exec'ed or ended; both arrays below end with null.
    unsafe {
        let child = &mut *child;
        // Until here the table of descriptors is that of our parent: it must not be changed before.
        let unshare = libc::CLOSE_RANGE_UNSHARE;
        if libc::syscall(libc::SYS_close_range, child.end, libc::c_uint::MAX, unshare) == -1 {
            child.errno = *libc::__errno_location();
            libc::_exit(127);
        }
        let mut target = 0;
        while target < child.count {
            // Not dup2: a source is never its own target, and dup3 clears close-on-exec.
            if libc::dup3(*child.sources.add(target), target as RawFd, 0) == -1 {
                child.errno = *libc::__errno_location();
                libc::_exit(127);
            }
            target += 1;
        }
        let argv = [child.name, std::ptr::null()];
        let envp: [*const libc::c_char; 1] = [std::ptr::null()];
        libc::syscall(
            libc::SYS_execveat,
            child.exe,
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
        child.errno = *libc::__errno_location();
        libc::_exit(127)
    }
}

fn block_signals() -> libc::sigset_t {
    let mut old = std::mem::MaybeUninit::uninit();
    let mut all = std::mem::MaybeUninit::uninit();
    // SAFETY: sigfillset and pthread_sigmask initialise the sets they are given.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
        old.assume_init()
    }
}

fn restore_signals(old: &libc::sigset_t) {
    // SAFETY: `old` is a set that pthread_sigmask itself gave out.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old, std::ptr::null_mut()) };
}
