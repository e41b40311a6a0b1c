//! Stopping every process of a container at once, and letting them go on.
//!
//! v1 has a hierarchy of its own for it. A container in the lean layout gets its cgroup there when it
//! is frozen for the first time: hardly one ever is, and every launch would pay. v2 freezes by a file
//! of every cgroup.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::act;
use super::cgroup::Cgroup;
use super::error::CgroupError;
use super::hierarchy::Version;
use super::statistics::flat_keyed;

const PAUSE: Duration = Duration::from_millis(1);

impl Cgroup {
    /// Returns when every process is frozen; lets them go on when that takes longer than `patience`.
    /// Freezing twice is not an error.
    pub fn freeze(&self, patience: Duration) -> Result<(), CgroupError> {
        match self.version() {
            Version::V1 => self.freeze_v1(patience),
            Version::V2 => {
                let directory = self.required_dir("freezer")?;
                act::write(&directory.join("cgroup.freeze"), "1")?;
                self.until_frozen(&directory, patience, || {})
            }
        }
    }

    fn freeze_v1(&self, patience: Duration) -> Result<(), CgroupError> {
        let directory = self.required_dir("freezer")?;
        self.extend(&BTreeSet::from(["freezer"]))?;
        let state = directory.join("freezer.state");
        act::write(&state, "FROZEN")?;
        self.until_frozen(&directory, patience, || {
            // A process that was forked while the kernel went through them is frozen by the next try.
            let _ = act::write(&state, "FROZEN");
        })
    }

    fn until_frozen(
        &self,
        directory: &Path,
        patience: Duration,
        again: impl Fn(),
    ) -> Result<(), CgroupError> {
        let deadline = Instant::now() + patience;
        while !self.is_frozen() {
            if Instant::now() >= deadline {
                // Half frozen is neither.
                let _ = self.thaw();
                return Err(CgroupError::Patience {
                    attempt: "freeze",
                    path: directory.to_owned(),
                    seconds: patience.as_secs_f64(),
                });
            }
            std::thread::sleep(PAUSE);
            again();
        }
        Ok(())
    }

    /// Not an error for one that is not frozen, or gone.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        let (file, value) = match (self.freezer(), self.version()) {
            (None, _) => return Ok(()),
            (Some(directory), Version::V1) => (directory.join("freezer.state"), "THAWED"),
            (Some(directory), Version::V2) => (directory.join("cgroup.freeze"), "0"),
        };
        match act::write(&file, value) {
            Err(_) if !file.exists() => Ok(()),
            written => written,
        }
    }

    /// Whether every process is.
    pub fn is_frozen(&self) -> bool {
        let read = |directory: PathBuf, file| fs::read_to_string(directory.join(file)).ok();
        match (self.freezer(), self.version()) {
            (None, _) => false,
            (Some(directory), Version::V1) => {
                read(directory, "freezer.state").is_some_and(|state| state.trim() == "FROZEN")
            }
            (Some(directory), Version::V2) => read(directory, "cgroup.events")
                .is_some_and(|events| flat_keyed(&events, "frozen") == Some(1)),
        }
    }

    fn freezer(&self) -> Option<PathBuf> {
        self.dir("freezer")
    }
}
