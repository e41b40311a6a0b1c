//! What is known of the end of a command beside its status.
//!
//! Nothing here is guessed: what neither the exit record nor the kernel tells is `None`.

pub(crate) mod kernel;
pub(crate) mod look;

use init::ExitRecord;
use isolators::PidNamespace;

use crate::termination::ExitStatus;
pub use kernel::{Access, Fault, KernelWord};
pub(crate) use look::{Look, first_child, is_of_kernel};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Death {
    pub core_dumped: bool,
    /// The last signal that came to the container's first process and that it passed on.
    pub passed_on: Option<PassedOn>,
    /// The container's first process was killed, which ends all others. Nobody inside can do that.
    pub first_process_killed: bool,
    /// The first process left word of how the command ended, and that cannot be read. Unless the kernel told this
    /// process, nobody knows it then.
    pub is_record_damaged: bool,
    /// What the kernel's log says, when the command ended as the kernel itself ends a process. `None`
    /// also when it is not known which process of the host it was.
    pub kernel: Option<KernelWord>,
}

/// A signal that can end a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedOn {
    pub signal: i32,
    pub by: Sender,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// By itself, as for a terminal that hangs up.
    Kernel,
    /// A process of the container: ids as they are inside.
    Inside { pid: u32, uid: u32 },
    /// A process of the host or of another container; its user as the container sees it. Any process,
    /// where the container has the host's pid namespace.
    Outside { uid: u32 },
}

impl Death {
    /// `recorded` is what the first process left, if it could; `reaped` is how that ended itself.
    pub(crate) fn of(
        recorded: Option<ExitRecord>,
        reaped: Option<ExitStatus>,
        pids: PidNamespace,
    ) -> Self {
        const CORE_DUMPED: i32 = 0x80;
        match recorded {
            Some(record) => Self {
                core_dumped: record.status & CORE_DUMPED != 0 && record.status & 0x7f != 0,
                passed_on: record.sender.map(|sender| PassedOn::of(sender, pids)),
                ..Self::default()
            },
            None => Self {
                first_process_killed: matches!(reaped, Some(ExitStatus::Signaled(libc::SIGKILL))),
                ..Self::default()
            },
        }
    }
}

impl PassedOn {
    fn of(sender: init::Sender, pids: PidNamespace) -> Self {
        let init::Sender {
            signal,
            code,
            pid,
            uid,
        } = sender;
        let by = match (u32::try_from(pid), pids) {
            _ if code > 0 => Sender::Kernel,
            (Ok(0) | Err(_), _) => Sender::Outside { uid },
            (Ok(pid), PidNamespace::Own) => Sender::Inside { pid, uid },
            // Whose number that was, nobody knows by now.
            (Ok(_), PidNamespace::Hosts) => Sender::Outside { uid },
        };
        Self { signal, by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(code: i32, pid: i32, pids: PidNamespace) -> Sender {
        let sender = init::Sender {
            signal: libc::SIGTERM,
            code,
            pid,
            uid: 5,
        };
        PassedOn::of(sender, pids).by
    }

    #[test]
    fn who_sent_a_signal_is_read_from_its_siginfo() {
        use PidNamespace::{Hosts, Own};
        const SI_USER: i32 = 0;
        const SI_QUEUE: i32 = -1;
        const SI_KERNEL: i32 = 0x80;
        assert_eq!(sender(SI_USER, 7, Own), Sender::Inside { pid: 7, uid: 5 });
        assert_eq!(sender(SI_QUEUE, 7, Own), Sender::Inside { pid: 7, uid: 5 });
        assert_eq!(sender(SI_USER, 0, Own), Sender::Outside { uid: 5 });
        assert_eq!(sender(SI_KERNEL, 0, Own), Sender::Kernel);
        assert_eq!(sender(SI_USER, 7, Hosts), Sender::Outside { uid: 5 });
    }

    #[test]
    fn a_core_is_told_by_the_raw_status() {
        let dumped = |status| {
            let record = ExitRecord {
                status,
                sender: None,
            };
            Death::of(Some(record), None, PidNamespace::Own).core_dumped
        };
        assert!(dumped(libc::SIGSEGV | 0x80));
        assert!(!dumped(libc::SIGSEGV));
        assert!(!dumped(0x80 << 8));
    }

    #[test]
    fn a_first_process_that_was_killed_leaves_no_record() {
        let killed = |recorded: Option<i32>| {
            let reaped = Some(ExitStatus::Signaled(libc::SIGKILL));
            let recorded = recorded.map(|status| ExitRecord {
                status,
                sender: None,
            });
            let death = Death::of(recorded, reaped, PidNamespace::Own);
            death.first_process_killed
        };
        assert!(killed(None));
        assert!(!killed(Some(9)));
        let ended = Death::of(None, Some(ExitStatus::Exited(1)), PidNamespace::Own);
        assert_eq!(ended, Death::default());
    }
}
