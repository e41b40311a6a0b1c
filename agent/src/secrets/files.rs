//! Secrets as files that containers are shown: in memory, until their container has ended.
//!
//! ```text
//! <runtime_dir>/secrets           0700, root's
//! └── <container>                 0700, root's
//!     └── 0, 1, 2 …               0400, of the container's user; of one that only its engine knows, 0444
//! ```
//!
//! They lie where nothing comes onto a disk, and that is checked: whoever finds the host's disk finds none.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs};

use super::Hidden;

/// Source: linux/magic.h; what an initramfs is.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("cannot write a secret of the task to {file}")]
    Write { file: PathBuf, source: io::Error },
    #[error(
        "secrets must not come onto a disk, and {0} is on one: give the agent a --runtime_dir on a tmpfs"
    )]
    OnDisk(PathBuf),
}

/// Of all containers. Everything here blocks, for as long as memory takes.
#[derive(Debug, Clone)]
pub struct SecretFiles {
    directory: PathBuf,
}

impl SecretFiles {
    pub fn new(runtime_dir: &Path) -> SecretFiles {
        SecretFiles {
            directory: crate::paths::secrets(runtime_dir),
        }
    }

    pub fn of(&self, container: &str) -> PathBuf {
        self.directory.join(container)
    }

    /// The path of each of a container's, by its number among them.
    pub fn file(place: &Path, number: usize) -> PathBuf {
        place.join(number.to_string())
    }

    /// `owner`: who alone may read them; all in the container where nobody here knows its user. What was written
    /// when this fails is `remove`d as the rest is.
    pub fn write(
        &self,
        container: &str,
        secrets: &[Hidden],
        owner: Option<(u32, u32)>,
    ) -> Result<(), SecretFileError> {
        if secrets.is_empty() {
            return Ok(());
        }
        let place = self.of(container);
        let failed = |file: &Path| {
            let file = file.to_owned();
            move |source| SecretFileError::Write { file, source }
        };
        let private = |path: &Path| DirBuilder::new().mode(0o700).recursive(true).create(path);
        private(&self.directory).map_err(failed(&self.directory))?;
        if !is_in_memory(&self.directory).map_err(failed(&self.directory))? {
            return Err(SecretFileError::OnDisk(self.directory.clone()));
        }
        private(&place).map_err(failed(&place))?;
        for (number, Hidden(data)) in secrets.iter().enumerate() {
            let file = Self::file(&place, number);
            write(&file, data, owner).map_err(failed(&file))?;
        }
        Ok(())
    }

    pub fn has(&self, container: &str) -> bool {
        self.of(container).exists()
    }

    /// Of a container that is no more. Removing twice is not an error.
    pub fn remove(&self, container: &str) {
        let removed = fs::remove_dir_all(self.of(container));
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(container, %error, "secrets of a container that has ended stay in memory");
        }
    }

    /// Of all containers but these.
    pub fn remove_others(&self, living: &BTreeSet<String>) {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        let names = entries.flatten().map(|entry| entry.file_name());
        let names = names.filter_map(|name| name.into_string().ok());
        let gone = names.filter(|name| !living.contains(name));
        gone.for_each(|name| self.remove(&name));
    }
}

fn is_in_memory(directory: &Path) -> io::Result<bool> {
    let kind = fstatfs(&File::open(directory)?)?.filesystem_type();
    Ok([TMPFS_MAGIC, RAMFS_MAGIC].contains(&kind))
}

fn write(path: &Path, data: &[u8], owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(path)?;
    file.write_all(data)?;
    match owner {
        Some((uid, gid)) => fchown(&file, Some(uid), Some(gid)),
        // Behind a directory that is root's alone.
        None => file.set_permissions(Permissions::from_mode(0o444)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn secrets() -> [Hidden; 2] {
        ["one", "two"].map(|text| Hidden(text.into()))
    }

    #[test]
    fn secrets_do_not_come_onto_a_disk() {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let files = SecretFiles::new(place.path());
        files.write("none", &[], None).unwrap();
        assert!(!place.path().join("secrets").exists());
        let written = files.write("a", &secrets(), None);
        // Some hosts have no disk at all.
        if is_in_memory(place.path()).unwrap() {
            return written.unwrap();
        }
        let refused = written.unwrap_err().to_string();
        assert!(refused.contains("--runtime_dir on a tmpfs"), "{refused}");
        assert!(!files.has("a"));
    }

    #[test]
    fn root_secrets_are_their_users_alone_until_their_container_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let disk = crate::small_disk::SmallDisk::mount(&place.path().join("run"));
        let files = SecretFiles::new(&place.path().join("run"));
        files.write("a", &secrets(), Some((1234, 55))).unwrap();
        files.write("b", &secrets(), None).unwrap();
        let told = |container: &str, number| {
            let file = SecretFiles::file(&files.of(container), number);
            let found = fs::metadata(&file).unwrap();
            let owner = (found.uid(), found.gid(), found.mode() & 0o7777);
            (fs::read_to_string(file).unwrap(), owner)
        };
        assert_eq!(told("a", 0), ("one".to_owned(), (1234, 55, 0o400)));
        assert_eq!(told("b", 1), ("two".to_owned(), (0, 0, 0o444)));
        for directory in [files.of("b"), files.directory.clone()] {
            assert_eq!(fs::metadata(directory).unwrap().mode() & 0o7777, 0o700);
        }
        files.remove_others(&BTreeSet::from(["a".to_owned()]));
        assert!(files.has("a") && !files.has("b"));
        files.remove("a");
        files.remove("a");
        assert!(!files.has("a"));
        drop(disk);
    }
}
