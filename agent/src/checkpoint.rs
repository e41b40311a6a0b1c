//! Checkpoints: protobuf messages on disk, in files that tell what has become of them.
//!
//! A file of one record is replaced whole; a [`Journal`] grows by records. What their bytes mean is in
//! `format`. Reading changes nothing, however bad a file is: what is to be done about that is for whoever
//! asked to decide, and `aside` then does it.
//!
//! Everything here blocks; callers are on a thread that may.

mod aside;
mod format;
mod journal;
mod remedy;
mod source;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use failpoint::{Point, reach, reach_leaving};
use nix::libc;
use prost::Message;

pub use aside::{SUFFIX, set_aside, was_set_aside};
pub use journal::{Journal, Journalled};
pub use source::{Directories, directories};

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("cannot {attempt} checkpoint {}{}", .file.display(), remedy::of(.source))]
    Write {
        /// Which step of it: a verb.
        attempt: &'static str,
        file: PathBuf,
        source: io::Error,
    },
    #[error("cannot read checkpoint {}{}", .file.display(), remedy::of(.source))]
    Read { file: PathBuf, source: io::Error },
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error(
        "checkpoint {} is of version {found}, and this program understands versions up to {}: start the \
         program that wrote it, or a newer one", .file.display(), format::VERSION
    )]
    Newer { file: PathBuf, found: u32 },
}

/// A file that does not hold what was written to it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at byte {at}: {fault}", .file.display())]
pub struct Damage {
    pub file: PathBuf,
    pub at: usize,
    pub fault: Fault,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error(
        "it begins as no checkpoint does, so something else has written it, or a build of this program \
         from before checkpoints had versions"
    )]
    Foreign,
    #[error("bytes have changed, the checksum is that of others")]
    Changed,
    #[error("it is empty or cut short")]
    Short,
    #[error("there is more than its one record")]
    More,
    /// Its checksum is right all the same.
    #[error("the record is not of its kind ({0})")]
    Kind(prost::DecodeError),
    #[error("it is about {0}, which belongs elsewhere")]
    Misplaced(String),
    #[error("it is {0}")]
    NoFile(&'static str),
    #[error("it is longer than any checkpoint, {0} bytes")]
    Long(u64),
    #[error("it is missing")]
    Missing,
    #[error("it holds {0:?}, which is nothing that belongs there")]
    Text(String),
}

/// Whether a checkpoint must outlive the kernel, or only this process.
///
/// What describes a live task dies with the kernel anyway, and without it the master learns of the
/// loss when the agent registers again; so only what must survive a reboot waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Process,
    Reboot,
}

/// Replaces `file` with the one record `message`: readers see the old one or the new one whole.
pub fn write<M: Message>(
    file: &Path,
    message: &M,
    durability: Durability,
) -> Result<(), CheckpointError> {
    let content = format::file([message.encode_to_vec()]);
    let content = content.ok_or_else(|| too_long(file))?;
    replace(file, &content, durability)
}

/// Replaces `file` with `content`. On error it is what it was, and nothing else is there.
pub fn replace(file: &Path, content: &[u8], durability: Durability) -> Result<(), CheckpointError> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    let temporary = file.with_extension("tmp");
    reach(Point::CheckpointDue);
    fs::create_dir_all(directory).map_err(failed("make the directory of", file))?;
    fill(file, &temporary, content, durability)
        .and_then(|()| fs::rename(&temporary, file).map_err(failed("rename", file)))
        .inspect_err(|_full| drop(fs::remove_file(&temporary)))?;
    reach(Point::CheckpointNamed);
    sync_directory(directory, durability).map_err(failed("sync the directory of", file))
}

fn failed(attempt: &'static str, file: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
    move |source| CheckpointError::Write {
        attempt,
        file: file.to_owned(),
        source,
    }
}

/// `temporary`, for what is to be `file`.
fn fill(
    file: &Path,
    temporary: &Path,
    content: &[u8],
    durability: Durability,
) -> Result<(), CheckpointError> {
    let out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(temporary);
    let mut out = out.map_err(failed("create", file))?;
    reach_leaving(Point::CheckpointCut, || {
        drop(out.write_all(&content[..content.len() / 2]))
    });
    out.write_all(content).map_err(failed("write", file))?;
    reach(Point::CheckpointWritten);
    match durability {
        Durability::Process => Ok(()),
        Durability::Reboot => out.sync_all().map_err(failed("sync", file)),
    }
}

/// Points the link at `link` to `target`, atomically.
pub fn relink(link: &Path, target: &Path, durability: Durability) -> Result<(), CheckpointError> {
    let temporary = link.with_extension("tmp");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("replace", link)(error));
        }
        _ => {}
    }
    symlink(target, &temporary).map_err(failed("link", link))?;
    reach(Point::LinkMade);
    fs::rename(&temporary, link).map_err(failed("rename", link))?;
    reach(Point::LinkNamed);
    let directory = link.parent().unwrap_or(Path::new("/"));
    sync_directory(directory, durability).map_err(failed("sync the directory of", link))
}

/// Removing twice is not an error.
pub fn remove(file: &Path, durability: Durability) -> Result<(), CheckpointError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed.map_err(failed("remove", file))?,
    }
    let directory = file.parent().unwrap_or(Path::new("/"));
    sync_directory(directory, durability).map_err(failed("sync the directory of", file))
}

/// The one record of `file`; `None` when there is no such file.
pub fn read<M: Message + Default>(file: &Path) -> Result<Option<M>, CheckpointError> {
    let Some(bytes) = source::read(file)? else {
        return Ok(None);
    };
    let damaged = |at, fault| Damage {
        file: file.to_owned(),
        at,
        fault,
    };
    match format::single(&bytes) {
        Err(format::NewerVersion(found)) => Err(newer(file, found)),
        Ok(Err(bad)) => Err(damaged(bad.at, bad.fault.into()).into()),
        Ok(Ok(payload)) => {
            let at = bytes.len() - payload.len();
            let message = M::decode(payload).map_err(|error| damaged(at, Fault::Kind(error)))?;
            Ok(Some(message))
        }
    }
}

/// A short text, without the white space around it; `None` when there is no such file.
pub fn read_text(
    file: &Path,
    is_sound: impl Fn(&str) -> bool,
) -> Result<Option<String>, CheckpointError> {
    let Some(bytes) = source::read(file)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    if is_sound(text) {
        return Ok(Some(text.to_owned()));
    }
    Err(damage(file, Fault::Text(text.chars().take(80).collect())))
}

/// Where `link` leads, when that is the name of something beside it; `None` when there is no such link.
pub fn read_link(
    link: &Path,
    is_sound: impl Fn(&str) -> bool,
) -> Result<Option<String>, CheckpointError> {
    let target = match fs::read_link(link) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(damage(link, Fault::NoFile("no link")));
        }
        Err(source) => {
            let file = link.to_owned();
            return Err(CheckpointError::Read { file, source });
        }
    };
    match target.to_str() {
        Some(name) if is_sound(name) => Ok(Some(name.to_owned())),
        _ => Err(damage(link, Fault::Text(target.display().to_string()))),
    }
}

/// The whole of a file is of no use.
pub fn damage(file: &Path, fault: Fault) -> CheckpointError {
    let file = file.to_owned();
    CheckpointError::Damaged(Damage { file, at: 0, fault })
}

/// Makes a directory for checkpoints, and those above it.
pub fn make_directory(directory: &Path) -> Result<(), CheckpointError> {
    fs::create_dir_all(directory).map_err(failed("make the directory of", directory))
}

/// All of a file, as it is.
pub fn bytes(file: &Path) -> Option<Vec<u8>> {
    source::read(file).ok().flatten()
}

/// Whether a file of one record is as a machine that stopped may have left it.
pub fn is_missing_or_cut_short(file: &Path) -> bool {
    match source::read(file) {
        Ok(None) => true,
        Ok(Some(bytes)) => match format::single(&bytes) {
            Ok(Err(bad)) => bad.fault == format::Fault::Short,
            Ok(Ok(_)) | Err(_) => false,
        },
        Err(_) => false,
    }
}

fn sync_directory(directory: &Path, durability: Durability) -> io::Result<()> {
    match durability {
        Durability::Process => Ok(()),
        Durability::Reboot => File::open(directory)?.sync_all(),
    }
}

fn newer(file: &Path, found: u32) -> CheckpointError {
    let file = file.to_owned();
    CheckpointError::Newer { file, found }
}

fn too_long(file: &Path) -> CheckpointError {
    failed("write", file)(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("the record is longer than {} bytes", format::MAX_RECORD),
    ))
}

impl From<format::Fault> for Fault {
    fn from(fault: format::Fault) -> Self {
        match fault {
            format::Fault::Foreign => Self::Foreign,
            format::Fault::Header | format::Fault::Head | format::Fault::Payload => Self::Changed,
            format::Fault::Short => Self::Short,
            format::Fault::More => Self::More,
        }
    }
}

#[cfg(test)]
mod tests;
