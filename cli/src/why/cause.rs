//! Why a task came to its end, where that is known, and what to do about it.

use nix::sys::signal::Signal;
use proto::task::{Ending, told};
use proto::v1::TaskState;
use proto::v1::task_status::Reason;

use super::story::{Event, Story};

/// What is said of a reason.
#[derive(Clone, Copy)]
enum Says {
    This(&'static str),
    /// It depends on what else the status tells.
    Of(fn(&Event) -> String),
}

use Says::{Of, This};

#[rustfmt::skip] // A reason and what is said of it are a row.
const REASONS: &[(Reason, Says)] = &[
    (Reason::ContainerLimitationMemory, Of(memory)),
    (Reason::ContainerLimitationDisk, This(
        "Its sandbox took more of the disk than the task may: look into the directories that the \
         message names, or raise \"disk\" in the app. Rotated logs count, volumes do not.")),
    (Reason::AgentDraining, This(
        "Its node is taken out: an operator has asked its agent to drain. The task is not at fault: \
         its scheduler starts another elsewhere where one is wanted.")),
    (Reason::ContainerLaunchFailed, Of(launch)),
    (Reason::MaxCompletionTimeReached, This(
        "It ran for longer than it may: look for what holds it up, or raise its \
         max_completion_time.")),
    (Reason::TaskKilledDuringLaunch, Of(asked_early)),
    (Reason::AgentRestarted, This(
        "The agent was restarted while the task was launched, and the launch went with it. The \
         task is not at fault: its scheduler starts another where one is wanted.")),
    (Reason::ExecutorReregistrationTimeout, This(
        "Its container was there when the agent went away and gone when it came back, so nobody \
         saw how it ended: its stderr, or the kernel's log of that time, may tell.")),
    (Reason::ExecutorTerminated, This(
        "What ran the task ended under it, as the message says. The task is not at fault: its \
         scheduler starts another where one is wanted.")),
    (Reason::Reconciliation, This(
        "The agent was asked for a task that it does not know, as after its work_dir was removed.")),
    (Reason::TaskInvalid, This(
        "The agent does not run what was asked for: mend what the message names in the app.")),
];

#[rustfmt::skip] // A signal and what is said of it are a row.
const SIGNALS: &[(Signal, &str)] = &[
    (Signal::SIGHUP, SENT), (Signal::SIGINT, SENT), (Signal::SIGQUIT, SENT),
    (Signal::SIGTERM, SENT), (Signal::SIGUSR1, SENT), (Signal::SIGUSR2, SENT),
    (Signal::SIGKILL, "somebody sent it, or the kernel did; it did not hit its own memory limit, \
        which would be told, but the host may have had no memory left"),
    (Signal::SIGILL, "an instruction that this processor does not know: was the program built for \
        this kind of machine?"),
    (Signal::SIGABRT, "the program gave up by itself, as after a failed assertion: it mostly says \
        why on stderr"),
    (Signal::SIGBUS, "a bug in the program, a file that shrank while it was mapped, or a full \
        shared memory"),
    (Signal::SIGFPE, "a division by zero or the like, which is a bug in the program"),
    (Signal::SIGSEGV, "memory that is not its own was used, which is a bug in the program or in a \
        library, or a stack that grew too large"),
    (Signal::SIGPIPE, "it wrote to a pipe or connection that nobody read any more"),
    (Signal::SIGALRM, "a timer that the program set and did not wait for"),
    (Signal::SIGSYS, "it made a system call for which its seccomp profile kills, as the message \
        says if the kernel told: `longshore inspect` shows the profile of a running task, \
        --seccomp_profile_name of the agent or \"linuxInfo\" of the app choose another"),
    (Signal::SIGXCPU, "it used the processor time that its rlimit allows"),
    (Signal::SIGXFSZ, "it wrote a file larger than its rlimit allows"),
];

const SENT: &str = "somebody sent it; it was not the agent, which tells when a kill was requested";

/// Of a signal of which no sender is known.
const UNSEEN: &str = "Nobody saw who: a signal leaves a trace only when it comes through the \
                      container's first process";

const AWAY: &str = "The agent was restarted, or away for too long, and nobody saw how the task \
                    ended. Its scheduler starts another where one is wanted.";

const ASKED: &str = "A kill was requested.";

const ASKED_EARLY: &str = "A kill was requested before its command ran.";

const BY_FRAMEWORK: &str = "Its framework did that, and who asked the framework is not recorded: \
                            with Marathon's API that is whoever changed, restarted, scaled down or \
                            removed its app, or killed this task.";

/// Whole sentences; `None` of a task that lives or of which nothing more is known.
pub fn cause(story: &Story) -> Option<String> {
    let last = story.events.last()?;
    match story.state {
        TaskState::TaskStaging
        | TaskState::TaskStarting
        | TaskState::TaskRunning
        | TaskState::TaskUnknown => None,
        TaskState::TaskKilling => {
            Some(by_reason(last).unwrap_or_else(|| format!("{ASKED} {BY_FRAMEWORK}")))
        }
        TaskState::TaskFinished => Some(
            "Its command ended by itself, and well. Of an app, which is meant to go on, its \
             scheduler starts another."
                .to_owned(),
        ),
        TaskState::TaskKilled => Some(by_reason(last).unwrap_or_else(|| asked(last))),
        TaskState::TaskFailed | TaskState::TaskError => by_reason(last).or_else(|| by_end(last)),
        TaskState::TaskLost
        | TaskState::TaskDropped
        | TaskState::TaskGone
        | TaskState::TaskGoneByOperator
        | TaskState::TaskUnreachable => Some(by_reason(last).unwrap_or_else(|| AWAY.to_owned())),
    }
}

fn by_reason(last: &Event) -> Option<String> {
    let reason = last.reason?;
    let (_, says) = REASONS.iter().find(|(known, _)| *known == reason)?;
    Some(match says {
        This(text) => (*text).to_owned(),
        Of(tell) => tell(last),
    })
}

/// What the message says of limit and victim, for people who want to have it solved.
fn memory(last: &Event) -> String {
    let message = message(last);
    let peak = match last.peak {
        Some(peak) => format!("It used up to {} MB", peak.ceil()),
        None => "It used too much memory".to_owned(),
    };
    let Some(limit) = between(message, "Requested: ", "MB") else {
        return format!(
            "{peak}. It has no limit of its own: its group, or the host, had no memory left. Give \
             tasks limits, or the host fewer of them."
        );
    };
    let what = match between(message, "the kernel killed process ", ";") {
        Some(victim) => format!("what grows in process {victim}"),
        None => "what grows in it".to_owned(),
    };
    let files = match between(message, "files in memory (tmpfs, /dev/shm) took ", "MB") {
        Some(size) => format!(
            " {size} MB of it are files in a tmpfs or in /dev/shm, which stay until they are \
             removed."
        ),
        None => String::new(),
    };
    format!(
        "{peak}, and all of its processes together may use {limit} MB: its own, and what an agent \
         adds for an executor.{files} Raise \"mem\" in the app, or look for {what}."
    )
}

/// A message of the launcher ends with how to mend the failure, in parentheses, if it knows that.
fn launch(last: &Event) -> String {
    let hints = message(last).split(" (").skip(1);
    let hints = hints.filter_map(|rest| Some(rest.split_once(')')?.0));
    // A number of the kernel's, or one word, mends nothing.
    let hints = hints.filter(|hint| hint.contains(' ') && !hint.starts_with("os error"));
    match hints.last() {
        Some(hint) => {
            format!("Its command never ran, for its container could not be made: {hint}.")
        }
        None => {
            "Its command never ran, for its container could not be made: mend what the message \
                 names last."
                .to_owned()
        }
    }
}

fn asked_early(last: &Event) -> String {
    format!("{ASKED_EARLY} {}", who_asked(message(last)))
}

/// Messages of agents that do not tell who asked are of before anybody else could.
fn who_asked(message: &str) -> &'static str {
    if message.contains("its agent was told to end all of its tasks") {
        "Nobody meant this task: its agent was ended with all that it ran."
    } else if message.contains("before its agent was restarted") {
        "Who did that is not known, for its agent was restarted meanwhile."
    } else {
        BY_FRAMEWORK
    }
}

fn asked(last: &Event) -> String {
    let message = message(last);
    let who = who_asked(message);
    match told(message) {
        Some(Ending::Signaled(signal)) if signal == Signal::SIGKILL as i32 => format!(
            "{ASKED} {who} It had to be ended with SIGKILL, as when it is still there after its \
             grace period: let it end on SIGTERM, or raise \"taskKillGracePeriodSeconds\" in the app."
        ),
        Some(Ending::Signaled(_) | Ending::Exited(_)) | None => format!("{ASKED} {who}"),
    }
}

fn by_end(last: &Event) -> Option<String> {
    Some(match told(message(last))? {
        Ending::Exited(126) => "Shells end with status 126 when a command is there but may not be \
            executed: chmod +x helps, or a file system that is not mounted noexec; stderr names it."
            .to_owned(),
        Ending::Exited(127) => "Shells end with status 127 when they do not find a command: check \
            its spelling and PATH in the app's \"env\", or fetch it; stderr names it."
            .to_owned(),
        Ending::Exited(status) => match signal(status - 128) {
            Some((signal, what)) => format!(
                "Status {status} is that of a shell whose command was ended by {signal} (signal \
                 {}): {what}.{}",
                signal as i32,
                in_kernel_log(signal)
            ),
            None => format!(
                "Its command ended with status {status} by itself: what that means is the \
                 program's own affair, and it may say more on stderr or stdout."
            ),
        },
        Ending::Signaled(number) => {
            let said = match signal(number) {
                Some((signal, what)) => format!("{signal} (signal {number}): {what}"),
                None => format!("signal {number}: {SENT}"),
            };
            let more = more(message(last)).map_or_else(String::new, |more| format!(" {more}."));
            format!("Its command was ended by {said}.{more}")
        }
    })
}

/// Of a command that a shell ran: which process of the host that was, only the shell knew.
fn in_kernel_log(signal: Signal) -> &'static str {
    match signal {
        Signal::SIGSYS => {
            " The log of the host's kernel may tell which call that was: dmesg | grep type=1326."
        }
        Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGFPE | Signal::SIGILL => {
            " The log of the host's kernel may tell where: dmesg | grep -e segfault -e traps."
        }
        _ => "",
    }
}

/// What else the message lets one say of a signal.
fn more(message: &str) -> Option<&'static str> {
    if let Some(address) = between(message, "segfault at 0x", " ") {
        // The first page is never mapped.
        let address = u64::from_str_radix(address, 16).ok()?;
        return (address < 4096).then_some(
            "So near to address 0 there is nothing: it followed a pointer that was null",
        );
    }
    message
        .contains("who sent it is not known")
        .then_some(UNSEEN)
}

fn signal(number: i32) -> Option<(Signal, &'static str)> {
    let known = SIGNALS.iter().find(|(signal, _)| *signal as i32 == number);
    known.copied()
}

fn message(event: &Event) -> &str {
    event.message.as_deref().unwrap_or_default()
}

/// What follows `begin`, as far as `end` or the end of the text.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    rest.split(end).next()
}

#[cfg(test)]
mod tests;
