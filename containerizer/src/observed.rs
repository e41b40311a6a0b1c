//! A container that somebody else has made, as its kernel objects tell of it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use isolators::cgroups::{Cgroup, StatisticsError};
use isolators::network::{ProtocolCounters, Traffic};

use crate::Containerizer;
use crate::snapshot::{self, NetworkUse, PressureMeter, Snapshot};
use crate::{sys, within};

/// To be looked at, and nothing else.
#[derive(Debug)]
pub struct Observed {
    pid: u32,
    process: OwnedFd,
    cgroup: Cgroup,
    pressure: PressureMeter,
}

impl Containerizer {
    /// `pid`: of its first process. Errors: that has gone, or no controller that matters has a cgroup for it.
    pub fn observe(&self, pid: u32) -> io::Result<Observed> {
        // First: from here on the number is that process's, or what is asked of it fails.
        let process = sys::pidfd_open(pid)?;
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let path =
            path_of(&text).ok_or_else(|| io::Error::other("it is in no cgroup of its own"))?;
        Ok(Observed {
            pid,
            process,
            cgroup: Cgroup::found(&self.0.hierarchy, &path),
            pressure: PressureMeter::default(),
        })
    }
}

impl Observed {
    /// Does `work` in its network, on a thread of its own. Errors: `ESRCH` once it has ended.
    pub async fn within_network<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        within::network_of(self.process.try_clone()?, work).await
    }

    /// What it uses now.
    pub fn snapshot(&self) -> Result<Snapshot, StatisticsError> {
        let network = Traffic::of(self.pid).map(|traffic| NetworkUse {
            traffic,
            protocols: ProtocolCounters::of(self.pid),
        });
        snapshot::take(&self.cgroup, &self.pressure, network)
    }
}

/// That of its memory, or of v2, which has one for all. Source: proc_pid_cgroup(5).
fn path_of(text: &str) -> Option<PathBuf> {
    let lines = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?, parts.next()?))
    });
    let of = |wanted: &str| {
        let mut lines = lines.clone();
        let found = lines.find(|(names, _)| names.split(',').any(|name| name == wanted));
        found.map(|(_, path)| path)
    };
    let path = of("memory").or_else(|| of(""))?;
    (path != "/").then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_found_in_either_version() {
        let v1 = "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/system.slice\n";
        assert_eq!(path_of(v1), Some("/docker/abc".into()));
        assert_eq!(
            path_of("0::/system.slice/docker-abc.scope\n"),
            Some("/system.slice/docker-abc.scope".into())
        );
        for none in ["", "0::/\n", "nonsense"] {
            assert_eq!(path_of(none), None, "{none}");
        }
    }
}
