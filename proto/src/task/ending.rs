//! How the command of a task ended, as sentences: agents write them into the last status of a task,
//! and clients, which get no number, read them. Source: spec/mesos-agent.md section 10.1.

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With this status, 0 to 255.
    Exited(i32),
    /// By this signal, 1 to 64.
    Signaled(i32),
}

const EXITED: &str = "Command exited with status ";
const SIGNALED: &str = "Command terminated with signal ";

/// The sentence for an end.
#[must_use]
pub fn ended(ending: Ending) -> String {
    match ending {
        Ending::Exited(status) => format!("{EXITED}{status}"),
        Ending::Signaled(signal) => format!("{SIGNALED}{}", signal_name(signal)),
    }
}

/// The end that `message` tells; `None` when it tells of something else. More text may follow the
/// sentence.
#[must_use]
pub fn told(message: &str) -> Option<Ending> {
    if let Some((_, rest)) = message.split_once(EXITED) {
        return leading_number(rest).map(Ending::Exited);
    }
    let (_, rest) = message.split_once(SIGNALED)?;
    signal_number(rest).map(Ending::Signaled)
}

/// What a shell would exit with after the end that `message` tells: the status, or 128 + signal.
#[must_use]
pub fn exit_code(message: &str) -> Option<i32> {
    Some(match told(message)? {
        Ending::Exited(status) => status,
        Ending::Signaled(signal) => 128 + signal,
    })
}

/// From signal 1 on, as strsignal(3) of the C library has them: clients match on these texts.
#[rustfmt::skip] // Eight to a row.
const NAMES: [&str; 31] = [
    "Hangup", "Interrupt", "Quit", "Illegal instruction", "Trace/breakpoint trap", "Aborted",
    "Bus error", "Floating point exception",
    "Killed", "User defined signal 1", "Segmentation fault", "User defined signal 2",
    "Broken pipe", "Alarm clock", "Terminated", "Stack fault",
    "Child exited", "Continued", "Stopped (signal)", "Stopped", "Stopped (tty input)",
    "Stopped (tty output)", "Urgent I/O condition", "CPU time limit exceeded",
    "File size limit exceeded", "Virtual timer expired", "Profiling timer expired",
    "Window changed", "I/O possible", "Power failure", "Bad system call",
];

const REAL_TIME: &str = "Real-time signal ";
const UNKNOWN: &str = "Unknown signal ";
/// SIGRTMIN of the C library, which keeps the two signals before it for itself.
const FIRST_REAL_TIME: i32 = 34;
const LAST: i32 = 64;

/// As strsignal(3) has it.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    let index = usize::try_from(signal - 1).ok();
    match index.and_then(|i| NAMES.get(i)) {
        Some(name) => (*name).to_owned(),
        None if (FIRST_REAL_TIME..=LAST).contains(&signal) => {
            format!("{REAL_TIME}{}", signal - FIRST_REAL_TIME)
        }
        None => format!("{UNKNOWN}{signal}"),
    }
}

fn signal_number(text: &str) -> Option<i32> {
    let signal = if let Some(number) = text.strip_prefix(REAL_TIME) {
        FIRST_REAL_TIME.checked_add(leading_number(number)?)?
    } else if let Some(number) = text.strip_prefix(UNKNOWN) {
        leading_number(number)?
    } else {
        // Some names begin with others: "Stopped (signal)" is not "Stopped".
        let known = NAMES
            .iter()
            .zip(1..)
            .filter(|(name, _)| text.starts_with(**name));
        known.max_by_key(|(name, _)| name.len())?.1
    };
    (1..=LAST).contains(&signal).then_some(signal)
}

fn leading_number(text: &str) -> Option<i32> {
    text.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_read_as_in_mesos() {
        let table = [
            (Ending::Exited(7), "Command exited with status 7"),
            (
                Ending::Signaled(15),
                "Command terminated with signal Terminated",
            ),
            (
                Ending::Signaled(34),
                "Command terminated with signal Real-time signal 0",
            ),
            (
                Ending::Signaled(32),
                "Command terminated with signal Unknown signal 32",
            ),
        ];
        for (ending, text) in table {
            assert_eq!(ended(ending), text);
        }
    }

    #[test]
    fn every_signal_and_status_is_read_back() {
        for signal in 1..=64 {
            let text = ended(Ending::Signaled(signal));
            assert_eq!(told(&text), Some(Ending::Signaled(signal)), "{text}");
            assert_eq!(exit_code(&text), Some(128 + signal), "{text}");
        }
        for status in 0..=255 {
            assert_eq!(exit_code(&ended(Ending::Exited(status))), Some(status));
        }
    }

    #[test]
    fn what_follows_the_sentence_changes_nothing_and_other_messages_have_no_code() {
        let dumped = "Command terminated with signal Segmentation fault (core dumped)";
        assert_eq!(exit_code(dumped), Some(139));
        assert_eq!(
            exit_code("Command exited with status 3; see stderr"),
            Some(3)
        );
        for other in [
            "",
            "Failed to launch container: no such user",
            "Command exited with status soon",
            "Command terminated with signal Boredom",
            "Command terminated with signal Real-time signal 31",
        ] {
            assert_eq!(exit_code(other), None, "{other}");
        }
    }
}
