//! `kill`: a signal to a container's first process, or to all of them.

use nix::sys::signal::Signal;
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::error::{Error, call};
use crate::flags::Kill;
use crate::signals;
use crate::status::{self, Status};
use crate::store::{Store, Stored};

pub fn kill(store: &Store, flags: &Kill) -> Result<(), Error> {
    let entry = store.find(&flags.id)?;
    let stored = entry.stored()?;
    let signal = signals::parse(&flags.signal)?;
    if flags.all {
        return all(&stored, signal);
    }
    if signal == Signal::SIGKILL as i32 && !has_own_pids(&entry.spec()?) {
        // Nothing else ends with its first process.
        return all(&stored, signal);
    }
    match status::of(&entry, &stored) {
        Status::Stopped => Err(Error::NotRunning),
        Status::Created | Status::Running => first(&stored, signal),
        Status::Paused => {
            first(&stored, signal)?;
            if signal == Signal::SIGKILL as i32 {
                status::cgroup(&stored)?.let_die();
            }
            Ok(())
        }
    }
}

fn has_own_pids(spec: &Spec) -> bool {
    let linux = spec.linux().as_ref();
    let namespaces = linux.and_then(|linux| linux.namespaces().as_deref());
    let mut namespaces = namespaces.unwrap_or_default().iter();
    namespaces.any(|it| it.typ() == LinuxNamespaceType::Pid && it.path().is_none())
}

fn first(stored: &Stored, signal: i32) -> Result<(), Error> {
    let process = stored
        .process
        .open()
        .map_err(call("open the container's process"))?;
    let process = process.ok_or(Error::NotRunning)?;
    containerizer::signal(&process, signal).map_err(call("signal the container's process"))
}

/// A process that ends meanwhile is no error.
pub fn all(stored: &Stored, signal: i32) -> Result<(), Error> {
    let cgroup = status::cgroup(stored)?;
    if signal == Signal::SIGKILL as i32 {
        cgroup.kill();
        return Ok(());
    }
    cgroup.for_each(|process| {
        let _ = containerizer::signal(process, signal);
    });
    Ok(())
}
