//! A command in a container that runs already.
//!
//! A new `init` joins the container's cgroup and, through a descriptor of its first process, its
//! namespaces, and starts the command there with the container's own limits, capabilities and
//! environment. It stays outside its pid namespace, where nobody in the container can see it, and ends
//! as the command ends. Nothing of the container's record changes: who executes it owns it.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use isolators::ContainerId;
use isolators::cgroups::{BadHierarchy, Cgroup, Entry, Hierarchy};
use oci_spec::runtime::{LinuxResources, Spec};

use crate::birth::{Birth, bear};
use crate::compile::{self, Command, Filters};
use crate::error::LaunchError;
use crate::helper::Helper;
use crate::kin;
use crate::launch::{Heard, Stdio, hear};
use crate::line::Line;
use crate::process::Process;
use crate::record::{Record, RecordError};
use crate::sys;
use crate::termination::ExitStatus;
use crate::timings::Stopwatch;
use crate::update::{UpdateError, update_limits};

/// A container of this host that runs, whoever started it.
#[derive(Debug)]
pub struct Target {
    spec: Spec,
    pidfd: OwnedFd,
    cgroup: Cgroup,
    helper: Helper,
}

#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("container {0} does not run, or is not in {1}")]
    NotRunning(ContainerId, String),
    #[error("cannot read the container's record")]
    Record(#[from] RecordError),
    #[error("cannot use this host's cgroups")]
    Hierarchy(#[from] BadHierarchy),
    #[error("cannot keep the container init in memory (memfd_create; see sysctl vm.memfd_noexec)")]
    Helper(#[source] io::Error),
}

/// A command that was started. Dropping it leaves it alone.
#[derive(Debug)]
pub struct Execution {
    process: Process,
    /// The host's number of the command.
    command: Option<u32>,
    cgroup: Cgroup,
}

/// A container that a command is to join.
pub(crate) struct Joined<'a> {
    pub spec: &'a Spec,
    pub pidfd: BorrowedFd<'a>,
    pub cgroup: &'a Cgroup,
    pub helper: &'a Helper,
    pub filters: &'a Filters,
}

/// On its way to its command.
pub(crate) struct Joining {
    process: Process,
    line: Line,
    cgroup: Cgroup,
}

impl Target {
    /// Finds what an agent with these directories runs.
    pub fn find(
        runtime_dir: &Path,
        cgroups_hierarchy: &Path,
        id: &ContainerId,
    ) -> Result<Self, TargetError> {
        let not_running = || TargetError::NotRunning(id.clone(), runtime_dir.display().to_string());
        let record = Record::of(runtime_dir, id);
        let process = record.open_process()?;
        let pidfd = process.ok_or_else(not_running)?.pidfd;
        let spec = record.spec()?;
        let hierarchy = Hierarchy::detect(cgroups_hierarchy)?;
        let path = spec.linux().as_ref().and_then(|l| l.cgroups_path().clone());
        let path = path.ok_or_else(not_running)?;
        Ok(Self {
            cgroup: Cgroup::found(&Arc::new(hierarchy), &path),
            spec,
            pidfd,
            helper: Helper::load().map_err(TargetError::Helper)?,
        })
    }

    /// To freeze and thaw it, and to see what it uses.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// The other end of the terminal that its command has from the beginning: what is typed goes in, and
    /// the size of the window is set there. What is shown is in the container's log already. `None`
    /// without a terminal.
    pub fn terminal(&self) -> io::Result<Option<OwnedFd>> {
        let process = self.spec.process().as_ref();
        match process.and_then(|process| process.terminal()) {
            Some(true) => sys::pidfd_getfd(&self.pidfd, init::fd::TERMINAL).map(Some),
            Some(false) | None => Ok(None),
        }
    }

    /// As [`Container::update`](crate::Container::update).
    pub fn update(&self, resources: &LinuxResources) -> Result<(), UpdateError> {
        update_limits(&self.cgroup, resources)
    }

    /// Returns once the command has been exec'ed. Errors: `Frozen`.
    pub async fn exec(&self, command: &Command, stdio: Stdio) -> Result<Execution, LaunchError> {
        let joined = Joined {
            spec: &self.spec,
            pidfd: self.pidfd.as_fd(),
            cgroup: &self.cgroup,
            helper: &self.helper,
            filters: &Filters::default(),
        };
        let joining = joined.start(command, &stdio)?;
        drop(stdio);
        joining.until_exec().await
    }
}

impl Joined<'_> {
    /// Blocks for a moment.
    pub(crate) fn start(&self, command: &Command, stdio: &Stdio) -> Result<Joining, LaunchError> {
        if self.cgroup.is_frozen() {
            return Err(LaunchError::Frozen);
        }
        let entry = self.cgroup.entry()?;
        let files = match &entry {
            Entry::Tasks(tasks) => tasks.len() as u32,
            Entry::Directory(_) => 0,
        };
        // It keeps no exit record.
        let (spawned, line) = bear(
            self.helper,
            Birth {
                program: compile::join(self.spec, command, files, self.filters)?,
                stdio,
                status: None,
                entry: &entry,
                more: &[self.pidfd],
                namespaces: 0,
            },
        )?
        .grown()?;
        let process = Process::adopt(spawned).map_err(|source| LaunchError::Prepare {
            attempt: "watch the new process",
            source,
        })?;
        Ok(Joining {
            process,
            line,
            cgroup: self.cgroup.clone(),
        })
    }
}

impl Joining {
    pub(crate) async fn until_exec(self) -> Result<Execution, LaunchError> {
        let process = self.process;
        match hear(self.line, &mut Stopwatch::start()).await {
            Heard::Running { command, .. } => Ok(Execution {
                process,
                command,
                cgroup: self.cgroup,
            }),
            Heard::Failed(report) => {
                process.end();
                Err(report.into())
            }
            Heard::Nothing => {
                process.end();
                Err(LaunchError::Joined)
            }
        }
    }
}

impl Execution {
    /// Waits for the end of the command: its exit status, or 128 and the number of the signal that
    /// killed it, as shells tell it. Cancel safe.
    pub async fn wait(&self) -> i32 {
        const KILLED: i32 = 128 + libc::SIGKILL;
        match self.process.wait().await {
            Some(ExitStatus::Exited(code)) => code,
            Some(ExitStatus::Signaled(signal)) => 128 + signal,
            // The container has ended, and its kernel has told nobody how.
            None => KILLED,
        }
    }

    /// Not an error once it has ended.
    pub fn signal(&self, signal: i32) {
        self.process.signal(signal);
    }

    /// SIGKILL to the command and to all that came of it. Not an error once it has ended. Blocks.
    pub fn kill(&self) {
        match self.command {
            // What has ended is not looked for: its number may be another's.
            Some(command) if self.process.is_there() => kin::kill(command, &self.cgroup),
            Some(_) => {}
            // The kernel does not tell who it is.
            None => self.process.signal(libc::SIGTERM),
        }
    }
}
