//! The only unsafe code of this crate: starting a process in new namespaces, pidfds, and bpf(2).
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::places::Places;

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
        args.flags &= !((libc::CLONE_VM | libc::CLONE_VFORK) as u64);
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

/// Brings up the loopback interface of this thread's network namespace. netdevice(7).
pub fn loopback_up() -> io::Result<()> {
    // SAFETY: socket(2) takes numbers, and its descriptor is ours alone.
    let socket = unsafe {
        match libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) {
            -1 => return Err(io::Error::last_os_error()),
            fd => OwnedFd::from_raw_fd(fd),
        }
    };
    // SAFETY: an all-zero ifreq names no interface and has no flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads the request, which outlives the call.
    match unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Gives the kernel what the allocator holds and nobody uses. malloc_trim(3), which is glibc's alone;
/// others give it back by themselves.
pub fn release_unused_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, and locks each arena while it looks at it.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// tty_ioctl(4). Errors: `ENOTTY`.
pub fn window_size(terminal: BorrowedFd<'_>) -> io::Result<libc::winsize> {
    let mut size = std::mem::MaybeUninit::uninit();
    // SAFETY: TIOCGWINSZ fills the struct, which outlives the call, when it succeeds.
    match unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: see above.
        _ => Ok(unsafe { size.assume_init() }),
    }
}

/// tty_ioctl(4). Errors: `ENOTTY`.
pub fn set_window_size(terminal: BorrowedFd<'_>, size: &libc::winsize) -> io::Result<()> {
    // SAFETY: TIOCSWINSZ reads the struct, which outlives the call.
    match unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, size) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

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

/// A new mount of a file system that needs no options, its source its own name. fsopen(2), fsmount(2).
pub fn detached_mount(fstype: &CStr) -> io::Result<OwnedFd> {
    /// linux/mount.h
    const FSCONFIG_SET_STRING: libc::c_uint = 1;
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    const CLOEXEC: libc::c_uint = 1;
    let made = |fd: libc::c_long| match fd {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just made this descriptor for us.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
    };
    // SAFETY: the name ends with null, and outlives the call.
    let context = made(unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), CLOEXEC) })?;
    let configure =
        |command: libc::c_uint, key: *const libc::c_char, value: *const libc::c_char| {
            let fd = context.as_raw_fd();
            // SAFETY: key and value are null, or end with null and outlive the call.
            match unsafe { libc::syscall(libc::SYS_fsconfig, fd, command, key, value, 0) } {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(()),
            }
        };
    configure(FSCONFIG_SET_STRING, c"source".as_ptr(), fstype.as_ptr())?;
    configure(FSCONFIG_CMD_CREATE, std::ptr::null(), std::ptr::null())?;
    // SAFETY: numbers only.
    made(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, 0) })
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

/// Lets tokio wait until `fd` is readable. Gives the descriptor back when it cannot.
pub fn readable(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>, (OwnedFd, io::Error)> {
    // SAFETY: an OwnedFd stays open and keeps its number until the AsyncFd drops it.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    registered.map_err(|error| error.into_parts())
}

/// linux/bpf.h: commands, and what limits the devices of a cgroup.
const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const BPF_PROG_DETACH: i32 = 9;
const BPF_PROG_GET_FD_BY_ID: i32 = 13;
const BPF_OBJ_GET_INFO_BY_FD: i32 = 15;
const BPF_PROG_QUERY: i32 = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// The beginning of `union bpf_attr` for each command; the kernel takes what is missing for zero.
#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

#[repr(C)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

#[repr(C)]
struct ById {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

#[repr(C)]
struct InfoByFd {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// The beginning of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    prog_type: u32,
    id: u32,
}

/// bpf(2) with its attributes.
///
/// # Safety
/// `attributes` must be those of `command`, and what they point to must be as large as they say and
/// live as long as the call.
unsafe fn bpf<T>(command: i32, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes no more of `attributes` than the size that it is told; the
    // caller vouches for the rest.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ret as i32)
}

/// Loads a program of type BPF_PROG_TYPE_CGROUP_DEVICE. Linux 4.15.
///
/// Errors: `EPERM` without CAP_SYS_ADMIN, `EINVAL` when the kernel's verifier refuses it, or the
/// kernel does not have the type.
pub fn load_device_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    let mut load = Load {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    // SAFETY: `insns` points to as many instructions of 8 bytes as `insn_cnt` says, and `license` to a
    // text that ends with NUL; both outlive the call.
    let fd = unsafe { bpf(BPF_PROG_LOAD, &mut load) }?;
    // SAFETY: the kernel has just made this descriptor for us; bpf(2) sets close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Beside those that are attached already. Errors: `EINVAL` when this one is.
pub fn attach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    attach_or_detach(BPF_PROG_ATTACH, cgroup, program, BPF_F_ALLOW_MULTI)
}

pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    attach_or_detach(BPF_PROG_DETACH, cgroup, program, 0)
}

fn attach_or_detach(
    command: i32,
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    attach_flags: u32,
) -> io::Result<()> {
    let mut attach = Attach {
        target_fd: cgroup.as_raw_fd() as u32,
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags,
    };
    // SAFETY: these are the attributes of both commands, and they hold numbers only.
    unsafe { bpf(command, &mut attach) }.map(drop)
}

/// Ids of the programs that are attached to this very cgroup.
pub fn attached_device_programs(cgroup: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    // As many as the kernel lets one cgroup have.
    let mut ids = [0_u32; 64];
    let mut query = Query {
        target_fd: cgroup.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: ids.len() as u32,
        padding: 0,
    };
    // SAFETY: `prog_ids` points to `prog_cnt` numbers, which outlive the call.
    unsafe { bpf(BPF_PROG_QUERY, &mut query) }?;
    Ok(ids.into_iter().take(query.prog_cnt as usize).collect())
}

/// Errors: `ENOENT` once it is gone. Needs CAP_SYS_ADMIN.
pub fn program_by_id(prog_id: u32) -> io::Result<OwnedFd> {
    let mut by_id = ById {
        prog_id,
        next_id: 0,
        open_flags: 0,
    };
    // SAFETY: the attributes hold numbers only.
    let fd = unsafe { bpf(BPF_PROG_GET_FD_BY_ID, &mut by_id) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub fn program_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = ProgramInfo::default();
    let mut by_fd = InfoByFd {
        bpf_fd: program.as_raw_fd() as u32,
        info_len: size_of::<ProgramInfo>() as u32,
        info: (&raw mut info) as u64,
    };
    // SAFETY: `info` points to as many bytes as `info_len` says, and outlives the call.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &mut by_fd) }?;
    Ok(info.id)
}
