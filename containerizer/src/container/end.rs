//! The end of a container: waiting for it, and letting go of what it had on the host.

use std::time::Duration;

use failpoint::{Point, reach};
use isolators::PidNamespace;
use isolators::cgroups::{Cgroup, CgroupError, OomWatch};
use tokio::time::Instant;

use super::Container;
use crate::death::{self, Death, Look};
use crate::error::chain;
use crate::out_of_memory::until_oom_kill;
use crate::process::Process;
use crate::termination::{ExitStatus, Termination};

impl Container {
    /// `None` when it was left before its end.
    pub(super) async fn until_released(
        &self,
        oom: Option<OomWatch>,
        patience: Duration,
    ) -> Option<Termination> {
        let reaped = match &self.0.process {
            Some(process) => {
                tokio::select! {
                    () = self.until_ended(process, oom) => {}
                    () = self.0.shared.is_left() => return None,
                }
                reach(Point::EndSeen);
                process.wait().await
            }
            None => None,
        };
        // A supervising init leaves the command's status in its record; otherwise the process that
        // ended was the command itself, or an init that was killed: the same answer serves both.
        let read = self.0.record.exit();
        if let Err(error) = &read {
            let error = chain(error);
            tracing::error!(container = %self.id(), error, "lost: how a command ended is recorded, and cannot be read");
        }
        let is_record_damaged = read.is_err();
        let recorded = read.unwrap_or(None);
        let status = recorded.map(|record| ExitStatus::from_raw(record.status));
        let status = status.or(reaped);
        let look = Look {
            cgroup: self.0.cgroup.clone(),
            command: self.command(status).await,
            since: self.0.since.map(Instant::into_std),
        };
        let (out_of_memory, kernel) = match look.is_needless() {
            true => (None, None),
            false => {
                let looked = tokio::task::spawn_blocking(move || look.look(status)).await;
                looked.unwrap_or_default()
            }
        };
        reach(Point::Reaped);
        let leftovers = self.release(patience).await;
        reach(Point::Released);
        Some(Termination {
            status,
            out_of_memory,
            death: Death {
                kernel,
                is_record_damaged,
                ..Death::of(recorded, reaped, self.0.pids)
            },
            leftovers,
        })
    }

    /// The host pid of the command, when the kernel's log may tell why it ended like that. A command
    /// may end before its launcher has heard that it runs.
    async fn command(&self, status: Option<ExitStatus>) -> Option<u32> {
        const PATIENCE: Duration = Duration::from_millis(500);
        if !death::is_of_kernel(status) {
            return None;
        }
        let heard = tokio::time::timeout(PATIENCE, self.0.command.wait()).await;
        heard.ok().copied()
    }

    /// Returns when the first process has ended, and with it its own pid namespace. Kills it when
    /// memory runs out: a container that has lost one process to that is not left half alive.
    async fn until_ended(&self, process: &Process, oom: Option<OomWatch>) {
        tokio::select! {
            () = process.ended() => return,
            () = until_oom_kill(&self.0.cgroup, oom) => self.kill(),
        }
        process.ended().await;
    }

    async fn release(&self, patience: Duration) -> Vec<String> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_millis(1);
        loop {
            self.end_the_rest();
            match self.0.cgroup.remove() {
                Ok(()) => return Vec::new(),
                Err(CgroupError::Busy { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(200));
                }
                Err(error) => return vec![chain(&error)],
            }
        }
    }

    /// Those that do not end with the first process.
    pub(super) fn end_the_rest(&self) {
        self.0.cgroup.nested().iter().for_each(Cgroup::kill);
        match self.0.pids {
            PidNamespace::Own => {}
            PidNamespace::Hosts => self.0.cgroup.kill(),
        }
    }
}
