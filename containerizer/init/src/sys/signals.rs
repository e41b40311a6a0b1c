//! Signals: blocked, waited for, sent.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use init::Sender;

use super::{check, owned};

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

/// Waits for any blocked signal, so many seconds at most, and says who sent it; `None` when there was none,
/// or the wait was interrupted.
pub fn wait_for_signal(seconds: Option<i64>) -> Option<Sender> {
    let set = all_signals();
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let timeout = seconds.map(|seconds| libc::timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    });
    let timeout = timeout
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `set` is initialised, `info` and the time outlive the call, and no time is for ever.
    let signal = unsafe { libc::sigtimedwait(&set, info.as_mut_ptr(), timeout) };
    // SAFETY: all of it zero is a valid siginfo_t, whatever sigwaitinfo has put there since.
    let info = unsafe { info.assume_init() };
    (signal > 0).then(|| sender(signal, &info))
}

fn sender(signal: i32, info: &libc::siginfo_t) -> Sender {
    // SAFETY: these two are numbers at the same place for every signal that somebody sent; for others
    // `Sender` does not look at them.
    let (pid, uid) = unsafe { (info.si_pid(), info.si_uid()) };
    Sender {
        signal,
        code: info.si_code,
        pid,
        uid,
    }
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

/// Readable while any blocked signal waits for [`wait_for_signal`].
pub fn signal_descriptor() -> io::Result<OwnedFd> {
    signalfd(&all_signals())
}

/// `pid` -1: every process of this pid namespace but this one; any other below 0: the process group of
/// that number. kill(2).
pub fn kill(pid: i32, signal: i32) {
    // SAFETY: kill touches no memory. A process that is gone already is no error for us.
    unsafe { libc::kill(pid, signal) };
}

/// Not of sigfillset(3): musl leaves out what it signals threads with, and with that what glibc's programs
/// call SIGRTMIN.
fn all_signals() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: a signal set is an array of bits, whatever the C library: all of them set is one.
    unsafe {
        set.as_mut_ptr().write_bytes(u8::MAX, 1);
        set.assume_init()
    }
}

fn set_signal_mask(set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `set` is initialised, and a null old set asks for nothing back.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, set, std::ptr::null_mut()) }.into())
        .map(drop)
}

fn signalfd(set: &libc::sigset_t) -> io::Result<OwnedFd> {
    // SAFETY: `set` is initialised and outlives the call.
    owned(unsafe { libc::signalfd(-1, set, libc::SFD_CLOEXEC) }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_in_the_set_of_all() {
        let set = all_signals();
        // SAFETY: every byte of it is written, and it lives.
        let bytes =
            unsafe { std::slice::from_raw_parts((&raw const set).cast::<u8>(), size_of_val(&set)) };
        assert!(bytes.len() * 8 >= 64 && bytes.iter().all(|byte| *byte == u8::MAX));
    }

    #[test]
    fn who_sent_a_signal_is_read_where_the_kernel_writes_it() {
        // Signal, errno, code; and the union from the next multiple of 8 on. sigaction(2).
        let mut words = [0_u64; size_of::<libc::siginfo_t>() / 8];
        words[0] = libc::SIGTERM as u64;
        words[1] = u64::from((-6_i32).cast_unsigned());
        words[2] = 7 | 1000 << 32;
        // SAFETY: it is as long and as aligned, and any bits are one.
        let info = unsafe { (&raw const words).cast::<libc::siginfo_t>().read() };
        let wanted = Sender {
            signal: libc::SIGTERM,
            code: -6,
            pid: 7,
            uid: 1000,
        };
        assert_eq!(sender(libc::SIGTERM, &info), wanted);
    }
}
