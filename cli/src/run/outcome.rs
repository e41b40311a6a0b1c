//! How a task's end becomes an exit code, and words.

use proto::v1::TaskState;

/// An end of which nothing more is known than that it was not well.
const FAILED: u8 = 1;
/// What a shell gives for SIGKILL, by which the kernel ends what has no memory left.
const KILLED: u8 = 137;

/// The exit code for a task that ended in `state`, with the message of its last status if known:
/// that of the command, 128 + signal if one ended it, otherwise 1.
pub fn exit_code(state: TaskState, message: Option<&str>) -> u8 {
    if state == TaskState::TaskFinished {
        return 0;
    }
    let message = message.unwrap_or_default();
    if message.starts_with("Memory limit exceeded") {
        return KILLED;
    }
    let told = proto::task::exit_code(message).and_then(|code| u8::try_from(code).ok());
    // 0 here would hide that the task failed.
    told.filter(|code| *code != 0).unwrap_or(FAILED)
}

/// How a task ended, in words.
pub fn told_end(name: &str, state: TaskState, message: Option<&str>) -> String {
    let word = match state {
        TaskState::TaskFinished => "finished",
        TaskState::TaskFailed => "failed",
        TaskState::TaskKilled => "was killed",
        TaskState::TaskError => "was refused",
        _ => "was lost",
    };
    match message {
        Some(message) => format!("{name}: {word}: {message}"),
        None => format!("{name}: {word}"),
    }
}

/// Of several tasks: the first result that is not 0.
pub fn of_all(codes: impl IntoIterator<Item = u8>) -> u8 {
    codes.into_iter().find(|code| *code != 0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::TaskState::{TaskFailed, TaskFinished, TaskKilled, TaskLost};
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_command() {
        for (state, message, code) in [
            (TaskFinished, Some("Command exited with status 0"), 0),
            (TaskFinished, None, 0),
            (TaskFailed, Some("Command exited with status 3"), 3),
            (TaskFailed, Some("Command exited with status 0"), 1),
            (
                TaskKilled,
                Some("Command terminated with signal Terminated"),
                143,
            ),
            (
                TaskFailed,
                Some("Memory limit exceeded: Requested: 32MB"),
                137,
            ),
            (
                TaskFailed,
                Some("Failed to launch container: no such user"),
                1,
            ),
            (TaskLost, None, 1),
        ] {
            assert_eq!(exit_code(state, message), code, "{state:?} {message:?}");
        }
    }

    #[test]
    fn the_first_failure_of_several_decides() {
        assert_eq!(of_all([0, 3, 4]), 3);
        assert_eq!(of_all([0, 0]), 0);
        assert_eq!(of_all([]), 0);
    }
}
