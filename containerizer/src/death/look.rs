//! The look at the kernel's log, when a container has ended in a way that it may tell of.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use isolators::KernelLog;
use isolators::cgroups::{Cgroup, OutOfMemory};

use super::kernel::{KernelWord, word};
use crate::termination::ExitStatus;

/// Where to look.
#[derive(Debug)]
pub(crate) struct Look {
    pub cgroup: Cgroup,
    /// In our pid namespace, when the log may tell of it and it is known.
    pub command: Option<u32>,
    /// When it was started; `None` when an earlier agent did that.
    pub since: Option<Instant>,
}

/// What the kernel's audit thread is waited for, which writes a moment after the kill.
const PATIENCE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(10);

impl Look {
    /// When there is nothing to look for.
    pub(crate) fn is_needless(&self) -> bool {
        let pid = self.command.filter(|_| is_in_first_pid_namespace());
        pid.is_none() && self.cgroup.oom_kills() == 0
    }

    /// Reads the whole log, and so blocks.
    pub(crate) fn look(
        &self,
        status: Option<ExitStatus>,
    ) -> (Option<OutOfMemory>, Option<KernelWord>) {
        let pid = self.command.filter(|_| is_in_first_pid_namespace());
        match KernelLog::open() {
            Ok(mut log) => {
                let out_of_memory = self.cgroup.out_of_memory(Some(&log));
                let word = pid.map(|pid| self.word(&mut log, pid, status));
                (out_of_memory, word)
            }
            Err(error) => {
                let why = format!("cannot read /dev/kmsg: {error}");
                let word = pid.map(|_| KernelWord::Unreadable(why));
                (self.cgroup.out_of_memory(None), word)
            }
        }
    }

    fn word(&self, log: &mut KernelLog, pid: u32, status: Option<ExitStatus>) -> KernelWord {
        let patience = match status {
            Some(ExitStatus::Signaled(libc::SIGSYS)) => PATIENCE,
            _ => Duration::ZERO,
        };
        let deadline = Instant::now() + patience;
        let since = self.since.map_or(Duration::ZERO, begin);
        loop {
            match word(log, pid, since) {
                Some(word) => return word,
                None if Instant::now() >= deadline => return KernelWord::Silent,
                None => std::thread::sleep(PAUSE),
            }
            // What cannot be read on stays as it is.
            let _ = log.read_on();
        }
    }
}

/// Whether the kernel ends processes like that, and tells its log.
pub(crate) fn is_of_kernel(status: Option<ExitStatus>) -> bool {
    matches!(
        status,
        Some(ExitStatus::Signaled(
            libc::SIGSYS
                | libc::SIGSEGV
                | libc::SIGBUS
                | libc::SIGFPE
                | libc::SIGILL
                | libc::SIGTRAP
        ))
    )
}

/// The log has the pids of the first namespace, which are ours only if it is our own.
fn is_in_first_pid_namespace() -> bool {
    // PROC_PID_INIT_INO of linux/proc_ns.h
    const FIRST: &str = "pid:[4026531836]";
    fs::read_link("/proc/self/ns/pid").is_ok_and(|name| name == Path::new(FIRST))
}

/// The same moment by the clock of the log, or somewhat before it: nobody sets that clock right.
fn begin(since: Instant) -> Duration {
    const SLACK: Duration = Duration::from_secs(5);
    let uptime = uptime(&fs::read_to_string("/proc/uptime").unwrap_or_default());
    uptime.saturating_sub(since.elapsed() + SLACK + uptime / 10_000)
}

/// None when it does not say. proc_uptime(5).
pub(crate) fn uptime(text: &str) -> Duration {
    let seconds = text.split(' ').next().and_then(|text| text.parse().ok());
    Duration::try_from_secs_f64(seconds.unwrap_or_default()).unwrap_or_default()
}

/// The oldest child of `pid` that is still there; of an `init` that watches over a command, that.
pub(crate) fn first_child(pid: u32) -> Option<u32> {
    first(&fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?)
}

/// Of a list of numbers. proc_tid_children(5).
pub(crate) fn first(children: &str) -> Option<u32> {
    children.split(' ').next()?.parse().ok()
}
