//! What has become of a container: asked of the kernel each time, for nobody watches it.

use std::path::Path;
use std::sync::Arc;

use isolators::cgroups::{Cgroup, Hierarchy};

use crate::error::Error;
use crate::store::{Entry, Stored};

/// Source: OCI runtime spec, runtime.md, "State"; `Paused` is runc's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

pub fn of(entry: &Entry, stored: &Stored) -> Status {
    if !stored.process.lives() {
        Status::Stopped
    } else if cgroup(stored).is_ok_and(|cgroup| cgroup.is_frozen()) {
        Status::Paused
    } else if entry.gate().exists() {
        Status::Created
    } else {
        Status::Running
    }
}

pub fn hierarchy() -> Result<Arc<Hierarchy>, Error> {
    Ok(Arc::new(Hierarchy::detect(Path::new("/sys/fs/cgroup"))?))
}

pub fn cgroup(stored: &Stored) -> Result<Cgroup, Error> {
    Ok(Cgroup::found(&hierarchy()?, &stored.cgroup))
}
