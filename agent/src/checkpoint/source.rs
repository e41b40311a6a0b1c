//! Files and directories that may be anything: what is read is bounded, and nothing waits.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;

use super::{CheckpointError, Fault, damage};

/// More than any checkpoint of ours, in bytes.
const MAX_FILE: u64 = 128 << 20;

/// All of a regular file; `None` when there is nothing of that name.
pub fn read(file: &Path) -> Result<Option<Vec<u8>>, CheckpointError> {
    let fail = |source| CheckpointError::Read {
        file: file.to_owned(),
        source,
    };
    let opened = match open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A socket cannot be opened, nor a link in this way.
        Err(error) => {
            return Err(match fs::symlink_metadata(file) {
                Ok(it) if !it.is_file() => damage(file, Fault::NoFile(kind(it.file_type()))),
                Ok(_) | Err(_) => fail(error),
            });
        }
    };
    let metadata = opened.metadata().map_err(fail)?;
    if !metadata.is_file() {
        return Err(damage(file, Fault::NoFile(kind(metadata.file_type()))));
    }
    let mut bytes = Vec::new();
    if metadata.len() <= MAX_FILE {
        bytes.reserve_exact(metadata.len() as usize);
        let mut bounded = opened.take(MAX_FILE + 1);
        bounded.read_to_end(&mut bytes).map_err(fail)?;
    }
    match metadata.len().max(bytes.len() as u64) {
        length if length > MAX_FILE => Err(damage(file, Fault::Long(length))),
        _ => Ok(Some(bytes)),
    }
}

/// A fifo would wait for its other end.
fn open(file: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(file)
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

fn kind(found: fs::FileType) -> &'static str {
    match found {
        _ if found.is_dir() => "a directory",
        _ if found.is_symlink() => "a link",
        _ if found.is_fifo() => "a fifo",
        _ if found.is_socket() => "a socket",
        _ => "a device",
    }
}
