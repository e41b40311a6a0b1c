//! This terminal as that of a running task: what is typed goes to the task, what it shows is shown.
//!
//! What is typed goes to the terminal's other end, which the container's first process holds; what is
//! shown is read from the task's log, where that process writes it. So others may watch as well, and
//! nothing is lost between two who type.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use containerizer::{Target, copy_window_size};
use nix::libc;
use proto::task::is_terminal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::keys::type_on;
use super::{Seen, look};
use crate::api::Api;
use crate::exec::Raw;
use crate::live::Task;
use crate::run::{exit_code, told_end};
use crate::terminal;

/// Between two looks at what is shown; soon enough for who types.
const TICK: Duration = Duration::from_millis(15);

/// Ticks between two looks at the task.
const LOOK: u32 = 20;

const NO_TERMINAL: &str = "the task has no terminal to type at: its app must say \"tty\": true (attach shows it without -i)";

/// Returns, with the exit code, when the task has ended or is left.
pub async fn attend(agent: &Api, task: &Task, target: &Target) -> anyhow::Result<u8> {
    let terminal = (target.terminal()).context("cannot take hold of the task's terminal")?;
    let terminal = terminal.context(NO_TERMINAL)?;
    let mut log = log(agent, task).await?;
    copy_window_size(io::stdin().as_fd(), terminal.as_fd()).context("stdin is not a terminal")?;
    let mut resized = signal(SignalKind::window_change())?;
    let raw = Raw::enter().context("cannot set up this terminal")?;
    let typed = File::from(terminal.try_clone()?);
    let (leave, mut left) = oneshot::channel();
    // It waits in a system call, until this program ends.
    thread::spawn(move || {
        type_on(io::stdin(), typed);
        let _nobody_waits = leave.send(());
    });
    let mut tick = 0_u32;
    loop {
        show(&mut log)?;
        if tick.is_multiple_of(LOOK) {
            let Seen { state, message, .. } = look(agent, task).await?;
            if is_terminal(state) {
                show(&mut log)?;
                drop(raw);
                let message = message.as_deref();
                terminal::err(&told_end(&task.task, state, message));
                return Ok(exit_code(state, message));
            }
        }
        tick = tick.wrapping_add(1);
        tokio::select! {
            _ = &mut left => {
                drop(raw);
                terminal::err(&format!("left {}, which goes on", task.task));
                return Ok(0);
            }
            _ = resized.recv() => {
                let copied = copy_window_size(io::stdin().as_fd(), terminal.as_fd());
                tracing::debug!(?copied, "the window has another size");
            }
            () = sleep(TICK) => {}
        }
    }
}

/// From now on. The task may have put anything in its place.
async fn log(agent: &Api, task: &Task) -> anyhow::Result<File> {
    let Seen { directory, .. } = look(agent, task).await?;
    let path = Path::new(&directory).join("stdout");
    let mut options = File::options();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    let attempt = || format!("cannot read the task's output {}", path.display());
    let mut log = options.open(&path).with_context(attempt)?;
    ensure!(log.metadata()?.is_file(), "{}: it is no file", attempt());
    log.seek(SeekFrom::End(0)).with_context(attempt)?;
    Ok(log)
}

fn show(log: &mut File) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    let mut out = io::stdout();
    loop {
        match log.read(&mut buffer)? {
            0 => return out.flush(),
            read => out.write_all(buffer.get(..read).unwrap_or_default())?,
        }
    }
}
