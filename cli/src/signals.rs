//! Signals as something to wait for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The requests that a user or init system makes of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// SIGINT or SIGTERM.
    Stop,
    /// SIGUSR1: leave the cluster for good.
    Leave,
}

#[derive(Debug)]
pub struct Requests {
    interrupt: Signal,
    terminate: Signal,
    user: Signal,
}

impl Requests {
    /// From now on these signals no longer end the process by themselves.
    pub fn listen() -> io::Result<Requests> {
        Ok(Requests {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.terminate.recv() => Request::Stop,
            _ = self.user.recv() => Request::Leave,
        }
    }

    pub async fn stop(&mut self) {
        while self.next().await != Request::Stop {}
    }
}
