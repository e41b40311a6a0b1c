//! What is written down of a container before its engine hears of it.
//!
//! ```text
//! <runtime_dir>/docker/<container>
//! ├── record          whose boot it is of, and where its sandbox is
//! └── output          how far its output has come into the sandbox: see `output::Marks`
//! ```

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use isolators::ContainerId;

use crate::checkpoint::{self, CheckpointError, Durability};

#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    #[prost(string, tag = "1")]
    boot_id: String,
    #[prost(bytes = "vec", tag = "2")]
    sandbox: Vec<u8>,
}

impl Record {
    pub fn sandbox(&self) -> PathBuf {
        OsString::from_vec(self.sandbox.clone()).into()
    }
}

/// Of all containers. Everything here blocks.
#[derive(Debug)]
pub struct Records {
    directory: PathBuf,
    boot_id: String,
}

impl Records {
    /// A kernel that does not tell its boot is always the same.
    pub fn new(runtime_dir: &Path, boot_id: Option<String>) -> Records {
        Records {
            directory: super::directory(runtime_dir),
            boot_id: boot_id.unwrap_or_default(),
        }
    }

    fn of(&self, id: &ContainerId) -> PathBuf {
        self.directory.join(id.as_str())
    }

    fn file(&self, id: &ContainerId) -> PathBuf {
        self.of(id).join("record")
    }

    pub fn output(&self, id: &ContainerId) -> PathBuf {
        self.of(id).join("output")
    }

    pub fn write(&self, id: &ContainerId, sandbox: &Path) -> Result<(), CheckpointError> {
        let record = Record {
            boot_id: self.boot_id.clone(),
            sandbox: sandbox.as_os_str().as_bytes().to_owned(),
        };
        checkpoint::write(&self.file(id), &record, Durability::Process)
    }

    pub fn has(&self, id: &ContainerId) -> bool {
        self.file(id).exists()
    }

    /// Removing twice is not an error.
    pub fn remove(&self, id: &ContainerId) {
        let removed = fs::remove_dir_all(self.of(id));
        if let Err(error) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(container = %id, %error, "cannot remove the record of an engine's container");
        }
    }

    /// Of this boot. Others go: the kernel has ended what they are about.
    pub fn list(&self) -> Vec<(ContainerId, Record)> {
        let names = fs::read_dir(&self.directory).into_iter().flatten();
        let names = names.flatten().map(|entry| entry.file_name());
        let ids = names.filter_map(|name| ContainerId::try_from(name.into_string().ok()?).ok());
        let mut found = Vec::new();
        for id in ids {
            match checkpoint::read::<Record>(&self.file(&id)) {
                Ok(Some(record)) if record.boot_id == self.boot_id => found.push((id, record)),
                // Nobody came to ask an engine for it.
                Ok(Some(_) | None) => self.remove(&id),
                Err(error) => {
                    let error = proto::error::chain(&error);
                    tracing::error!(container = %id, error, "an engine's container is left alone");
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ContainerId {
        ContainerId::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn what_was_written_down_is_found_until_it_is_removed_or_the_host_has_rebooted() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::new(directory.path(), Some("boot".to_owned()));
        assert!(records.list().is_empty());
        records.write(&id("a"), Path::new("/s/a")).unwrap();
        records.write(&id("b"), Path::new("/s/b")).unwrap();
        fs::create_dir(directory.path().join("docker/cut")).unwrap();
        let mut found = records.list();
        found.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        let found: Vec<_> = (found.iter())
            .map(|(id, record)| (id.as_str(), record.sandbox()))
            .collect();
        assert_eq!(found, [("a", "/s/a".into()), ("b", "/s/b".into())]);
        records.remove(&id("a"));
        records.remove(&id("a"));
        assert!(!records.has(&id("a")) && records.has(&id("b")));
        let next = Records::new(directory.path(), Some("another boot".to_owned()));
        assert!(next.list().is_empty());
        assert_eq!(
            fs::read_dir(directory.path().join("docker"))
                .unwrap()
                .count(),
            0
        );
    }
}
