//! A process of an OCI runtime's exec: it joins a container and belongs to who asked for it.
//!
//! A new `init` joins the container's cgroup and namespaces, makes the process as a sister of its own,
//! tells its number, and ends. So the process is a child of the caller, and of whoever takes in the
//! caller's children when that ends, as engines expect.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use init::Word;
use isolators::cgroups::Entry;
use oci_spec::runtime::{Process, Spec};

use crate::birth::{Birth, bear};
use crate::compile::{self, Attached, Lines};
use crate::error::LaunchError;
use crate::helper::Helper;
use crate::launch::Stdio;
use crate::line::{Line, Said};
use crate::stage::{Child, HandOn};
use crate::sys;

#[derive(Debug)]
pub struct Entrance<'a> {
    /// Of the container.
    pub spec: &'a Spec,
    pub process: &'a Process,
    /// Into its cgroup, or one below that.
    pub entry: Entry,
    /// The container's first process.
    pub pidfd: &'a OwnedFd,
    pub stdio: Stdio,
    /// A connected unix socket that the other end of the process' terminal is sent over.
    pub console: Option<(OwnedFd, Lines)>,
    /// For the process, from 3 on.
    pub preserved: Vec<OwnedFd>,
}

/// As [`HandOn`], with the number of the process.
pub type ToAgent<'a> = &'a dyn Fn(u32, OwnedFd) -> io::Result<()>;

const DIED: LaunchError = LaunchError::Joined;

impl Entrance<'_> {
    /// Returns its number once the process has been exec'ed. On error it does not exist.
    pub fn enter(self, agent: ToAgent<'_>) -> Result<(u32, Child), LaunchError> {
        let (spawned, line) = self.bear()?;
        // What it holds of the caller's must not be held by us, too: a pipe would never end.
        drop(self.stdio);
        let told = line.hear().map(|said| said.map(|said| said.word));
        // It has done its part, or failed.
        sys::wait(&spawned.pidfd);
        let pid = match told {
            Ok(Some(Word::Handed { pid })) => pid,
            Ok(Some(Word::Failed { report })) => return Err(report.into()),
            Ok(_) | Err(_) => return Err(DIED),
        };
        // A child of ours that has not been reaped keeps its number.
        let pidfd = sys::pidfd_open(pid).map_err(|source| LaunchError::Prepare {
            attempt: "take hold of the new process",
            source,
        })?;
        match until_exec(&line, &|listener| agent(pid, listener)) {
            Ok(()) => Ok((pid, Child::of(pidfd))),
            Err(error) => {
                // It can only be gone already.
                let _ = sys::pidfd_send_signal(&pidfd, libc::SIGKILL);
                sys::wait(&pidfd);
                Err(error)
            }
        }
    }

    fn bear(&self) -> Result<(sys::Spawned, Line), LaunchError> {
        let helper = Helper::load().map_err(|source| LaunchError::Prepare {
            attempt: "keep the container init in memory",
            source,
        })?;
        let entry = &self.entry;
        let cgroup_files = match entry {
            Entry::Tasks(tasks) => tasks.len() as u32,
            Entry::Directory(_) => 0,
        };
        let attached = Attached {
            console: self.console.as_ref().map(|(_, lines)| *lines),
            preserved: self.preserved.len() as u32,
            ..Attached::default()
        };
        let program = compile::enter(self.spec, self.process, cgroup_files, attached)?;
        let more: Vec<BorrowedFd<'_>> = (std::iter::once(self.pidfd)
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
                namespaces: 0,
            },
        )?
        .grown()
    }
}

fn until_exec(line: &Line, agent: HandOn<'_>) -> Result<(), LaunchError> {
    let mut execs = false;
    loop {
        let said = line.hear().map(|said| said.map(Said::with_descriptor));
        match said {
            Ok(Some((Word::AboutToExec { .. }, _))) => execs = true,
            Ok(Some((Word::Listener {}, Some(listener)))) => {
                agent(listener).map_err(LaunchError::Agent)?;
            }
            Ok(Some((Word::Failed { report }, _))) => return Err(report.into()),
            Ok(None) if execs => return Ok(()),
            Ok(_) | Err(_) => return Err(DIED),
        }
    }
}
