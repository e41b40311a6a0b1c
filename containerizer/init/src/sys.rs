//! System calls that std has no safe function for: one thin function each, owned descriptors out.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use init::{Instruction, NEW_LISTENER, Scheduler, Sender};

fn check(ret: libc::c_long) -> io::Result<libc::c_long> {
    if ret == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// Wraps a descriptor that the kernel has just handed out.
fn owned(ret: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check(ret)? as RawFd;
    // SAFETY: the call that returned `fd` created it for us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A path or name for the kernel. The containerizer refuses NUL bytes before they come here.
pub fn c_string(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(|_nul| io::Error::from_raw_os_error(libc::EINVAL))
}

pub fn write(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length describe `bytes`, which outlives the call.
    let ret = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    check(ret as libc::c_long).map(|n| n as usize)
}

/// 0 at the end.
pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length describe `buffer`, which is ours alone for the call.
    let ret = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    check(ret as libc::c_long).map(|n| n as usize)
}

/// One message, whole. Errors: `EPIPE` when nobody can hear it any more; no signal comes of that.
pub fn send(socket: RawFd, message: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and length describe `message`, which outlives the call.
    let ret = unsafe {
        libc::send(
            socket,
            message.as_ptr().cast(),
            message.len(),
            libc::MSG_NOSIGNAL,
        )
    };
    check(ret as libc::c_long).map(drop)
}

/// The next message, of at most `longest` bytes; empty when the other end is closed.
pub fn receive(socket: RawFd, longest: usize) -> io::Result<Vec<u8>> {
    let mut message = vec![0; longest];
    // SAFETY: the pointer and length describe `message`, which outlives the call.
    let ret = unsafe { libc::recv(socket, message.as_mut_ptr().cast(), longest, 0) };
    let length = check(ret as libc::c_long)?;
    message.truncate(length as usize);
    Ok(message)
}

/// Sends a copy of the descriptor `number` along with `name`, which must not be empty. unix(7), SCM_RIGHTS.
pub fn send_descriptor(socket: RawFd, number: RawFd, name: &[u8]) -> io::Result<()> {
    let mut part = libc::iovec {
        iov_base: name.as_ptr().cast_mut().cast(),
        iov_len: name.len(),
    };
    // Of u64, for a control message must be aligned.
    let mut control = [0_u64; 4];
    // SAFETY: the control buffer holds one header and one descriptor; the message's pointers are to
    // locals that outlive the call, and the kernel only reads them.
    let ret = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        libc::CMSG_DATA(header)
            .cast::<RawFd>()
            .write_unaligned(number);
        libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL)
    };
    check(ret as libc::c_long).map(drop)
}

/// The next connection to a socket that listens.
pub fn accept(socket: RawFd) -> io::Result<OwnedFd> {
    let null = std::ptr::null_mut();
    // SAFETY: null pointers ask for no address.
    owned(unsafe { libc::accept4(socket, null, null.cast(), libc::SOCK_CLOEXEC) }.into())
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

/// A file in memory, without a name.
pub fn memory_file() -> io::Result<OwnedFd> {
    // SAFETY: the name is a string that ends with NUL.
    owned(unsafe { libc::memfd_create(c"longshore".as_ptr(), libc::MFD_CLOEXEC) }.into())
}

pub const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;

/// f_type of fstatfs(2).
pub fn file_system_type(fd: BorrowedFd<'_>) -> io::Result<i64> {
    let mut status = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: fstatfs fills the struct when it succeeds.
    unsafe {
        check(libc::fstatfs(fd.as_raw_fd(), status.as_mut_ptr()).into())?;
        Ok(status.assume_init().f_type as _)
    }
}

/// f_flag of fstatvfs(3): of the mount, and read-only also where its file system is.
pub fn mount_flags(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut status = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: fstatvfs fills the struct when it succeeds.
    unsafe {
        check(libc::fstatvfs(fd.as_raw_fd(), status.as_mut_ptr()).into())?;
        Ok(status.assume_init().f_flag)
    }
}

/// The terminal behind a newly opened multiplexer, made ready for use. ioctl_tty(2), Linux 4.13.
pub fn terminal_of(multiplexer: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const TIOCGPTPEER: u64 = 0x5441;
    let unlocked: libc::c_int = 0;
    let fd = multiplexer.as_raw_fd();
    // SAFETY: TIOCSPTLCK reads a number, TIOCGPTPEER takes flags.
    unsafe {
        check(libc::ioctl(fd, libc::TIOCSPTLCK as _, &raw const unlocked).into())?;
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        owned(libc::ioctl(fd, TIOCGPTPEER as _, flags).into())
    }
}

/// A newline stays one. termios(3), ONLCR.
pub fn end_lines_plainly(terminal: BorrowedFd<'_>) -> io::Result<()> {
    let mut settings = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: tcgetattr fills the struct when it succeeds, and tcsetattr reads it.
    unsafe {
        check(libc::tcgetattr(terminal.as_raw_fd(), settings.as_mut_ptr()).into())?;
        let mut settings = settings.assume_init();
        settings.c_oflag &= !libc::ONLCR;
        check(libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, &raw const settings).into())
            .map(drop)
    }
}

pub fn set_window_size(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCSWINSZ reads the struct, which outlives the call.
    check(
        unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ as _, &raw const size) }.into(),
    )
    .map(drop)
}

/// Makes `uid` the owner of an open file; its group stays.
pub fn give_to(file: BorrowedFd<'_>, uid: u32) -> io::Result<()> {
    // SAFETY: fchown(2) takes numbers.
    check(unsafe { libc::fchown(file.as_raw_fd(), uid, u32::MAX) }.into()).map(drop)
}

pub fn close(fd: RawFd) {
    // SAFETY: callers pass numbers of `init::fd` that no owned descriptor of ours wraps.
    unsafe { libc::close(fd) };
}

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

/// Makes the terminal at standard input control this session, which has none yet. tty_ioctl(4).
pub fn control_by_stdin() -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes a number; 0 takes the terminal from nobody.
    check(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) }.into()).map(drop)
}

/// All from `first` on are closed by an exec, whoever forgot to mark them. Linux 5.11.
pub fn close_on_exec_from(first: u32) {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: the flags of descriptors touch no memory.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) };
}

pub fn close_from(first: u32) {
    // SAFETY: at this point of start-up no owned descriptor has such a number. close_range(2), 5.9.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

pub fn set_dumpable(dumpable: bool) -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, [u64::from(dumpable), 0, 0, 0])
}

pub fn prctl(option: i32, args: [u64; 4]) -> io::Result<()> {
    // SAFETY: every option used here takes plain numbers, none a pointer. prctl(2).
    let ret = unsafe { libc::prctl(option, args[0], args[1], args[2], args[3]) };
    check(ret.into()).map(drop)
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

fn all_signals() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the whole set it is given.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn set_signal_mask(set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `set` is initialised, and a null old set asks for nothing back.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, set, std::ptr::null_mut()) }.into())
        .map(drop)
}

pub fn block_all_signals() -> io::Result<()> {
    set_signal_mask(&all_signals())
}

pub fn unblock_all_signals() -> io::Result<()> {
    let mut set = all_signals();
    // SAFETY: `set` is initialised.
    unsafe { libc::sigemptyset(&mut set) };
    set_signal_mask(&set)
}

/// Undoes what exec keeps of the agent's: signals it ignores (Rust ignores SIGPIPE).
pub fn reset_signal_handlers() {
    /// The kernel's struct sigaction: handler, flags, restorer, mask. All zero means SIG_DFL.
    const DEFAULT: [u64; 4] = [0; 4];
    const MASK_SIZE: usize = 8;
    for signal in 1..=64 {
        // Not signal(3): the C library keeps 32 and 33 to itself.
        // SAFETY: DEFAULT outlives the call and installs no code of ours; a null old action asks for
        // nothing back. SIGKILL and SIGSTOP are refused, which is fine.
        unsafe {
            let old = std::ptr::null_mut::<u64>();
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT.as_ptr(),
                old,
                MASK_SIZE,
            )
        };
    }
}

/// Waits for any blocked signal, and says who sent it; `None` when the wait was interrupted.
pub fn wait_for_signal() -> Option<Sender> {
    let set = all_signals();
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: `set` is initialised, and `info` outlives the call.
    let signal = unsafe { libc::sigwaitinfo(&set, info.as_mut_ptr()) };
    // SAFETY: all of it zero is a valid siginfo_t, whatever sigwaitinfo has put there since.
    let info = unsafe { info.assume_init() };
    // SAFETY: these two are numbers at the same place for every signal that somebody sent; for others
    // `Sender` does not look at them.
    let (pid, uid) = unsafe { (info.si_pid(), info.si_uid()) };
    (signal > 0).then_some(Sender {
        signal,
        code: info.si_code,
        pid,
        uid,
    })
}

/// Waits until `socket` is readable: `None`; or until one of the blocked `signals` has come.
pub fn wait_for_either(socket: RawFd, signals: &[i32]) -> io::Result<Option<i32>> {
    let mut set = all_signals();
    // SAFETY: `set` is initialised.
    unsafe { libc::sigemptyset(&mut set) };
    for signal in signals {
        // SAFETY: as above.
        unsafe { libc::sigaddset(&mut set, *signal) };
    }
    let come = signalfd(&set)?;
    if let (_, false) = wait_for_one_of(socket, come.as_raw_fd())? {
        return Ok(None);
    }
    let mut info = std::mem::MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: read(2) fills the whole struct when it succeeds, as signalfd(2) promises.
    unsafe {
        check(libc::read(come.as_raw_fd(), info.as_mut_ptr().cast(), size) as libc::c_long)?;
        Ok(Some(info.assume_init().ssi_signo as i32))
    }
}

/// Readable while any blocked signal waits for [`wait_for_signal`].
pub fn signal_descriptor() -> io::Result<OwnedFd> {
    signalfd(&all_signals())
}

fn signalfd(set: &libc::sigset_t) -> io::Result<OwnedFd> {
    // SAFETY: `set` is initialised and outlives the call.
    owned(unsafe { libc::signalfd(-1, set, libc::SFD_CLOEXEC) }.into())
}

/// Waits for two descriptors: which of them is readable, or has hung up. poll(2).
pub fn wait_for_one_of(one: RawFd, other: RawFd) -> io::Result<(bool, bool)> {
    let of = |fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let mut both = [of(one), of(other)];
    loop {
        // SAFETY: the pointer and length describe `both`, which outlives the call.
        match check(unsafe { libc::poll(both.as_mut_ptr(), 2, -1) }.into()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            polled => {
                polled?;
                return Ok((both[0].revents != 0, both[1].revents != 0));
            }
        }
    }
}

/// In the pid namespace that it is in.
pub fn own_pid() -> i32 {
    // SAFETY: getpid touches no memory and cannot fail.
    unsafe { libc::getpid() }
}

/// `pid` -1: every process of this pid namespace but this one; any other below 0: the process group of
/// that number. kill(2).
pub fn kill(pid: i32, signal: i32) {
    // SAFETY: kill touches no memory. A process that is gone already is no error for us.
    unsafe { libc::kill(pid, signal) };
}

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

/// Until killed.
pub fn sleep() -> ! {
    loop {
        // SAFETY: pause(2) touches no memory.
        unsafe { libc::pause() };
    }
}

/// Read and write end.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: the kernel fills both numbers.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }.into())?;
    // SAFETY: the kernel has just made them for us.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// One child that has ended, with its raw wait status; `None` when none has.
pub fn reap() -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

pub fn exit(code: i32) -> ! {
    // SAFETY: _exit does not return and runs no handlers.
    unsafe { libc::_exit(code) }
}

/// Of those that the cgroup allows. sched_setaffinity(2).
pub fn use_all_processors() -> io::Result<()> {
    let all = [u64::MAX; 128];
    // SAFETY: the mask is as long as its size says, and outlives the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_sched_setaffinity,
            0,
            size_of_val(&all),
            all.as_ptr(),
        )
    })
    .map(drop)
}

pub fn setsid() {
    // SAFETY: setsid touches no memory; failing means that we lead a session already.
    unsafe { libc::setsid() };
}

pub fn unshare(flags: u32) -> io::Result<()> {
    // SAFETY: unshare(2) takes flags only.
    check(unsafe { libc::unshare(flags as i32) }.into()).map(drop)
}

pub fn setns(fd: BorrowedFd<'_>, flag: u32) -> io::Result<()> {
    // SAFETY: `fd` stays open for the call.
    check(unsafe { libc::setns(fd.as_raw_fd(), flag as i32) }.into()).map(drop)
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

/// mount(2) without source, type and data: for propagation and plain binds.
pub fn mount(source: Option<&str>, target: &str, flags: u64) -> io::Result<()> {
    let source = source.map(c_string).transpose()?;
    let target = c_string(target)?;
    let source = source.as_ref().map_or(std::ptr::null(), |s| s.as_ptr());
    // SAFETY: both strings outlive the call; null type and data are what these flags expect.
    check(
        unsafe {
            libc::mount(
                source,
                target.as_ptr(),
                std::ptr::null(),
                flags,
                std::ptr::null(),
            )
        }
        .into(),
    )
    .map(drop)
}

/// Stacks the old root on `.`; see pivot_root(2) for why "." twice is right.
pub fn pivot_root_here() -> io::Result<()> {
    let here = c".";
    // SAFETY: constant strings.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, here.as_ptr(), here.as_ptr()) }).map(drop)
}

/// Makes `.` the root of this process.
pub fn change_root_here() -> io::Result<()> {
    // SAFETY: a constant string.
    check(unsafe { libc::chroot(c".".as_ptr()) }.into()).map(drop)
}

pub fn detach(path: &str) -> io::Result<()> {
    let path = c_string(path)?;
    // SAFETY: the string outlives the call.
    check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) }.into()).map(drop)
}

pub fn unlinkat(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: the string outlives the call.
    check(unsafe { libc::unlinkat(parent.as_raw_fd(), name.as_ptr(), 0) }.into()).map(drop)
}

pub fn rmdirat(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: the string outlives the call.
    check(unsafe { libc::unlinkat(parent.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR) }.into())
        .map(drop)
}

/// A session keyring of its own: whoever shares one possesses the keys in it. keyctl(2).
pub fn join_new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    let unnamed = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for an anonymous keyring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, unnamed) })
        .map(drop)
}

pub fn fchdir(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: `fd` stays open for the call.
    check(unsafe { libc::fchdir(fd.as_raw_fd()) }.into()).map(drop)
}

pub fn chdir(path: &str) -> io::Result<()> {
    let path = c_string(path)?;
    // SAFETY: the string outlives the call.
    check(unsafe { libc::chdir(path.as_ptr()) }.into()).map(drop)
}

/// Whether the working directory lies below this process' root. getcwd(2) tells it by its first byte.
pub fn is_inside() -> io::Result<bool> {
    let mut path = [0_u8; libc::PATH_MAX as usize];
    // SAFETY: pointer and length describe `path`.
    check(unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) })?;
    Ok(path[0] == b'/')
}

/// openat2(2), Linux 5.6. `root` None means the current directory's file system view.
pub fn openat2(root: BorrowedFd<'_>, path: &str, flags: i32, resolve: u64) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    // SAFETY: an all-zero open_how is valid; the kernel checks the size we pass.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    if flags & libc::O_CREAT != 0 {
        how.mode = 0o600;
    }
    how.resolve = resolve;
    // SAFETY: path and `how` outlive the call, and the size is that of `how`.
    owned(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            root.as_raw_fd(),
            path.as_ptr(),
            &how,
            size_of::<libc::open_how>(),
        )
    })
}

pub fn mkdirat(parent: BorrowedFd<'_>, name: &str, mode: u32) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: the string outlives the call.
    check(unsafe { libc::mkdirat(parent.as_raw_fd(), name.as_ptr(), mode as libc::mode_t) }.into())
        .map(drop)
}

/// mknod(2); with `mode` S_IFREG it makes an empty file.
pub fn mknodat(parent: BorrowedFd<'_>, name: &str, mode: u32, device: u64) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: the string outlives the call.
    let ret = unsafe {
        libc::mknodat(
            parent.as_raw_fd(),
            name.as_ptr(),
            mode as libc::mode_t,
            device,
        )
    };
    check(ret.into()).map(drop)
}

pub fn chownat(parent: BorrowedFd<'_>, name: &str, uid: u32, gid: u32) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: the string outlives the call.
    let ret = unsafe {
        libc::fchownat(
            parent.as_raw_fd(),
            name.as_ptr(),
            uid,
            gid,
            libc::AT_SYMLINK_NOFOLLOW,
        )
    };
    check(ret.into()).map(drop)
}

/// Not through links: a new file of our own making, below `parent`.
pub fn chmodat(parent: BorrowedFd<'_>, name: &str, mode: u32) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: the string outlives the call.
    let ret = unsafe { libc::fchmodat(parent.as_raw_fd(), name.as_ptr(), mode as libc::mode_t, 0) };
    check(ret.into()).map(drop)
}

pub fn symlinkat(to: &str, parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let (to, name) = (c_string(to)?, c_string(name)?);
    // SAFETY: both strings outlive the call.
    check(unsafe { libc::symlinkat(to.as_ptr(), parent.as_raw_fd(), name.as_ptr()) }.into())
        .map(drop)
}

/// Errors: `EINVAL` for what is no link, `EILSEQ` for one that is not UTF-8.
pub fn readlinkat(parent: BorrowedFd<'_>, name: &str) -> io::Result<String> {
    let name = c_string(name)?;
    let mut to = vec![0_u8; libc::PATH_MAX as usize];
    // SAFETY: the string outlives the call; pointer and length describe `to`.
    let ret = unsafe {
        libc::readlinkat(
            parent.as_raw_fd(),
            name.as_ptr(),
            to.as_mut_ptr().cast(),
            to.len(),
        )
    };
    to.truncate(check(ret as libc::c_long)? as usize);
    String::from_utf8(to).map_err(|_utf8| io::Error::from_raw_os_error(libc::EILSEQ))
}

/// open_tree(2) with OPEN_TREE_CLONE: a detached copy of the mount(s) at `path` below `dir`, or of
/// `dir` itself when `path` is empty.
pub fn clone_tree(dir: RawFd, path: &str, recursive: bool) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    let mut flags = libc::OPEN_TREE_CLONE
        | libc::OPEN_TREE_CLOEXEC
        | (libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW) as u32;
    if recursive {
        flags |= libc::AT_RECURSIVE as u32;
    }
    // SAFETY: the string outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, dir, path.as_ptr(), flags) })
}

/// move_mount(2): puts the mount behind `from` on `name` below `to` (on `to` itself when empty).
pub fn move_mount(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    const F_EMPTY_PATH: u32 = 0x04;
    const T_EMPTY_PATH: u32 = 0x40;
    let name = c_string(name)?;
    // SAFETY: the strings outlive the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            from.as_raw_fd(),
            c"".as_ptr(),
            to.as_raw_fd(),
            name.as_ptr(),
            F_EMPTY_PATH | T_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// mount_setattr(2), Linux 5.12, on the mount behind `fd`. `propagation` 0 leaves it as it is.
pub fn mount_setattr(
    fd: BorrowedFd<'_>,
    set: u64,
    clear: u64,
    propagation: u64,
    recursive: bool,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation,
        userns_fd: 0,
    };
    set_attributes(fd, &attributes, recursive)
}

fn set_attributes(
    fd: BorrowedFd<'_>,
    attributes: &libc::mount_attr,
    recursive: bool,
) -> io::Result<()> {
    let recursive = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `attributes` outlives the call, and the size passed is its size.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            attributes,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// mount_setattr(2) with MOUNT_ATTR_IDMAP: owners on the tree behind `tree`, which must not be mounted
/// yet, are seen through the maps of `namespace`. Linux 5.12.
///
/// Errors: `EINVAL` for a file system that cannot.
pub fn idmap(tree: BorrowedFd<'_>, namespace: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
    let attributes = libc::mount_attr {
        attr_set: MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace.as_raw_fd() as u64,
    };
    set_attributes(tree, &attributes, recursive)
}

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

/// seccomp(2): from now on `filter` decides about every system call of this process. Linux 3.17.
/// With SECCOMP_FILTER_FLAG_NEW_LISTENER (5.0) returns what tells of its questions, closed by an exec. A
/// bare number, for closing it is a system call that the filter decides about.
///
/// Errors: `EACCES` without no_new_privs and CAP_SYS_ADMIN, `EINVAL` for a program that the kernel's
/// checker refuses or a flag it does not know.
pub fn install_filter(filter: &[Instruction], flags: u32) -> io::Result<Option<RawFd>> {
    const SET_MODE_FILTER: libc::c_uint = 1;
    let len = libc::c_ushort::try_from(filter.len())
        .map_err(|_too_long| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = libc::sock_fprog {
        len,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `Instruction` has the layout of sock_filter, `len` counts those in `filter`, which
    // outlives the call, and the kernel copies them without writing to them.
    let ret = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &program) };
    let listener = check(ret)? as RawFd;
    Ok((flags & NEW_LISTENER != 0).then_some(listener))
}

pub fn set_personality(personality: u64) -> io::Result<()> {
    // SAFETY: personality(2) takes a number only.
    check(unsafe { libc::personality(personality as libc::c_ulong) }.into()).map(drop)
}

/// Of this process. `priority`: class and level, as ioprio_set(2) takes them.
pub fn set_io_priority(priority: u32) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    // SAFETY: it takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) }).map(drop)
}

/// Of this process, kept over an exec. `mode`: MPOL_* with its flags. set_mempolicy(2).
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> io::Result<()> {
    let (mask, words) = match nodes {
        [] => (std::ptr::null(), 0),
        nodes => (nodes.as_ptr(), nodes.len()),
    };
    // The kernel takes it for one more than the bits that it reads.
    let bits = words * u64::BITS as usize + 1;
    // SAFETY: it reads `bits` - 1 bits, which is all of `nodes`, and nothing behind null.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}

/// sched_setattr(2) of this process.
pub fn set_scheduler(scheduler: &Scheduler) -> io::Result<()> {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: scheduler.policy,
        sched_flags: scheduler.flags,
        sched_nice: scheduler.nice,
        sched_priority: scheduler.priority,
        sched_runtime: scheduler.runtime,
        sched_deadline: scheduler.deadline,
        sched_period: scheduler.period,
    };
    // SAFETY: `attributes` outlives the call and says its own size.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &attributes, 0) }).map(drop)
}

/// Of getrlimit(2).
pub fn hard_rlimit(resource: u32) -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::getrlimit(resource as _, &mut limit) }.into())?;
    Ok(limit.rlim_max)
}

pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::setrlimit(resource as _, &limit) }.into()).map(drop)
}

/// Supplementary groups, group and user, in the order that keeps the right to do the next.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    set_groups(groups)?;
    // SAFETY: these take numbers only.
    unsafe {
        check(libc::setresgid(gid, gid, gid).into())?;
        check(libc::setresuid(uid, uid, uid).into())?;
    }
    Ok(())
}

/// Where a user namespace forbids it (user_namespaces(7), "setgroups"), having none is still possible.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: pointer and length describe `groups`.
    match check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }.into()) {
        Err(e) if e.raw_os_error() == Some(libc::EPERM) && groups.is_empty() => {
            // SAFETY: with size 0 it only counts.
            match unsafe { libc::getgroups(0, std::ptr::null_mut()) } {
                0 => Ok(()),
                _ => Err(e),
            }
        }
        done => done.map(drop),
    }
}

/// capset(2), version 3: two words per set.
pub fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    let word = |shift: u32| Data {
        effective: (effective >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: (inheritable >> shift) as u32,
    };
    let data = [word(0), word(32)];
    // SAFETY: header and data have the layout of version 3 and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &header, data.as_ptr()) }).map(drop)
}

/// Arguments and environment in the kernel's form, so that between a filter and the exec nothing is
/// left to allocate.
pub struct Arguments {
    // The pointers lead into these strings.
    _strings: Vec<CString>,
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
}

impl Arguments {
    pub fn new(argv: &[String], env: &[String]) -> io::Result<Self> {
        let strings: Vec<CString> = argv
            .iter()
            .chain(env)
            .map(|s| c_string(s))
            .collect::<io::Result<_>>()?;
        let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
            list.iter()
                .map(|s| s.as_ptr())
                .chain([std::ptr::null()])
                .collect()
        };
        let (argv, env) = strings.split_at(argv.len());
        let (argv, env) = (pointers(argv), pointers(env));
        Ok(Self {
            _strings: strings,
            argv,
            env,
        })
    }
}

/// For the user and group that we are. Errors: `ENOENT`, `EACCES`.
pub fn is_executable(path: &CStr) -> io::Result<()> {
    let directory = libc::AT_FDCWD;
    // SAFETY: the path ends with NUL.
    check(unsafe { libc::faccessat(directory, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) }.into())
        .map(drop)
}

/// Returns only on failure.
pub fn execve(path: &CStr, arguments: &Arguments) -> io::Error {
    let Arguments { argv, env, .. } = arguments;
    // SAFETY: both arrays end with null, and `arguments` owns the strings they point to.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}
