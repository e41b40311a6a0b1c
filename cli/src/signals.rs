//! Signals as something to wait for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The requests that a user or init system makes of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// SIGINT or SIGTERM, or SIGHUP where that matters.
    Stop,
    /// SIGUSR1: leave the cluster for good.
    Leave,
    /// SIGHUP to an agent: go on with the program that is on the disk now.
    Upgrade,
}

#[derive(Debug)]
pub struct Requests {
    interrupt: Signal,
    terminate: Signal,
    user: Signal,
    hangup: Option<Signal>,
    hangs_up: HangsUp,
}

/// What SIGHUP asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HangsUp {
    /// To end with the terminal.
    Stop,
    /// To be upgraded; but to stop, where a terminal was there and is closed.
    Upgrade { terminal: bool },
}

impl Requests {
    /// From now on these signals no longer end the process by themselves.
    pub fn listen() -> io::Result<Requests> {
        Ok(Requests {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            user: signal(SignalKind::user_defined1())?,
            hangup: None,
            hangs_up: HangsUp::Stop,
        })
    }

    /// The same for an agent, which can be upgraded.
    pub fn listen_as_agent() -> io::Result<Requests> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let terminal = !ignores_hangup(&status) && has_terminal();
        Ok(Requests {
            hangup: Some(signal(SignalKind::hangup())?),
            hangs_up: HangsUp::Upgrade { terminal },
            ..Requests::listen()?
        })
    }

    /// The same, and a terminal that is closed, or a connection to it that breaks, asks to stop;
    /// not one that was started with nohup(1).
    pub fn listen_on_terminal() -> io::Result<Requests> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let hangup = match ignores_hangup(&status) {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        Ok(Requests {
            hangup,
            ..Requests::listen()?
        })
    }

    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.terminate.recv() => Request::Stop,
            _ = self.user.recv() => Request::Leave,
            () = hung_up(self.hangup.as_mut()) => match self.hangs_up {
                HangsUp::Stop => Request::Stop,
                // The kernel takes it away before it sends the signal.
                HangsUp::Upgrade { terminal: true } if !has_terminal() => Request::Stop,
                HangsUp::Upgrade { .. } => Request::Upgrade,
            },
        }
    }

    pub async fn stop(&mut self) {
        while self.next().await != Request::Stop {}
    }
}

/// Whether this process' session has one: its name opens it then. See tty(4).
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// By the mask of proc_pid_status(5), where bit n-1 is signal n.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << (SignalKind::hangup().as_raw_value() - 1) != 0)
}

async fn hung_up(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_recognised() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("Name:\tx\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
