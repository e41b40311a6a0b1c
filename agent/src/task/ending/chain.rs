//! The chain of causes that follows Mesos' own words in a message, a link after each semicolon.
//!
//! What is not known is not guessed: there is either no link, or one that says so.

use containerizer::{
    Access, Death, ExitStatus, Fault, KernelWord, MemoryPressure, OutOfMemory, PassedOn,
    PressureOf, Sender, Task,
};
use nix::libc;
use proto::task::signal_name;

use super::super::machine::Requester;

/// Signals that a program hardly gets but from somebody who sends them.
const SENT: &[i32] = &[
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGKILL,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTERM,
];

/// Of an end that nobody requested from the agent.
pub fn of_end(status: Option<ExitStatus>, death: &Death) -> Vec<String> {
    let signal = match status {
        Some(ExitStatus::Exited(0)) => return Vec::new(),
        Some(ExitStatus::Exited(_)) => return before(death.passed_on).into_iter().collect(),
        Some(ExitStatus::Signaled(signal)) => signal,
        None => libc::SIGKILL,
    };
    let sent = death.passed_on.filter(|it| it.signal == signal);
    let by_whom = match sent {
        Some(PassedOn { by, .. }) => Some(format!("sent by {}", sender(by))),
        None if death.first_process_killed => Some(
            "sent to all of its processes from outside of its container, or by the kernel"
                .to_owned(),
        ),
        None if SENT.contains(&signal) => Some("who sent it is not known".to_owned()),
        None => None,
    };
    let word = death.kernel.as_ref().and_then(|word| kernel(signal, word));
    word.or(by_whom).into_iter().collect()
}

/// A program may end by itself because of a signal that it handles, as shells do.
fn before(passed_on: Option<PassedOn>) -> Option<String> {
    let PassedOn { signal, by } = passed_on?;
    let (name, by) = (signal_name(signal), sender(by));
    Some(format!("signal {name} was sent to it before, by {by}"))
}

fn sender(by: Sender) -> String {
    match by {
        Sender::Kernel => "the kernel".to_owned(),
        Sender::Inside { pid, uid } => format!("process {pid} of its own container (uid {uid})"),
        Sender::Outside { uid } => format!("a process outside of its container (uid {uid})"),
    }
}

fn kernel(signal: i32, word: &KernelWord) -> Option<String> {
    match word {
        KernelWord::SystemCall(name) => Some(format!(
            "its seccomp profile kills for the system call that it made: {name}"
        )),
        KernelWord::Fault(fault) => Some(faulted(fault)),
        KernelWord::Silent if signal == libc::SIGSYS => Some(
            "for which system call is not known: the kernel's log does not tell (an audit daemon \
             may, with ausearch -m SECCOMP)"
                .to_owned(),
        ),
        KernelWord::Unreadable(why) if signal == libc::SIGSYS => {
            Some(format!("for which system call is not known: {why}"))
        }
        // It may have been sent, or a thread of the program's may have made the mistake.
        KernelWord::Silent | KernelWord::Unreadable(_) => None,
    }
}

fn faulted(fault: &Fault) -> String {
    let Fault {
        what,
        access,
        object,
    } = fault;
    let access = match access {
        Some(Access::Read) => " when it read",
        Some(Access::Write) => " when it wrote",
        Some(Access::Execute) => " when it jumped there",
        None => "",
    };
    let object = object.as_ref();
    let object = object.map_or_else(String::new, |name| format!(", in the code of {name}"));
    format!("the kernel saw a {what}{access}{object}")
}

pub fn of_request(by: Requester) -> &'static str {
    match by {
        Requester::Framework => "its framework requested the kill",
        Requester::FrameworkOfExecutor => "its framework requested the end of its executor",
        Requester::Agent => "its agent was told to end all of its tasks",
        Requester::Drain => "its agent is drained, and the deadline of that had come",
        Requester::HealthCheck => "its health check failed too often",
        Requester::GroupsExecutor => "the container of its executor, whose network it had, is gone",
        Requester::Group => "another task of its group has failed, or was killed",
        Requester::Unknown => "the kill was requested before its agent was restarted",
    }
}

pub fn of_memory(out_of_memory: &OutOfMemory) -> Vec<String> {
    let OutOfMemory {
        limit: _,
        peak,
        victim,
        largest,
        usage,
        pressure,
    } = out_of_memory;
    let victim = victim.as_ref().map(|victim| {
        let (pid, name) = (victim.pid, &victim.name);
        format!("the kernel killed process {pid} ({name})")
    });
    let largest = (!largest.is_empty()).then(|| {
        let list: Vec<_> = largest.iter().map(task).collect();
        format!("its largest processes then: {}", list.join(", "))
    });
    // Of a container whose processes are all small, it is what there is to find.
    let shared = usage.map(|usage| usage.shared);
    let shared = shared.filter(|shared| *shared > 0 && *shared >= peak / 8);
    let shared = shared.map(|shared| {
        format!(
            "files in memory (tmpfs, /dev/shm) took {}MB of it",
            megabytes(shared)
        )
    });
    let links = [victim, largest, shared, pressure.map(stalled)];
    links.into_iter().flatten().collect()
}

fn task(task: &Task) -> String {
    let Task { pid, name, rss } = task;
    format!("{name} ({pid}) {}MB", megabytes(*rss))
}

fn stalled(pressure: MemoryPressure) -> String {
    let MemoryPressure { some, full, of } = pressure;
    let of = match of {
        PressureOf::Container => "",
        PressureOf::Host => " of the host",
    };
    format!("memory pressure{of} in the last minute: some {some}, full {full}")
}

pub fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests {
    use containerizer::{MemoryUsage, Percent, Victim};

    use super::*;

    const NOBODY: Death = Death {
        core_dumped: false,
        passed_on: None,
        first_process_killed: false,
        is_record_damaged: false,
        kernel: None,
    };

    fn signaled(signal: i32, death: Death) -> String {
        of_end(Some(ExitStatus::Signaled(signal)), &death).join("; ")
    }

    fn sent(signal: i32, by: Sender) -> Death {
        Death {
            passed_on: Some(PassedOn { signal, by }),
            ..NOBODY
        }
    }

    #[test]
    fn who_sent_a_signal_is_said_or_said_not_to_be_known() {
        let inside = Sender::Inside { pid: 7, uid: 33 };
        let table = [
            (
                15,
                sent(15, inside),
                "sent by process 7 of its own container (uid 33)",
            ),
            (
                15,
                sent(15, Sender::Outside { uid: 0 }),
                "sent by a process outside of its container (uid 0)",
            ),
            (1, sent(1, Sender::Kernel), "sent by the kernel"),
            (9, sent(15, inside), "who sent it is not known"),
            (9, NOBODY, "who sent it is not known"),
            (
                9,
                Death {
                    first_process_killed: true,
                    ..NOBODY
                },
                "sent to all of its processes from outside of its container, or by the kernel",
            ),
            (libc::SIGABRT, NOBODY, ""),
        ];
        for (signal, death, said) in table {
            assert_eq!(signaled(signal, death), said);
        }
    }

    #[test]
    fn a_status_that_follows_a_signal_names_it() {
        let death = sent(15, Sender::Outside { uid: 0 });
        let said = |status| of_end(Some(ExitStatus::Exited(status)), &death).join("; ");
        assert_eq!(
            said(143),
            "signal Terminated was sent to it before, by a process outside of its container (uid 0)"
        );
        assert_eq!(said(0), "");
    }

    #[test]
    fn what_the_kernel_says_comes_before_guesses() {
        let kernel = |signal, word| {
            signaled(
                signal,
                Death {
                    kernel: Some(word),
                    ..NOBODY
                },
            )
        };
        let fault = KernelWord::Fault(Fault {
            what: "segfault at 0x8".to_owned(),
            access: Some(Access::Write),
            object: Some("libc.so.6".to_owned()),
        });
        assert_eq!(
            kernel(libc::SIGSEGV, fault),
            "the kernel saw a segfault at 0x8 when it wrote, in the code of libc.so.6"
        );
        let trap = KernelWord::Fault(Fault {
            what: "trap divide error".to_owned(),
            access: None,
            object: None,
        });
        assert_eq!(
            kernel(libc::SIGFPE, trap),
            "the kernel saw a trap divide error"
        );
        assert_eq!(
            kernel(libc::SIGSYS, KernelWord::SystemCall("ptrace".to_owned())),
            "its seccomp profile kills for the system call that it made: ptrace"
        );
        assert_eq!(kernel(libc::SIGSEGV, KernelWord::Silent), "");
        let silent = kernel(libc::SIGSYS, KernelWord::Silent);
        assert!(silent.starts_with("for which system call is not known: "));
        let closed = KernelWord::Unreadable("cannot read /dev/kmsg: no".to_owned());
        assert_eq!(
            kernel(libc::SIGSYS, closed),
            "for which system call is not known: cannot read /dev/kmsg: no"
        );
    }

    #[test]
    fn memory_is_told_with_who_had_it() {
        let task = |pid, name: &str, rss| Task {
            pid,
            name: name.to_owned(),
            rss,
        };
        let out_of_memory = OutOfMemory {
            limit: Some(64 << 20),
            peak: 64 << 20,
            victim: Some(Victim {
                pid: 42,
                name: "python3".into(),
            }),
            largest: vec![task(42, "python3", 30 << 20), task(40, "sh", 1)],
            usage: Some(MemoryUsage {
                anonymous: 30 << 20,
                shared: 8 << 20,
            }),
            pressure: Some(MemoryPressure {
                some: Percent(1234),
                full: Percent(5),
                of: PressureOf::Host,
            }),
        };
        assert_eq!(
            of_memory(&out_of_memory),
            [
                "the kernel killed process 42 (python3)",
                "its largest processes then: python3 (42) 30MB, sh (40) 1MB",
                "files in memory (tmpfs, /dev/shm) took 8MB of it",
                "memory pressure of the host in the last minute: some 12.34%, full 0.05%",
            ]
        );
        let nothing = OutOfMemory {
            victim: None,
            largest: vec![],
            usage: Some(MemoryUsage {
                anonymous: 0,
                shared: (8 << 20) - 1,
            }),
            pressure: None,
            ..out_of_memory
        };
        assert_eq!(of_memory(&nothing), [""; 0]);
    }
}
