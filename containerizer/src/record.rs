//! What the agent keeps of each container for its next life:
//!
//! ```text
//! <runtime_dir>/containers/<id>/config.json   the OCI spec that was executed
//!                               pid           "<pid> <start time in ticks since boot>" of init
//!                               timings       of the launch, once it is over
//!                               status        how the command ended, written by init
//! ```
//!
//! The directory dies with the kernel whose objects it describes (a tmpfs), so nothing is synced.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use init::ExitRecord;
use isolators::ContainerId;
use oci_spec::runtime::Spec;

use crate::identity::Identity;
use crate::sys::Spawned;
use crate::timings::Timings;

#[derive(Debug, Clone)]
pub struct Record {
    pub id: ContainerId,
    directory: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("container {0} exists already")]
    Exists(ContainerId),
    #[error("cannot {attempt} {}", path.display())]
    File {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

fn containers(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("containers")
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RecordError {
    move |source| RecordError::File {
        attempt,
        path: path.to_owned(),
        source,
    }
}

pub fn prepare(runtime_dir: &Path) -> Result<(), RecordError> {
    let path = containers(runtime_dir);
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&path);
    made.map_err(failed("create", &path))
}

pub fn exists(runtime_dir: &Path, id: &ContainerId) -> bool {
    containers(runtime_dir).join(id.as_str()).exists()
}

/// Of all containers of an earlier run.
pub fn list(runtime_dir: &Path) -> Result<Vec<Record>, RecordError> {
    let path = containers(runtime_dir);
    let mut records = Vec::new();
    for entry in fs::read_dir(&path).map_err(failed("list", &path))? {
        let entry = entry.map_err(failed("list", &path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // What is not named like a container was not put there by us.
        if let Ok(id) = ContainerId::try_from(name) {
            records.push(Record {
                id,
                directory: entry.path(),
            });
        }
    }
    Ok(records)
}

impl Record {
    /// Errors: `Exists` when a container of this id was launched and not forgotten.
    pub fn create(runtime_dir: &Path, id: &ContainerId) -> Result<Self, RecordError> {
        let directory = containers(runtime_dir).join(id.as_str());
        match fs::DirBuilder::new().mode(0o700).create(&directory) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(RecordError::Exists(id.clone()));
            }
            Err(e) => return Err(failed("create", &directory)(e)),
        }
        Ok(Self {
            id: id.clone(),
            directory,
        })
    }

    pub fn write_spec(&self, spec: &Spec) -> Result<(), RecordError> {
        let path = self.directory.join("config.json");
        let json = serde_json::to_vec(spec).map_err(io::Error::from);
        json.and_then(|json| fs::write(&path, json))
            .map_err(failed("write", &path))
    }

    /// Names the record of a container, which need not exist.
    pub fn of(runtime_dir: &Path, id: &ContainerId) -> Self {
        Self {
            id: id.clone(),
            directory: containers(runtime_dir).join(id.as_str()),
        }
    }

    pub fn spec(&self) -> Result<Spec, RecordError> {
        let path = self.directory.join("config.json");
        let bytes = fs::read(&path).map_err(failed("read", &path))?;
        serde_json::from_slice(&bytes)
            .map_err(io::Error::from)
            .map_err(failed("parse", &path))
    }

    /// The file that the timings of the launch are written to.
    pub fn timings_file(&self) -> Result<File, RecordError> {
        let path = self.directory.join("timings");
        File::create(&path).map_err(failed("create", &path))
    }

    /// `None` when the agent did not come to write them, or not to the end.
    pub fn timings(&self) -> Option<Timings> {
        let text = fs::read_to_string(self.directory.join("timings")).ok()?;
        Timings::parse(&text)
    }

    /// The file that `init` writes the exit record to.
    pub fn status_file(&self) -> Result<OwnedFd, RecordError> {
        let path = self.directory.join("status");
        File::create(&path)
            .map(OwnedFd::from)
            .map_err(failed("create", &path))
    }

    /// How the command ended; `None` when `init` did not come to write it.
    pub fn exit(&self) -> Option<ExitRecord> {
        let text = fs::read_to_string(self.directory.join("status")).ok()?;
        ExitRecord::parse(&text)
    }

    /// Written at once or not at all.
    pub fn write_pid(&self, pid: u32) -> Result<(), RecordError> {
        let (path, new) = (self.directory.join("pid"), self.directory.join("pid.new"));
        let gone = || io::Error::from_raw_os_error(libc::ESRCH);
        Identity::of(pid)
            .ok_or_else(gone)
            .and_then(|Identity { pid, start }| fs::write(&new, format!("{pid} {start}\n")))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(failed("write", &path))
    }

    /// The process that was recorded, when it still exists.
    pub fn open_process(&self) -> io::Result<Option<Spawned>> {
        let Some(identity) = self.read_pid() else {
            return Ok(None);
        };
        let pid = identity.pid;
        let pidfd = identity.open()?;
        Ok(pidfd.map(|pidfd| Spawned { pid, pidfd }))
    }

    fn read_pid(&self) -> Option<Identity> {
        parse_pid(&fs::read_to_string(self.directory.join("pid")).ok()?)
    }

    /// Removing twice is not an error.
    pub fn remove(&self) -> Result<(), RecordError> {
        match fs::remove_dir_all(&self.directory) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &self.directory)(e))
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn parse_pid(text: &str) -> Option<Identity> {
    let (pid, start) = text.trim().split_once(' ')?;
    Some(Identity {
        pid: pid.parse().ok()?,
        start: start.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(directory: &Path) -> Record {
        Record {
            id: ContainerId::try_from("c1".to_owned()).expect("a good id"),
            directory: directory.to_owned(),
        }
    }

    #[test]
    fn a_process_is_recognised_by_its_start_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let record = record(directory.path());
        record.write_pid(std::process::id()).expect("writes");
        let found = record.open_process().expect("opens").map(|found| found.pid);
        assert_eq!(found, Some(std::process::id()));
        fs::write(
            directory.path().join("pid"),
            format!("{} 1\n", std::process::id()),
        )
        .expect("writes");
        assert!(record.open_process().expect("opens").is_none());
    }

    #[test]
    fn timings_that_are_missing_or_cut_off_are_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let record = record(directory.path());
        assert_eq!(record.timings(), None);
        record.timings_file().expect("creates");
        assert_eq!(record.timings(), None);
        let path = directory.path().join("timings");
        fs::write(&path, "plan 5\nto").expect("writes");
        assert_eq!(record.timings(), None);
        fs::write(&path, "plan 5\ntotal 5\n").expect("writes");
        let total = record.timings().map(|timings| timings.total());
        assert_eq!(total, Some(std::time::Duration::from_nanos(5)));
    }

    #[test]
    fn an_empty_exit_record_is_no_status() {
        let directory = tempfile::tempdir().expect("a directory");
        let record = record(directory.path());
        record.status_file().expect("creates");
        assert_eq!(record.exit(), None);
        fs::write(directory.path().join("status"), "256\n").expect("writes");
        assert_eq!(record.exit().map(|exit| exit.status), Some(256));
    }
}
