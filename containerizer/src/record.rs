//! What the agent keeps of each container for its next life: `runtime_dir` draws it.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use failpoint::{Point, reach, reach_leaving};
use init::{ExitRecord, Report};
use isolators::ContainerId;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use oci_spec::runtime::{Linux, LinuxNamespace, Spec};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use state::sealed;

use crate::identity::{BadIdentity, Identity};
use crate::removal;
use crate::runtime_dir::{container, containers};
use crate::sys::Spawned;
use crate::timings::Timings;

/// More than `init` writes of an end, in bytes.
const EXIT_RECORD: i64 = 4096;

/// More than is kept of any container in one file, in bytes.
const MOST: u64 = 16 << 20;

#[derive(Debug, Clone)]
pub struct Record {
    pub id: ContainerId,
    directory: PathBuf,
}

#[derive(Deserialize)]
struct Outline {
    linux: Option<LinuxOutline>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LinuxOutline {
    cgroups_path: Option<PathBuf>,
    namespaces: Option<Vec<LinuxNamespace>>,
}

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("what earlier containers left was not read to its end")]
    Interrupted(#[source] tokio::task::JoinError),
    #[error("container {0} exists already")]
    Exists(ContainerId),
    #[error("cannot {attempt} {}", path.display())]
    File {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot remove {}: a file system is mounted there or below; unmount it", path.display())]
    Mounted { path: PathBuf },
    #[error("{} is damaged: its checksum is that of others", path.display())]
    Damaged { path: PathBuf },
    #[error("cannot tell from {} which process the container's first one is", path.display())]
    Process { path: PathBuf, source: BadIdentity },
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
    container(runtime_dir, id).exists()
}

/// The same where there need not be any directory of ours.
pub fn found(runtime_dir: &Path) -> Result<Vec<Record>, RecordError> {
    match containers(runtime_dir).exists() {
        true => list(runtime_dir),
        false => Ok(Vec::new()),
    }
}

/// Of all containers of an earlier run.
pub fn list(runtime_dir: &Path) -> Result<Vec<Record>, RecordError> {
    let path = containers(runtime_dir);
    let mut records = Vec::new();
    for entry in fs::read_dir(&path).map_err(failed("list", &path))? {
        let entry = entry.map_err(failed("list", &path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_directory = entry.file_type().is_ok_and(|it| it.is_dir());
        // What is not named like a container was not put there by us.
        if let (Ok(id), true) = (ContainerId::try_from(name), is_directory) {
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
        let directory = container(runtime_dir, id);
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
        let json = json.map(sealed::seal);
        reach_leaving(Point::SpecCut, || {
            let whole = json.as_deref().unwrap_or_default();
            drop(fs::write(&path, &whole[..whole.len() / 2]));
        });
        json.and_then(|json| fs::write(&path, json))
            .map_err(failed("write", &path))
    }

    /// Names the record of a container, which need not exist.
    pub fn of(runtime_dir: &Path, id: &ContainerId) -> Self {
        Self {
            id: id.clone(),
            directory: container(runtime_dir, id),
        }
    }

    pub fn spec(&self) -> Result<Spec, RecordError> {
        self.config()
    }

    /// Its namespaces and its cgroup, and nothing else of it: many times as much would have to be read, and
    /// after a restart there may be a thousand.
    pub fn outline(&self) -> Result<Spec, RecordError> {
        let Outline { linux } = self.config()?;
        let mut spec = Spec::default();
        spec.set_linux(linux.map(|outline| {
            let mut linux = Linux::default();
            linux
                .set_cgroups_path(outline.cgroups_path)
                .set_namespaces(outline.namespaces);
            linux
        }));
        Ok(spec)
    }

    /// What lies there may be anything.
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let read = state::read(&self.directory.join(name), MOST)?;
        read.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The file holds what was written, or this is an error.
    fn config<T: DeserializeOwned>(&self) -> Result<T, RecordError> {
        let path = self.directory.join("config.json");
        let bytes = self.read("config.json").map_err(failed("read", &path))?;
        if !sealed::is_whole(&bytes) {
            return Err(RecordError::Damaged { path });
        }
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
        let bytes = self.read("timings").ok()?;
        Timings::parse(std::str::from_utf8(&bytes).ok()?)
    }

    /// The file that `init` writes the exit record to. It has room for that, whatever fills the disk later.
    pub fn status_file(&self) -> Result<OwnedFd, RecordError> {
        let path = self.directory.join("status");
        let file = File::create(&path).map_err(failed("create", &path))?;
        match fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, EXIT_RECORD) {
            // A file system that cannot do that.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
            reserved => reserved
                .map_err(io::Error::from)
                .map_err(failed("reserve room in", &path))?,
        }
        Ok(OwnedFd::from(file))
    }

    /// How the command ended; `None` when `init` did not come to write it. Errors: something is there that does not
    /// tell it.
    pub fn exit(&self) -> Result<Option<ExitRecord>, RecordError> {
        let path = self.directory.join("status");
        let bytes = match self.read("status") {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(failed("read", &path))?,
        };
        let text = String::from_utf8_lossy(&bytes);
        let record = ExitRecord::parse(&text);
        match record.is_none() && init::failure(&text).is_none() && !bytes.is_empty() {
            true => Err(RecordError::Damaged { path }),
            false => Ok(record),
        }
    }

    /// Why the command was never there, when `init` has come to write that.
    pub fn failure(&self) -> Option<Report> {
        let bytes = self.read("status").ok()?;
        init::failure(std::str::from_utf8(&bytes).ok()?)
    }

    /// Of a child of ours. Written at once or not at all.
    pub fn write_pid(&self, pid: u32) -> Result<(), RecordError> {
        let (path, new) = (self.directory.join("pid"), self.directory.join("pid.new"));
        let gone = || io::Error::from_raw_os_error(libc::ESRCH);
        Identity::of(pid)
            .ok_or_else(gone)
            .and_then(|identity| fs::write(&new, identity.to_string()))
            .and_then(|()| {
                reach(Point::PidMade);
                fs::rename(&new, &path)
            })
            .map_err(failed("write", &path))?;
        reach(Point::PidWritten);
        Ok(())
    }

    /// The process that was recorded, when it still exists. `None` also when the agent did not come to
    /// record one.
    pub fn open_process(&self) -> Result<Option<Spawned>, RecordError> {
        let Some(identity) = self.process()? else {
            return Ok(None);
        };
        let pid = identity.pid;
        let path = self.directory.join("pid");
        let pidfd = identity
            .open()
            .map_err(failed("open the process of", &path))?;
        Ok(pidfd.map(|pidfd| Spawned { pid, pidfd }))
    }

    /// The process that was recorded, be it there or not.
    pub fn process(&self) -> Result<Option<Identity>, RecordError> {
        let path = self.directory.join("pid");
        let bytes = match self.read("pid") {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(failed("read", &path))?,
        };
        let identity = Identity::parse(&String::from_utf8_lossy(&bytes));
        identity
            .map(Some)
            .map_err(|source| RecordError::Process { path, source })
    }

    /// Removing twice is not an error.
    pub fn remove(&self) -> Result<(), RecordError> {
        // In whatever order the directory has them.
        for (point, name) in [
            (Point::RecordCutPid, "pid"),
            (Point::RecordCutSpec, "config.json"),
            (Point::RecordCutStatus, "status"),
        ] {
            reach_leaving(point, || drop(fs::remove_file(self.directory.join(name))));
        }
        removal::remove(&self.directory).map_err(|source| match source.raw_os_error() {
            Some(libc::EBUSY) => RecordError::Mounted {
                path: self.directory.clone(),
            },
            _ => failed("remove", &self.directory)(source),
        })?;
        reach(Point::RecordGone);
        Ok(())
    }
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
    fn a_process_is_recognised_and_a_damaged_record_is_not_taken_for_a_process_that_ended() {
        let directory = tempfile::tempdir().expect("a directory");
        let record = record(directory.path());
        assert!(record.open_process().expect("no process").is_none());
        record.write_pid(std::process::id()).expect("writes");
        let found = record.open_process().expect("opens").map(|found| found.pid);
        assert_eq!(found, Some(std::process::id()));
        let path = directory.path().join("pid");
        let whole = fs::read(&path).expect("reads");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("writes");
            assert!(record.open_process().is_err(), "{length}");
        }
        fs::remove_file(&path).expect("removes");
        fs::create_dir(&path).expect("a directory in its place");
        assert!(record.open_process().is_err());
    }

    #[test]
    fn whatever_lies_in_the_place_of_a_file_is_not_waited_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let record = record(directory.path());
        let place = |name: &str| directory.path().join(name);
        type Make = fn(&Path);
        let made: [(&str, Make); 4] = [
            ("fifo", |path| {
                nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
            }),
            ("directory", |path| {
                fs::create_dir(path).expect("a directory")
            }),
            ("link", |path| {
                std::os::unix::fs::symlink("/dev/zero", path).expect("a link");
            }),
            ("sparse", |path| {
                let file = File::create(path).expect("a file");
                file.set_len(1 << 40).expect("grows");
            }),
        ];
        for (what, make) in made {
            for name in ["config.json", "status", "timings", "pid"] {
                make(&place(name));
            }
            assert!(
                record.outline().is_err() && record.spec().is_err(),
                "{what}"
            );
            assert!(record.process().is_err(), "{what}");
            assert!(record.exit().is_err(), "{what}");
            assert_eq!(record.failure(), None, "{what}");
            assert_eq!(record.timings(), None, "{what}");
            for name in ["config.json", "status", "timings", "pid"] {
                let path = place(name);
                let removed = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
                removed.expect("removes");
            }
        }
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
    fn an_empty_exit_record_is_no_status_and_a_damaged_one_is_told_of() {
        let directory = tempfile::tempdir().expect("a directory");
        let record = record(directory.path());
        let status = || record.exit().map(|exit| exit.map(|it| it.status));
        assert_eq!(status().expect("nothing"), None);
        record.status_file().expect("creates");
        assert_eq!(status().expect("nothing yet"), None);
        let text = init::exit_record(256, None);
        fs::write(directory.path().join("status"), &text).expect("writes");
        assert_eq!(status().expect("reads"), Some(256));
        fs::write(directory.path().join("status"), text.replace('5', "4")).expect("writes");
        assert!(matches!(record.exit(), Err(RecordError::Damaged { .. })));
    }

    #[test]
    fn an_outline_has_the_namespaces_and_the_cgroup_of_the_spec() {
        let directory = tempfile::tempdir().expect("a directory");
        let record = record(directory.path());
        for spec in [Spec::default(), Spec::rootless(1000, 1000)] {
            record.write_spec(&spec).expect("writes");
            let outline = record.outline().expect("reads");
            let known = |spec: &Spec| {
                let linux = spec.linux().as_ref().expect("it is of Linux");
                (linux.namespaces().clone(), linux.cgroups_path().clone())
            };
            assert_eq!(known(&outline), known(&spec));
        }
        let mut plain = Spec::default();
        plain.set_linux(None);
        record.write_spec(&plain).expect("writes");
        assert_eq!(record.outline().expect("reads").linux(), &None);
    }

    #[test]
    fn a_spec_that_has_changed_is_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let record = record(directory.path());
        let spec = Spec::default();
        record.write_spec(&spec).expect("writes");
        assert_eq!(record.spec().expect("reads"), spec);
        let path = directory.path().join("config.json");
        let changed = fs::read_to_string(&path)
            .expect("reads")
            .replacen("rootfs", "rootfz", 1);
        fs::write(&path, changed).expect("writes");
        let error = record.spec().expect_err("it has changed").to_string();
        assert!(
            error.ends_with("is damaged: its checksum is that of others"),
            "{error}"
        );
    }
}
