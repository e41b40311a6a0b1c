//! `pause` and `resume`: every process of a container stands still, and goes on.

use std::time::Duration;

use crate::error::Error;
use crate::status::{self, Status};
use crate::store::Store;

/// How long processes that are in the kernel may take to stand still.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn pause(store: &Store, id: &str) -> Result<(), Error> {
    let entry = store.find(id)?;
    let stored = entry.stored()?;
    match status::of(&entry, &stored) {
        Status::Created | Status::Running => Ok(status::cgroup(&stored)?.freeze(PATIENCE)?),
        status @ (Status::Paused | Status::Stopped) => {
            Err(Error::NotRunningOrCreated(status.name()))
        }
    }
}

pub fn resume(store: &Store, id: &str) -> Result<(), Error> {
    let entry = store.find(id)?;
    let stored = entry.stored()?;
    match status::of(&entry, &stored) {
        Status::Paused => Ok(status::cgroup(&stored)?.thaw()?),
        Status::Created | Status::Running | Status::Stopped => Err(Error::NotPaused),
    }
}
