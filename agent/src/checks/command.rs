//! A check's command in the task's container.

use std::sync::Arc;
use std::time::Duration;

use containerizer::{Command, Container, Execution, Stdio};
use proto::error::chain;
use proto::v1::CommandInfo;
use proto::v1::environment::Variable;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::docker;
use crate::task::environment::{EnvironmentError, value};

/// How a command has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// As a shell tells it.
    pub status: i32,
    /// The last line that it wrote, or the end of that.
    pub said: String,
}

/// Between two tries to end what does not go.
const AGAIN: Duration = Duration::from_millis(200);
const SELDOM: Duration = Duration::from_secs(5);

/// Dropping it ends the command, with all that came of it.
pub async fn run(container: Container, command: &CommandInfo) -> Result<Ended, String> {
    let command = command_of(command).map_err(|error| chain(&error))?;
    let (done, ended) = oneshot::channel();
    // Whatever becomes of who asks, the command is waited for.
    tokio::spawn(attend(container, command, done));
    let panicked = |_no_word| Err("nobody waited for its end".to_owned());
    ended.await.unwrap_or_else(panicked)
}

/// The same in a container of an engine, which ends it by itself only.
pub async fn run_by_engine(
    container: &docker::Container,
    command: &CommandInfo,
) -> Result<Ended, String> {
    let Command { args, env, .. } = command_of(command).map_err(|error| chain(&error))?;
    let ended = container.exec(&args, &env, MOST_OF_ENGINES).await;
    let ended = ended.map_err(|error| chain(&error))?;
    let mut tail = Tail::default();
    tail.add(&ended.output);
    Ok(Ended {
        status: ended.exit_code.try_into().unwrap_or(255),
        said: tail.last_line(),
    })
}

/// Pure. Whom it names, and its URIs, are for a task, not for a check.
fn command_of(info: &CommandInfo) -> Result<Command, EnvironmentError> {
    let path = info.value().to_owned();
    let args = match info.shell() {
        true => vec!["/bin/sh".to_owned(), "-c".to_owned(), path],
        false => (std::iter::once(path))
            .chain(info.arguments.iter().skip(1).cloned())
            .collect(),
    };
    let given = info.environment.iter().flat_map(|it| &it.variables);
    let entry = |variable: &Variable| Ok(format!("{}={}", variable.name, value(variable)?));
    Ok(Command {
        args,
        env: given.map(entry).collect::<Result<_, _>>()?,
        ..Command::default()
    })
}

async fn attend(
    container: Container,
    command: Command,
    mut done: oneshot::Sender<Result<Ended, String>>,
) {
    let (execution, mut output) = match begin(&container, command).await {
        Ok(begun) => begun,
        Err(why) => {
            // Who asked may have gone.
            let _ = done.send(Err(why));
            return;
        }
    };
    let (mut tail, mut buffer, mut is_open) = (Tail::default(), [0; 1024], true);
    let status = loop {
        tokio::select! {
            status = execution.wait() => break status,
            read = output.read(&mut buffer), if is_open => match read {
                Ok(count @ 1..) => tail.add(&buffer[..count]),
                Ok(0) | Err(_) => is_open = false,
            },
            () = done.closed() => return end(execution).await,
        }
    };
    // What it wrote last. A child that it left may go on for ever.
    for _ in 0..MOST_READ {
        let Ok(count @ 1..) = output.try_read(&mut buffer) else {
            break;
        };
        tail.add(&buffer[..count]);
    }
    let said = tail.last_line();
    let _ = done.send(Ok(Ended { status, said }));
}

async fn begin(container: &Container, command: Command) -> Result<(Execution, Receiver), String> {
    let pipe = || {
        let (ours, theirs) = std::io::pipe()?;
        let stdio = Stdio {
            stdin: None,
            stdout: theirs.try_clone()?.into(),
            stderr: theirs.into(),
        };
        Ok((Receiver::from_owned_fd(ours.into())?, stdio))
    };
    let (output, stdio) = pipe().map_err(|error: std::io::Error| chain(&error))?;
    let begun = container.exec(command, stdio).await;
    Ok((begun.map_err(|error| chain(&error))?, output))
}

async fn end(execution: Execution) {
    let execution = Arc::new(execution);
    let mut patience = AGAIN;
    loop {
        let killed = Arc::clone(&execution);
        drop(tokio::task::spawn_blocking(move || killed.kill()).await);
        if timeout(patience, execution.wait()).await.is_ok() {
            return;
        }
        patience = (patience * 2).min(SELDOM);
    }
}

/// Bytes of what an engine tells, from the beginning.
const MOST_OF_ENGINES: usize = 64 << 10;

/// Of what is left in a pipe, in pieces.
const MOST_READ: usize = 64;

/// The end of what a command wrote.
#[derive(Debug, Default)]
struct Tail(Vec<u8>);

impl Tail {
    /// Bytes.
    const MOST: usize = 200;

    fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        // Beside what is told, line ends after it.
        let surplus = self.0.len().saturating_sub(2 * Self::MOST);
        self.0.drain(..surplus);
    }

    fn last_line(&self) -> String {
        let written = self.0.trim_ascii_end();
        let line = written.rsplit(|byte| *byte == b'\n').next();
        let line = line.unwrap_or_default();
        let line = &line[line.len().saturating_sub(Self::MOST)..];
        let text = String::from_utf8_lossy(line);
        text.trim().chars().filter(|it| !it.is_control()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_told_however_much_there_is() {
        let said = |pieces: &[&[u8]]| {
            let mut tail = Tail::default();
            pieces.iter().for_each(|piece| tail.add(piece));
            tail.last_line()
        };
        assert_eq!(said(&[]), "");
        assert_eq!(said(&[b"one\ntw", b"o\n\n"]), "two");
        assert_eq!(said(&[b"a\x1b[1mb\xff\r\n"]), "a[1mb\u{fffd}");
        let long = [b"x".repeat(100_000), b"end".to_vec()].concat();
        let told = said(&[&long]);
        assert!(told.len() == 200 && told.ends_with("xend"), "{told}");
    }

    #[test]
    fn a_command_is_a_shells_or_a_program_with_the_whole_argv() {
        let mut info = CommandInfo {
            value: Some("curl -f localhost".into()),
            ..Default::default()
        };
        let args = |info: &CommandInfo| command_of(info).unwrap().args;
        assert_eq!(args(&info), ["/bin/sh", "-c", "curl -f localhost"]);
        info.shell = Some(false);
        info.value = Some("/bin/curl".into());
        assert_eq!(args(&info), ["/bin/curl"]);
        info.arguments = ["curl", "-f"].map(str::to_owned).to_vec();
        assert_eq!(args(&info), ["/bin/curl", "-f"]);
    }
}
