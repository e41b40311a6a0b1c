//! How a task's end becomes an exit code.

/// Texts of strsignal(3), as they stand in task messages, with their numbers.
#[rustfmt::skip] // A name and its number share a line.
const SIGNALS: &[(&str, u8)] = &[
    ("Hangup", 1), ("Interrupt", 2), ("Quit", 3), ("Illegal instruction", 4),
    ("Trace/breakpoint trap", 5), ("Aborted", 6), ("Bus error", 7),
    ("Floating point exception", 8), ("Killed", 9), ("User defined signal 1", 10),
    ("Segmentation fault", 11), ("User defined signal 2", 12), ("Broken pipe", 13),
    ("Alarm clock", 14), ("Terminated", 15), ("CPU time limit exceeded", 24),
    ("File size limit exceeded", 25), ("Bad system call", 31),
];

/// An end of which nothing more is known than that it was not well.
const FAILED: u8 = 1;
/// What a shell gives for SIGKILL, by which the kernel ends what has no memory left.
const KILLED: u8 = 137;

/// The exit code for a task that ended in `state`, with the message of its last status if known:
/// that of the command, 128 + signal if one ended it, otherwise 1.
pub fn exit_code(state: &str, message: Option<&str>) -> u8 {
    match (state, message) {
        ("TASK_FINISHED", _) => 0,
        (_, None) => FAILED,
        (_, Some(message)) => {
            if let Some((_, status)) = message.split_once("exited with status ") {
                leading_number(status).unwrap_or(FAILED)
            } else if let Some((_, signal)) = message.split_once("terminated with signal ") {
                let known = SIGNALS.iter().find(|(name, _)| signal.starts_with(name));
                known.map_or(FAILED, |(_, number)| 128 + number)
            } else if message.starts_with("Memory limit exceeded") {
                KILLED
            } else {
                FAILED
            }
        }
    }
}

/// Statuses above 255 do not exist; 0 here would hide that the task failed.
fn leading_number(text: &str) -> Option<u8> {
    let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|status| *status != 0)
}

/// Of several tasks: the first result that is not 0.
pub fn of_all(codes: impl IntoIterator<Item = u8>) -> u8 {
    codes.into_iter().find(|code| *code != 0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_command() {
        for (state, message, code) in [
            ("TASK_FINISHED", Some("Command exited with status 0"), 0),
            ("TASK_FINISHED", None, 0),
            ("TASK_FAILED", Some("Command exited with status 3"), 3),
            ("TASK_FAILED", Some("Command exited with status 0"), 1),
            (
                "TASK_FAILED",
                Some("Command terminated with signal Segmentation fault"),
                139,
            ),
            (
                "TASK_KILLED",
                Some("Command terminated with signal Terminated"),
                143,
            ),
            (
                "TASK_FAILED",
                Some("Command terminated with signal Killed"),
                137,
            ),
            (
                "TASK_FAILED",
                Some("Memory limit exceeded: Requested: 32MB"),
                137,
            ),
            (
                "TASK_FAILED",
                Some("Failed to launch container: no such user"),
                1,
            ),
            ("TASK_LOST", None, 1),
        ] {
            assert_eq!(exit_code(state, message), code, "{state} {message:?}");
        }
    }

    #[test]
    fn the_first_failure_of_several_decides() {
        assert_eq!(of_all([0, 3, 4]), 3);
        assert_eq!(of_all([0, 0]), 0);
        assert_eq!(of_all([]), 0);
    }
}
