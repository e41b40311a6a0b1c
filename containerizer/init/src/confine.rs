//! What is left to `init` once the command runs: to wait, to pass signals on, to write one record.
//!
//! It is process 1 of a container whose command may have been given the right to trace others. Whoever
//! takes `init` over then must gain nothing by that.

use std::io;

use init::Instruction;

use crate::failure::{Failure, because};
use crate::sys;

/// To signal a command of another user.
const KILL: u64 = 1 << 5;

/// Bytes into struct seccomp_data.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// AUDIT_ARCH_*: `None` where no filter is known, and the capabilities must do.
const OWN_ARCHITECTURE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_003e)
} else if cfg!(target_arch = "aarch64") {
    Some(0xc000_00b7)
} else {
    None
};

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

/// The last ones are what the C library does on its way to these: to allocate, and to abort.
#[rustfmt::skip]
const CALLS: &[libc::c_long] = &[
    libc::SYS_rt_sigtimedwait, libc::SYS_wait4, libc::SYS_waitid, libc::SYS_kill, libc::SYS_write,
    libc::SYS_close, libc::SYS_exit_group, libc::SYS_exit, libc::SYS_restart_syscall,
    libc::SYS_rt_sigreturn,
    libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise,
    libc::SYS_rt_sigprocmask, libc::SYS_rt_sigaction, libc::SYS_gettid, libc::SYS_tgkill,
];

/// To read what is shown on a terminal.
#[rustfmt::skip]
const READING: &[libc::c_long] = &[
    libc::SYS_read, libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")] libc::SYS_poll,
];

/// To bound the command's output.
const BOUNDING: &[libc::c_long] = &[libc::SYS_fstat, libc::SYS_fcntl, libc::SYS_fallocate];

/// For good; beside a terminal, and output that is bounded.
pub fn to_waiting(shows: bool, bounds: bool) -> Result<(), Failure> {
    let more = [(shows, READING), (bounds, BOUNDING)];
    let more = more.into_iter().filter(|(is_needed, _)| *is_needed);
    let all = std::iter::once(CALLS).chain(more.map(|(_, calls)| calls));
    confine(&all.flatten().copied().collect::<Vec<_>>())
}

fn confine(calls: &[libc::c_long]) -> Result<(), Failure> {
    let install = |architecture| install(architecture, calls);
    let confined = sys::prctl(libc::PR_SET_NO_NEW_PRIVS, [1, 0, 0, 0])
        .and_then(|()| sys::set_capabilities(KILL, KILL, 0))
        .and_then(|()| OWN_ARCHITECTURE.map_or(Ok(()), install));
    confined.map_err(because("give up the rights that init no longer needs"))
}

fn install(architecture: u32, calls: &[libc::c_long]) -> io::Result<()> {
    match sys::install_filter(&filter(architecture, calls), 0) {
        // A kernel without filters has none for the command either.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => Ok(()),
        installed => installed.map(drop),
    }
}

fn filter(architecture: u32, calls: &[libc::c_long]) -> Vec<Instruction> {
    let last = calls.len() as u8;
    let mut filter = vec![
        load(ARCHITECTURE),
        // To the refusal, past the load and all comparisons.
        equal(architecture, 0, last + 1),
        load(NUMBER),
    ];
    // Each to the answer that allows, which comes after the refusal.
    let compare = |(at, call): (usize, &libc::c_long)| equal(*call as u32, last - at as u8, 0);
    filter.extend(calls.iter().enumerate().map(compare));
    filter.push(answer(ERRNO | libc::EPERM as u32));
    filter.push(answer(ALLOW));
    filter
}

fn load(k: u32) -> Instruction {
    let code = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    Instruction {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn equal(k: u32, jt: u8, jf: u8) -> Instruction {
    let code = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    Instruction { code, jt, jf, k }
}

fn answer(k: u32) -> Instruction {
    let code = (libc::BPF_RET | libc::BPF_K) as u16;
    Instruction {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}
