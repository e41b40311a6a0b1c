//! A container made step by step, for an OCI runtime: one process makes it, a later one starts it.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use init::{Awaited, Program, Then, Word};
use isolators::cgroups::{Cgroup, CgroupError, Entry, Plan};
use oci_spec::runtime::Spec;

use crate::birth::{Birth, bear};
use crate::compile::{self, Attached, Facts, Kind, Lines};
use crate::devices;
use crate::error::{LaunchError, chain};
use crate::helper::Helper;
use crate::launch::Stdio;
use crate::line::{Line, Said};
use crate::sys;
use crate::termination::ExitStatus;

/// What is to be made. Its cgroup must not exist.
#[derive(Debug)]
pub struct Stage<'a> {
    /// With absolute paths.
    pub spec: &'a Spec,
    pub cgroup: Cgroup,
    /// A directory of the host that may be hidden in the container.
    pub staging: &'a Path,
    pub stdio: Stdio,
    /// A unix socket (`SOCK_SEQPACKET`) that listens: the command waits there for [`Gate::start`].
    /// Without one it is started at once.
    pub gate: Option<OwnedFd>,
    /// A connected unix socket that the other end of the container's terminal is sent over.
    pub console: Option<(OwnedFd, Lines)>,
    /// For the command, from 3 on.
    pub preserved: Vec<OwnedFd>,
}

/// A container in the making. Dropped before `leave`, it is ended and removed.
#[derive(Debug)]
pub struct Staged {
    /// Of its first process.
    pub pid: u32,
    pidfd: OwnedFd,
    line: Line,
    cgroup: Cgroup,
    left: bool,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Its namespaces and mounts are there, and it waits until hooks have run outside.
    Hooks,
    /// It waits at its gate.
    Ready,
    /// Its command runs.
    Running,
}

/// Hands the listener of a seccomp filter on to the spec's seccomp agent. It is asked for it when the spec's
/// profile has SCMP_ACT_NOTIFY. When it fails the command, which nobody would answer, must not go on.
pub type HandOn<'a> = &'a dyn Fn(OwnedFd) -> io::Result<()>;

/// How long a killed container's processes may take to go.
const PATIENCE: Duration = Duration::from_secs(10);

impl Stage<'_> {
    /// Makes the cgroup and the first process. Errors: nothing is left, unless they say so.
    pub fn set(self) -> Result<Staged, LaunchError> {
        let limits = self.spec.linux().as_ref();
        let limits = limits.and_then(|linux| linux.resources().as_ref());
        let limits = self.cgroup.plan(limits)?;
        let program = self.program(&limits)?;
        let entry = self.cgroup.create(&limits)?;
        let born = self
            .limit_devices(&limits)
            .and_then(|()| self.bear(program, &entry));
        match born {
            Ok((spawned, line)) => Ok(Staged {
                pid: spawned.pid,
                pidfd: spawned.pidfd,
                line,
                cgroup: self.cgroup,
                left: false,
            }),
            Err(error) => {
                let left = self.cgroup.remove().err();
                Err(error.and_left(left.iter().map(|error| chain(error)).collect()))
            }
        }
    }

    fn program(&self, limits: &Plan) -> Result<Program, LaunchError> {
        let lookup = |path: &Path| match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Some(Kind::Directory),
            Ok(_) => Some(Kind::File),
            Err(_) => None,
        };
        let facts = Facts {
            cgroup_files: limits.hierarchies().len() as u32,
            cgroup: self.cgroup.path(),
            cgroup_v1_mounts: limits.hierarchies(),
            staging: self.staging,
            lookup: &lookup,
            filters: &compile::Filters::default(),
            then: Then::Become {},
            attached: Attached {
                network: false,
                ipc: false,
                cradle: false,
                holds_mounts: false,
                gate: self.gate.is_some(),
                console: self.console.as_ref().map(|(_, lines)| *lines),
                preserved: self.preserved.len() as u32,
                hooks: true,
                engine: true,
            },
        };
        Ok(compile::compile(self.spec, &facts)?)
    }

    fn limit_devices(&self, limits: &Plan) -> Result<(), LaunchError> {
        match (limits.device_program(), self.cgroup.directory()) {
            (Some(program), Some(directory)) => {
                Ok(devices::Programs::default().attach(program, &directory)?)
            }
            _ => Ok(()),
        }
    }

    fn bear(&self, program: Program, entry: &Entry) -> Result<(sys::Spawned, Line), LaunchError> {
        let helper = Helper::load().map_err(|source| LaunchError::Prepare {
            attempt: "keep the container init in memory",
            source,
        })?;
        let more: Vec<BorrowedFd<'_>> = (self
            .gate
            .iter()
            .chain(self.console.iter().map(|(socket, _)| socket)))
        .chain(&self.preserved)
        .map(|fd| fd.as_fd())
        .collect();
        bear(
            &helper,
            Birth {
                program,
                stdio: &self.stdio,
                status: None,
                entry,
                more: &more,
                namespaces: compile::clone_flags(self.spec),
            },
        )?
        .grown()
    }
}

impl Staged {
    /// Waits for the next thing to happen.
    pub fn progress(&mut self, agent: HandOn<'_>) -> Result<Progress, LaunchError> {
        hear(
            &self.line,
            agent,
            "the container's first process died while it was being made",
        )
    }

    /// Lets it go on after `Progress::Hooks`. `state`: what its own hooks are told.
    pub fn go_on(&mut self, state: &str) -> Result<(), LaunchError> {
        self.line
            .answer(state)
            .map_err(|source| LaunchError::Prepare {
                attempt: "answer the container's first process",
                source,
            })
    }

    /// Gives up what was held: from now on the container lives by itself. Returns its first process.
    /// On error it is ended and removed.
    pub fn leave(mut self) -> io::Result<Child> {
        let pidfd = self.pidfd.try_clone()?;
        self.left = true;
        Ok(Child(pidfd))
    }
}

/// A process that this one has started.
#[derive(Debug)]
pub struct Child(OwnedFd);

impl Child {
    pub(crate) fn of(pidfd: OwnedFd) -> Self {
        Self(pidfd)
    }

    /// Readable once it has ended.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Waits for its end and reaps it; `None` when somebody else has.
    pub fn wait(&self) -> Option<ExitStatus> {
        sys::wait(&self.0).map(ExitStatus::from_waitid)
    }

    /// Errors: `ESRCH` once it has been reaped.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        sys::pidfd_send_signal(&self.0, signal)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        // It can only be gone already.
        let _ = sys::pidfd_send_signal(&self.pidfd, libc::SIGKILL);
        sys::wait(&self.pidfd);
        if let Err(error) = remove_when_empty(&self.cgroup, PATIENCE) {
            tracing::warn!(%error, "a container that failed to start left its cgroup");
        }
    }
}

/// Removes a cgroup whose processes have been killed.
pub fn remove_when_empty(cgroup: &Cgroup, patience: Duration) -> Result<(), CgroupError> {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_micros(200);
    loop {
        match cgroup.remove() {
            Err(CgroupError::Busy { .. }) if Instant::now() < deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            removed => return removed,
        }
    }
}

/// The gate of a container that is ready, connected.
#[derive(Debug)]
pub struct Gate(Line);

impl Gate {
    /// `connection`: to the socket that was given to its [`Stage`]. Connecting starts the command.
    pub fn start(connection: OwnedFd) -> Self {
        Self(Line::connected(connection))
    }

    /// Returns once the command has been exec'ed.
    pub fn wait(self, agent: HandOn<'_>) -> Result<(), LaunchError> {
        hear(
            &self.0,
            agent,
            "the container's first process died before it ran the command",
        )
        .map(drop)
    }
}

fn hear(line: &Line, agent: HandOn<'_>, died: &'static str) -> Result<Progress, LaunchError> {
    let mut execs = false;
    loop {
        let said = line.hear().map(|said| said.map(Said::with_descriptor));
        return match said {
            Ok(Some((Word::AboutToExec { .. }, _))) => {
                execs = true;
                continue;
            }
            Ok(Some((Word::Listener {}, Some(listener)))) => {
                agent(listener).map_err(LaunchError::Agent)?;
                continue;
            }
            Ok(Some((Word::Ready {}, _))) => Ok(Progress::Ready),
            Ok(Some((
                Word::Waiting {
                    awaited: Awaited::Hooks {},
                },
                _,
            ))) => Ok(Progress::Hooks),
            Ok(Some((Word::Failed { report }, _))) => Err(report.into()),
            Ok(Some((Word::Handed { .. } | Word::Listener {} | Word::Mounts {}, _))) => {
                Err(died_because(died, io::ErrorKind::InvalidData.into()))
            }
            Ok(None) if execs => Ok(Progress::Running),
            Ok(None) => Err(died_because(died, io::ErrorKind::UnexpectedEof.into())),
            Err(source) => Err(died_because(died, source)),
        };
    }
}

fn died_because(attempt: &'static str, source: io::Error) -> LaunchError {
    LaunchError::Lost { attempt, source }
}

/// A copy of a descriptor that this process was started with. Errors: `EBADF`.
pub fn inherited(number: i32) -> io::Result<OwnedFd> {
    sys::inherited(number)
}

/// Takes over a descriptor that came as a number in a message, and was opened by it.
pub fn received(number: i32) -> io::Result<OwnedFd> {
    sys::received(number)
}

/// Errors: `ESRCH` once the process has been reaped.
pub fn signal(pidfd: &OwnedFd, signal: i32) -> io::Result<()> {
    sys::pidfd_send_signal(pidfd, signal)
}
