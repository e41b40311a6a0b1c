//! Which process of this boot: a number can go to another one, a number with its start time cannot.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::sys;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// In our pid namespace.
    pub pid: u32,
    /// In ticks since boot: field 22 of proc_pid_stat(5).
    pub start: u64,
}

impl Identity {
    /// `None` when there is no such process.
    pub fn of(pid: u32) -> Option<Self> {
        let (_, start) = stat(pid)?;
        Some(Self { pid, start })
    }

    /// `None` when it has been reaped.
    pub fn open(self) -> io::Result<Option<OwnedFd>> {
        let pidfd = match sys::pidfd_open(self.pid) {
            Ok(pidfd) => pidfd,
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            Err(e) => return Err(e),
        };
        // Only now: while we hold a process by its descriptor, its number cannot go to another.
        Ok((Self::of(self.pid) == Some(self)).then_some(pidfd))
    }

    /// Not so when it has ended, reaped or not.
    pub fn lives(self) -> bool {
        stat(self.pid).is_some_and(|(state, start)| {
            start == self.start && !matches!(state.as_str(), "Z" | "X" | "x")
        })
    }
}

/// Its state and start time.
fn stat(pid: u32) -> Option<(String, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces and parentheses; field 3 follows the last of them.
    let (_, after) = stat.rsplit_once(") ")?;
    let mut fields = after.split(' ');
    let state = fields.next()?.to_owned();
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_time() {
        let this = Identity::of(std::process::id()).expect("it is there");
        assert!(this.lives());
        assert!(this.open().expect("opens").is_some());
        let another = Identity { start: 1, ..this };
        assert!(!another.lives());
        assert!(another.open().expect("opens").is_none());
    }
}
