//! Files and directories that may be anything: what is read is bounded, and nothing waits.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use state::Unreadable;

use super::{CheckpointError, Fault, damage};

/// More than any checkpoint of ours, in bytes.
const MAX_FILE: u64 = 128 << 20;

/// All of a regular file; `None` when there is nothing of that name.
pub fn read(file: &Path) -> Result<Option<Vec<u8>>, CheckpointError> {
    state::read(file, MAX_FILE).map_err(|why| match why {
        Unreadable::NoFile(what) => damage(file, Fault::NoFile(what)),
        Unreadable::Long(length) => damage(file, Fault::Long(length)),
        Unreadable::Io(source) => CheckpointError::Read {
            file: file.to_owned(),
            source,
        },
    })
}

/// What is in a directory that holds directories.
#[derive(Debug, Default)]
pub struct Directories {
    /// Sorted.
    pub names: Vec<String>,
    /// What is no directory, or has no name that ours could have.
    pub others: Vec<PathBuf>,
}

/// Nothing when the directory does not exist.
pub fn directories(directory: &Path) -> Result<Directories, CheckpointError> {
    let fail = |source| CheckpointError::Read {
        file: directory.to_owned(),
        source,
    };
    match fs::symlink_metadata(directory) {
        Ok(it) if it.is_dir() => {}
        // Nor a link to one: it may lead round in a circle.
        Ok(_) => return Err(damage(directory, Fault::NoFile("no directory"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Directories::default()),
        Err(source) => return Err(fail(source)),
    }
    let mut found = Directories::default();
    for entry in fs::read_dir(directory).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        match entry.file_name().into_string() {
            Ok(name) if entry.file_type().map_err(fail)?.is_dir() => found.names.push(name),
            Ok(_) | Err(_) => found.others.push(entry.path()),
        }
    }
    found.names.sort();
    found.others.sort();
    Ok(found)
}
