//! `delete`: what is left of a container.

use std::time::Duration;

use containerizer::hooks::Kind;
use containerizer::remove_when_empty;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd as _;

use crate::error::{Error, chain};
use crate::flags::Delete;
use crate::hooks;
use crate::log::Log;
use crate::state::State;
use crate::status::{self, Status};
use crate::store::{Entry, Store, Stored};

/// How long killed processes may take to go.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn delete(store: &Store, flags: &Delete, log: &Log) -> Result<(), Error> {
    let found = match store.find(&flags.id) {
        Err(Error::NoContainer) if flags.force => return Ok(()),
        found => found?,
    };
    let stored = match found.stored() {
        // Making it was cut off before there was a process.
        Err(Error::NoContainer) if flags.force => return found.remove(),
        stored => stored?,
    };
    let status = match status::of(&found, &stored) {
        Status::Running if !flags.force => after_its_end(&found, &stored),
        status => status,
    };
    match status {
        Status::Stopped => {}
        Status::Created => end(&stored),
        Status::Running | Status::Paused if flags.force => end(&stored),
        status @ (Status::Running | Status::Paused) => {
            let id = found.id.as_str().to_owned();
            let status = status.name();
            return Err(Error::NotStopped { id, status });
        }
    }
    remove(&found, &stored, log)
}

/// One that was killed a moment ago needs a moment to end, and who killed it may not wait for that.
fn after_its_end(entry: &Entry, stored: &Stored) -> Status {
    const MOMENT: u16 = 500;
    if let Ok(Some(process)) = stored.process.open() {
        let mut ended = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        // Then it is looked at all the same.
        let _ = poll(&mut ended, MOMENT);
    }
    status::of(entry, stored)
}

/// Kills its processes, and waits until the first of them has ended. That it had ended is no error.
pub fn end(stored: &Stored) {
    let process = stored.process.open().ok().flatten();
    if let Ok(cgroup) = status::cgroup(stored) {
        cgroup.kill();
    }
    let Some(process) = process else { return };
    // It can only be gone already.
    let _ = containerizer::signal(&process, nix::libc::SIGKILL);
    let mut ended = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
    let _ = poll(&mut ended, patience);
}

/// Of a container whose first process has ended.
pub fn remove(entry: &Entry, stored: &Stored, log: &Log) -> Result<(), Error> {
    let cgroup = status::cgroup(stored)?;
    // Without a pid namespace of its own, others may have outlived the first.
    cgroup.kill();
    remove_when_empty(&cgroup, PATIENCE)?;
    let spec = entry.spec();
    entry.remove()?;
    let state = State::as_told(entry, stored, Status::Stopped.name()).to_json()?;
    // The container is gone: a hook that fails cannot bring it back.
    let failed = match spec {
        Ok(spec) => hooks::run_all(&spec, Kind::Poststop, &state),
        Err(error) => vec![error],
    };
    failed.iter().for_each(|error| log.warning(&chain(error)));
    Ok(())
}
