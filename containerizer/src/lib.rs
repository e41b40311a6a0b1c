//! Containerizer: request → plan (an OCI runtime spec plus host steps) → running container.
//!
//! Invariant: this crate knows nothing of tasks, frameworks or HTTP. `sys` holds the only unsafe
//! code; what happens inside a container before its command runs is done by the separate static
//! program `init`, from steps that were planned here.
#![deny(unsafe_code)]

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use isolators::{ContainerId, Request};
use oci_spec::runtime::Spec;

/// Where the containerizer keeps its things on this host.
#[derive(Debug, Clone)]
pub struct Config {
    /// Per-boot state of containers (a tmpfs on most hosts), e.g. `/var/run/mesos`.
    pub runtime_dir: PathBuf,
    /// Where cgroup file systems are mounted: `/sys/fs/cgroup`.
    pub cgroups_hierarchy: PathBuf,
    /// The subtree of cgroups that is ours: `mesos`.
    pub cgroups_root: String,
    /// Cap cpu at the request when the task has no limit of its own.
    pub cgroups_enable_cfs: bool,
    /// How long the processes of a killed container may take to disappear.
    pub cgroups_destroy_timeout: Duration,
}

/// Files for the container's output; opened by the caller with O_APPEND.
#[derive(Debug)]
pub struct Output {
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// Launches containers on this host and finds them again after a restart.
#[derive(Debug, Clone)]
pub struct Containerizer {}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {}
#[derive(Debug, thiserror::Error)]
pub enum PlanError {}
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {}
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {}
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {}

impl Containerizer {
    /// Looks at the host (cgroup versions, shell) and prepares the runtime directory and `init`.
    pub fn open(_config: Config) -> Result<Self, OpenError> {
        todo!()
    }

    /// The OCI runtime spec that `launch` would execute. Pure but for facts gathered by `open`.
    pub fn plan(&self, _request: &Request) -> Result<Spec, PlanError> {
        todo!()
    }

    /// Returns once the command has been exec'ed. On error nothing of the container is left on the
    /// host, and the error says what could not be done (command not found, volume missing, …).
    pub async fn launch(&self, _request: &Request, _out: Output) -> Result<Container, LaunchError> {
        todo!()
    }

    /// Finds the containers that an earlier process with the same runtime directory launched, those
    /// that ended meanwhile included: their `wait` returns at once. The caller destroys (`kill`,
    /// then `wait`) those it does not know.
    pub async fn recover(&self) -> Result<Vec<Container>, RecoverError> {
        todo!()
    }
}

/// A handle on one container; clones name the same container.
#[derive(Debug, Clone)]
pub struct Container {}

impl Container {
    pub fn id(&self) -> &ContainerId {
        todo!()
    }

    /// Host pid of the container's first process (`init`).
    pub fn pid(&self) -> u32 {
        todo!()
    }

    /// What was executed.
    pub fn spec(&self) -> &Spec {
        todo!()
    }

    /// Waits until every process is gone and the host objects are released. Many may wait, before
    /// or after the end; all get the same answer. Cancel safe.
    pub async fn wait(&self) -> Termination {
        todo!()
    }

    /// Asks every process of the container to end, with SIGTERM. Not an error once it has ended.
    pub fn terminate(&self) {
        todo!()
    }

    /// SIGKILL to every process of the container. Not an error once it has ended.
    pub fn kill(&self) {
        todo!()
    }

    /// What the container uses now.
    pub fn statistics(&self) -> Result<Statistics, StatisticsError> {
        todo!()
    }
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// Of the command. `None` when it died without anyone recording how (init was killed): treat
    /// as SIGKILL.
    pub status: Option<ExitStatus>,
    /// Set when the kernel killed a process of the container for memory.
    pub out_of_memory: Option<OutOfMemory>,
    /// Host objects that could not be released, each as a sentence.
    pub leftovers: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    Exited(i32),
    /// Signal number, 1 to 64.
    Signaled(i32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes.
    pub limit: u64,
    /// Most bytes ever used at one time.
    pub peak: u64,
    /// The process that the kernel chose, when its log still says so.
    pub victim: Option<Victim>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// In the host's pid namespace.
    pub pid: u32,
    pub name: String,
}

/// Names and meaning as in Mesos' `ResourceStatistics` (spec/mesos-agent.md section 22).
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    pub timestamp: SystemTime,
    pub cpus_user: Duration,
    pub cpus_system: Duration,
    /// Scheduling periods with a quota, periods that hit it, and the time lost to it.
    pub cpus_nr_periods: Option<u64>,
    pub cpus_nr_throttled: Option<u64>,
    pub cpus_throttled: Option<Duration>,
    /// Bytes, from here on.
    pub mem_total: u64,
    pub mem_rss: u64,
    pub mem_cache: u64,
    pub mem_mapped_file: u64,
    pub mem_unevictable: u64,
    pub mem_limit: Option<u64>,
    pub mem_soft_limit: Option<u64>,
    /// Processes alive.
    pub processes: Option<u64>,
}
