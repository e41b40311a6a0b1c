//! Files of the agent's host.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use super::{Came, DownloadError, Held, Sink};
use crate::cache::Validators;

const PIECE: usize = 256 << 10;

pub fn open(path: &Path) -> Result<File, DownloadError> {
    // O_NONBLOCK: opening a fifo would wait for a writer.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path);
    let from = opened.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => DownloadError::Missing { path: path.into() },
        _ => DownloadError::Open {
            path: path.into(),
            source,
        },
    })?;
    let is_file = from.metadata().map(|metadata| metadata.is_file());
    match is_file.map_err(|source| failed(path, source))? {
        true => Ok(from),
        false => Err(DownloadError::NotAFile { path: path.into() }),
    }
}

/// Gives way to other downloads after each piece.
pub async fn copy(
    path: &Path,
    held: &Held,
    known: Option<&Validators>,
    into: &mut Sink,
) -> Result<Came, DownloadError> {
    let from = match held.file(path) {
        Some(file) => file.map_err(|source| failed(path, source))?,
        None => open(path)?,
    };
    let metadata = from.metadata().map_err(|source| failed(path, source))?;
    let validators = Validators {
        etag: Some(etag(&metadata)),
        last_modified: None,
    };
    if known == Some(&validators) {
        return Ok(Came::NotModified);
    }
    into.announce(metadata.len())?;
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    loop {
        match from.read_at(&mut buffer, at) {
            Ok(0) => return Ok(Came::Content(validators)),
            Ok(length) => {
                into.write(&buffer[..length])?;
                at += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(failed(path, source)),
        }
        tokio::task::yield_now().await;
    }
}

/// Any write or replacement changes it.
fn etag(metadata: &Metadata) -> String {
    [
        metadata.dev() as i64,
        metadata.ino() as i64,
        metadata.size() as i64,
        metadata.ctime(),
        metadata.ctime_nsec(),
    ]
    .map(|number| number.to_string())
    .join("-")
}

fn failed(path: &Path, source: io::Error) -> DownloadError {
    DownloadError::Copy {
        path: path.into(),
        source,
    }
}
