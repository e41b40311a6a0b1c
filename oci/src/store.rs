//! What one call leaves for the next:
//!
//! ```text
//! <root>/<id>/state.json    who the container is; there from its first process on
//!             config.json   its spec, with absolute paths
//!             start         the socket it waits at, while it is created
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use containerizer::stored::{ROOT, STATE};
use oci_spec::runtime::Spec;
use serde::Serialize;

use crate::error::{Error, file};
use crate::id::Id;

pub use containerizer::stored::Stored;

pub struct Store {
    root: PathBuf,
    /// Somebody has named it: then it must be there to be listed.
    named: bool,
}

/// One container's part.
pub struct Entry {
    pub id: Id,
    directory: PathBuf,
}

impl Store {
    pub fn at(root: Option<&Path>) -> Self {
        Self {
            root: root.unwrap_or(Path::new(ROOT)).to_owned(),
            named: root.is_some(),
        }
    }

    /// Errors: `Exists`.
    pub fn reserve(&self, id: &str) -> Result<Entry, Error> {
        let entry = self.name(id)?;
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root);
        made.map_err(file("create", &self.root))?;
        match fs::DirBuilder::new().mode(0o711).create(&entry.directory) {
            Ok(()) => Ok(entry),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(Error::Exists),
            Err(e) => Err(file("create", &entry.directory)(e)),
        }
    }

    /// Errors: `NoContainer`.
    pub fn find(&self, id: &str) -> Result<Entry, Error> {
        let entry = self.name(id)?;
        match entry.directory.is_dir() {
            true => Ok(entry),
            false => Err(Error::NoContainer),
        }
    }

    fn name(&self, id: &str) -> Result<Entry, Error> {
        let id = Id::try_from(id)?;
        let directory = self.root.join(id.as_str());
        Ok(Entry { id, directory })
    }

    /// Sorted by name. The default root, when it is not there, holds none.
    pub fn list(&self) -> Result<Vec<Entry>, Error> {
        let entries = match fs::read_dir(&self.root) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && !self.named => {
                return Ok(Vec::new());
            }
            entries => entries.map_err(file("list", &self.root))?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(file("list", &self.root))?;
            // What has no valid name was not put there by us.
            if let Some(entry) = entry.file_name().to_str().and_then(|id| self.name(id).ok()) {
                found.push(entry);
            }
        }
        found.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
        Ok(found)
    }
}

impl Entry {
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a created container waits to be started.
    pub fn gate(&self) -> PathBuf {
        self.directory.join("start")
    }

    /// Errors: `NoContainer` also while it is being made, and when that was cut off.
    pub fn stored(&self) -> Result<Stored, Error> {
        let read = Stored::read(&self.directory);
        let read = read.map_err(file("read", &self.directory.join(STATE)))?;
        read.ok_or(Error::NoContainer)
    }

    pub fn spec(&self) -> Result<Spec, Error> {
        self.read("config.json")
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let path = self.directory.join(name);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::NoContainer),
            bytes => bytes.map_err(file("read", &path))?,
        };
        let parsed = serde_json::from_slice(&bytes).map_err(io::Error::from);
        parsed.map_err(file("parse", &path))
    }

    pub fn write_stored(&self, stored: &Stored) -> Result<(), Error> {
        self.write(STATE, stored)
    }

    pub fn write_spec(&self, spec: &Spec) -> Result<(), Error> {
        self.write("config.json", spec)
    }

    /// Whole or not at all.
    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let (path, new) = (
            self.directory.join(name),
            self.directory.join(format!("{name}.new")),
        );
        serde_json::to_vec(value)
            .map_err(io::Error::from)
            .and_then(|json| fs::write(&new, json))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(file("write", &path))
    }

    /// Removing twice is not an error.
    pub fn remove(&self) -> Result<(), Error> {
        match fs::remove_dir_all(&self.directory) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(file("remove", &self.directory)(e))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_until_it_is_removed() {
        let root = tempfile::tempdir().expect("a directory");
        let store = Store::at(Some(&root.path().join("state")));
        assert!(store.list().is_err());
        assert!(matches!(store.find("c1"), Err(Error::NoContainer)));
        let entry = store.reserve("c1").expect("reserves");
        assert!(matches!(store.reserve("c1"), Err(Error::Exists)));
        assert!(matches!(entry.stored(), Err(Error::NoContainer)));
        let ids = |store: &Store| store.list().map(|list| list.len());
        assert_eq!(ids(&store).expect("lists"), 1);
        entry.remove().expect("removes");
        entry.remove().expect("removes twice");
        assert_eq!(ids(&store).expect("lists"), 0);
    }
}
