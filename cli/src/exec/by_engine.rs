//! A command in a container of a Docker Engine: the engine has its streams, or its terminal.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::thread;

use anyhow::Context as _;
use containerizer::Command;
use engine::{Engine, Frame, Input, Session, Source, Talk};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::raw::Raw;
use super::streams::Passed;

/// A container that is an engine's.
#[derive(Debug, PartialEq, Eq)]
pub struct OfEngine {
    socket: PathBuf,
    id: String,
}

/// Where the agent's answers say so. Pure.
pub fn engines(flags: &Value, inspected: &Value) -> Option<OfEngine> {
    Some(OfEngine {
        socket: flags["flags"]["docker_socket"].as_str()?.into(),
        id: inspected["docker"]["Id"].as_str()?.to_owned(),
    })
}

/// Gives its exit status.
pub async fn by_engine(of: &OfEngine, command: &Command) -> anyhow::Result<i32> {
    let engine = Engine::connect(&of.socket).await?;
    let size = || {
        let size = rustix::termios::tcgetwinsize(io::stdin());
        let size = size.context("stdin is not a terminal")?;
        anyhow::Ok((size.ws_row, size.ws_col))
    };
    let talk = Talk {
        command: command.args.clone(),
        env: command.env.clone(),
        working_dir: command.cwd.clone(),
        terminal: command.terminal.then(size).transpose()?,
    };
    let mut signals = Passed::listen()?;
    let mut resized = signal(SignalKind::window_change())?;
    let (session, input, mut output) = engine.talk(&of.id, &talk).await?;
    let raw = match command.terminal {
        true => Some(Raw::enter().context("cannot set up this terminal")?),
        false => None,
    };
    let typing = tokio::spawn(pass_on(typed(), input));
    loop {
        tokio::select! {
            frame = output.next() => match frame? {
                Some(frame) => show(&frame)?,
                None => break,
            },
            number = signals.next() => pass(&session, number).await,
            Some(()) = resized.recv(), if command.terminal => {
                let (rows, columns) = size()?;
                session.resize(rows, columns).await?;
            }
        }
    }
    typing.abort();
    drop(raw);
    Ok(session.exit_code().await? as i32)
}

/// What comes on stdin. The thread waits in a system call until this program ends.
fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (tell, typed) = mpsc::channel(1);
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = io::stdin().read(&mut buffer) {
            if tell.blocking_send(buffer[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    typed
}

async fn pass_on(mut typed: mpsc::Receiver<Vec<u8>>, mut input: Input) {
    while let Some(bytes) = typed.recv().await {
        if let Err(error) = input.write(&bytes).await {
            tracing::debug!(%error, "the command reads no more");
            return;
        }
    }
    if let Err(error) = input.end().await {
        tracing::debug!(%error, "the command read no more");
    }
}

fn show(frame: &Frame) -> io::Result<()> {
    match frame.source {
        Source::Stdout => {
            let mut out = io::stdout();
            out.write_all(&frame.bytes)?;
            out.flush()
        }
        Source::Stderr => io::stderr().write_all(&frame.bytes),
    }
}

/// Engines pass none on: whoever is root on their host can.
async fn pass(session: &Session, number: i32) {
    let passed = async {
        let pid = session.pid().await?.map(Pid::from_raw);
        let signal = Signal::try_from(number)?;
        match pid {
            Some(pid) => Ok(kill(pid, signal)?),
            None => anyhow::Ok(()),
        }
    };
    if let Err(error) = passed.await {
        tracing::debug!(%error, number, "a signal is not passed on");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_engines_container_is_known_by_what_the_agent_tells_of_it() {
        let flags = json!({"flags": {"docker_socket": "/run/docker.sock"}});
        let found = engines(&flags, &json!({"docker": {"Id": "abc"}}));
        let wanted = OfEngine {
            socket: "/run/docker.sock".into(),
            id: "abc".to_owned(),
        };
        assert_eq!(found, Some(wanted));
        assert_eq!(engines(&flags, &json!({"spec": {}})), None);
    }
}
