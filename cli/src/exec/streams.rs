//! Standard streams of an executed command: this program's own, or a terminal in between.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use containerizer::{Command, Execution, Stdio, Target, Terminal, copy_window_size};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::raw::Raw;

/// For what the command wrote last and is not shown yet; its children may hold the terminal longer.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The command reads and writes what this program would. Gives its exit status.
pub async fn plain(target: &Target, command: &Command) -> anyhow::Result<i32> {
    let own = |stream: &dyn std::os::fd::AsFd| -> io::Result<OwnedFd> {
        stream.as_fd().try_clone_to_owned()
    };
    let stdio = Stdio {
        stdin: Some(own(&io::stdin())?),
        stdout: own(&io::stdout())?,
        stderr: own(&io::stderr())?,
    };
    let mut signals = Passed::listen()?;
    let execution = target.exec(command, stdio).await?;
    Ok(signals.until_end(&execution).await)
}

/// The command has a terminal of its own, which is shown on the user's. Gives its exit status.
pub async fn on_terminal(target: &Target, command: &Command) -> anyhow::Result<i32> {
    let Terminal { master, slave } = Terminal::open().context("cannot make a terminal")?;
    copy_window_size(io::stdin().as_fd(), master.as_fd()).context("stdin is not a terminal")?;
    let stdio = Stdio {
        stdin: Some(slave.try_clone()?),
        stdout: slave.try_clone()?,
        stderr: slave,
    };
    let mut signals = Passed::listen()?;
    let mut resized = signal(SignalKind::window_change())?;
    let execution = target.exec(command, stdio).await?;

    let raw = Raw::enter().context("cannot set up this terminal")?;
    let typed = File::from(master.try_clone()?);
    let shown = File::from(master.try_clone()?);
    // Both wait in system calls: the first until this program ends, the second until the command
    // and its children do.
    thread::spawn(move || copy(io::stdin(), typed));
    let (done, all_shown) = oneshot::channel();
    thread::spawn(move || {
        copy(shown, io::stdout());
        let _nobody_waits = done.send(());
    });
    let resizing = async {
        while resized.recv().await.is_some() {
            let copied = copy_window_size(io::stdin().as_fd(), master.as_fd());
            tracing::debug!(?copied, "the window has another size");
        }
    };
    let status = tokio::select! {
        status = signals.until_end(&execution) => status,
        () = resizing => execution.wait().await,
    };
    let _cut_off = tokio::time::timeout(LAST_WORDS, all_shown).await;
    drop(raw);
    Ok(status)
}

/// Until one side has ended: a terminal whose programs have ended is an error to read.
fn copy(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read) = from.read(&mut buffer) {
        let written = to.write_all(&buffer[..read]).and_then(|()| to.flush());
        if read == 0 || written.is_err() {
            return;
        }
    }
}

/// Signals that are meant for the command.
pub(super) struct Passed(Vec<(i32, Signal)>);

impl Passed {
    pub(super) fn listen() -> io::Result<Passed> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::quit(),
        ];
        let listen = |kind: SignalKind| Ok((kind.as_raw_value(), signal(kind)?));
        Ok(Passed(
            kinds.into_iter().map(listen).collect::<io::Result<_>>()?,
        ))
    }

    /// Passes them on for as long as the command runs; gives its exit status.
    async fn until_end(&mut self, execution: &Execution) -> i32 {
        loop {
            tokio::select! {
                status = execution.wait() => return status,
                signal = self.next() => execution.signal(signal),
            }
        }
    }

    pub(super) async fn next(&mut self) -> i32 {
        std::future::poll_fn(|context| {
            for (number, signal) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}
