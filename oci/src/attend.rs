//! Beside a process in the foreground: hands it signals and what is typed, until it ends.

use std::io;
use std::os::fd::AsFd as _;

use containerizer::{Child, ExitStatus};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::{Error, call};
use crate::terminal::Terminal;

/// All signals, from now on. Made before the process, so that none is lost between.
pub struct Signals(SignalFd);

impl Signals {
    pub fn take() -> Result<Self, Error> {
        let all = SigSet::all();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None).map_err(call("block signals"))?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        SignalFd::with_flags(&all, flags)
            .map(Self)
            .map_err(call("read signals"))
    }
}

/// Returns how it ended; `None` when somebody else has reaped it.
pub fn until_end(
    child: &Child,
    signals: &Signals,
    terminal: Option<&Terminal>,
) -> Result<Option<ExitStatus>, Error> {
    let mut typed = true;
    let mut shown = true;
    loop {
        let stdin = io::stdin();
        let mut waiting = vec![
            PollFd::new(child.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.0.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(terminal) = terminal {
            let when = |asked: bool| match asked {
                true => PollFlags::POLLIN,
                false => PollFlags::empty(),
            };
            if shown {
                waiting.push(PollFd::new(terminal.as_fd(), when(shown)));
            }
            if typed {
                waiting.push(PollFd::new(stdin.as_fd(), when(typed)));
            }
        }
        match poll(&mut waiting, PollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            polled => polled.map_err(call("wait for the container"))?,
        };
        let ready: Vec<bool> = waiting.iter().map(|fd| fd.any() == Some(true)).collect();
        if ready.get(1) == Some(&true) {
            pass_signals(child, signals, terminal);
        }
        if let Some(terminal) = terminal {
            let mut rest = ready.iter().skip(2);
            if shown && rest.next() == Some(&true) {
                shown = terminal.show();
            }
            if typed && rest.next() == Some(&true) {
                typed = terminal.type_in();
            }
        }
        if ready.first() == Some(&true) {
            // What it still has said.
            while let (true, Some(terminal)) = (shown, terminal) {
                shown = terminal.show();
            }
            return Ok(child.wait());
        }
    }
}

fn pass_signals(child: &Child, signals: &Signals, terminal: Option<&Terminal>) {
    while let Ok(Some(info)) = signals.0.read_signal() {
        match (info.ssi_signo as i32, terminal) {
            (libc::SIGCHLD, _) | (libc::SIGURG, _) => {}
            (libc::SIGWINCH, Some(terminal)) => terminal.resize(),
            // Our own terminal's doing, not meant for the container.
            (libc::SIGPIPE | libc::SIGTTIN | libc::SIGTTOU, _) => {}
            // It has just ended.
            (signal, _) => drop(child.signal(signal)),
        }
    }
}
