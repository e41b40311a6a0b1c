//! Runs a hook: a program of the spec that is told the container's state.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::Hook;

/// How much of its output an error shows, in bytes.
const SHOWN: u64 = 4096;

/// Files without names that a hook works on.
pub struct Files {
    /// The container's state, to be read from its start.
    pub state: File,
    /// Empty.
    pub output: File,
}

/// Runs it to its end, with our own environment where it has none. Errors: a phrase that says how it ended and what it wrote.
///
/// Source: OCI runtime spec, config.md, "POSIX-platform Hooks".
pub fn run(hook: &Hook, files: Files) -> Result<(), String> {
    let Files { state, output } = files;
    let status = spawn(hook, state, &output)
        .and_then(|child| wait(child, hook.timeout.map(Duration::from_secs)));
    match status {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!("{}{}", ended(status), said(output))),
        Ok(None) => {
            let seconds = hook.timeout.unwrap_or_default();
            Err(format!(
                "hook ran past specified timeout of {seconds}s, and was killed"
            ))
        }
        Err(error) => Err(format!("cannot run {}: {error}", hook.path)),
    }
}

fn spawn(hook: &Hook, state: File, output: &File) -> io::Result<Child> {
    let mut command = Command::new(&hook.path);
    if let Some((name, arguments)) = hook.argv.split_first() {
        command.arg0(name).args(arguments);
    }
    if !hook.env.is_empty() {
        let variables = hook.env.iter().filter_map(|entry| entry.split_once('='));
        command.env_clear().envs(variables);
    }
    command.stdin(state);
    command.stdout(output.try_clone()?);
    command.stderr(output.try_clone()?);
    command.spawn()
}

/// `None` when it took too long.
fn wait(mut child: Child, timeout: Option<Duration>) -> io::Result<Option<ExitStatus>> {
    let Some(timeout) = timeout else {
        return child.wait().map(Some);
    };
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn ended(status: ExitStatus) -> String {
    let signal = match (status.code(), status.signal()) {
        (Some(code), _) => return format!("exit status {code}"),
        (None, signal) => signal.unwrap_or_default(),
    };
    let dumped = match status.core_dumped() {
        true => " (core dumped)",
        false => "",
    };
    match SIGNALS.iter().find(|(number, _)| *number == signal) {
        Some((_, name)) => format!("signal: {name}{dumped}"),
        None => format!("signal: signal {signal}{dumped}"),
    }
}

/// As Go, and so runc, calls those that programs end by.
const SIGNALS: &[(i32, &str)] = &[
    (libc::SIGHUP, "hangup"),
    (libc::SIGINT, "interrupt"),
    (libc::SIGQUIT, "quit"),
    (libc::SIGILL, "illegal instruction"),
    (libc::SIGABRT, "aborted"),
    (libc::SIGBUS, "bus error"),
    (libc::SIGFPE, "floating point exception"),
    (libc::SIGKILL, "killed"),
    (libc::SIGSEGV, "segmentation fault"),
    (libc::SIGPIPE, "broken pipe"),
    (libc::SIGTERM, "terminated"),
    (libc::SIGSYS, "bad system call"),
];

fn said(mut output: File) -> String {
    let mut bytes = Vec::new();
    let read = output
        .rewind()
        .and_then(|()| output.take(SHOWN).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    match (read, text.trim()) {
        (Err(_), _) | (_, "") => String::new(),
        (_, text) => format!(", output: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(script: &str, timeout: Option<u64>) -> Hook {
        Hook {
            path: "/bin/sh".to_owned(),
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: vec!["A=b".to_owned()],
            timeout,
        }
    }

    fn ran(hook: &Hook) -> Result<(), String> {
        let file = || tempfile::tempfile().unwrap();
        let mut state = file();
        io::Write::write_all(&mut state, b"{\"id\": \"c1\"}").unwrap();
        state.rewind().unwrap();
        run(
            hook,
            Files {
                state,
                output: file(),
            },
        )
    }

    #[test]
    fn a_hook_gets_the_state_and_its_own_environment() {
        assert_eq!(ran(&hook("grep c1 && test $A = b", None)), Ok(()));
        assert_eq!(ran(&hook("test -z \"$HOME\"", None)), Ok(()));
    }

    #[test]
    fn a_hook_without_an_environment_has_that_of_who_runs_it() {
        let own = std::env::var("PATH").unwrap();
        let without = Hook {
            env: vec![],
            ..hook(&format!("test \"$PATH\" = '{own}'"), None)
        };
        assert_eq!(ran(&without), Ok(()));
    }

    #[test]
    fn a_hook_that_fails_is_quoted() {
        let failed = ran(&hook("echo no room >&2; exit 3", None));
        assert_eq!(failed, Err("exit status 3, output: no room".to_owned()));
        let killed = ran(&hook("kill -9 $$", None));
        assert_eq!(killed, Err("signal: killed".to_owned()));
        let missing = Hook {
            path: "/nonexistent/hook".to_owned(),
            ..hook("", None)
        };
        let error = ran(&missing).unwrap_err();
        assert!(
            error.starts_with("cannot run /nonexistent/hook: "),
            "{error}"
        );
    }

    #[test]
    fn a_hook_that_takes_too_long_is_killed() {
        let error = ran(&hook("exec sleep 60", Some(1))).unwrap_err();
        assert!(
            error.starts_with("hook ran past specified timeout"),
            "{error}"
        );
        assert_eq!(ran(&hook("true", Some(60))), Ok(()));
    }
}
