//! What this process gets of the machine: processors, priorities, memory nodes, limits.

use std::io;

use init::Scheduler;

use super::check;

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

pub fn set_personality(personality: u64) -> io::Result<()> {
    // SAFETY: personality(2) takes a number only.
    check(unsafe { libc::personality(personality as libc::c_ulong) }.into()).map(drop)
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
