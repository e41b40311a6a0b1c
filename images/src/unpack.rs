//! Layers into directories, in a child that is in a cage: this is its starter's side.
//!
//! ```text
//!  unpack ── blob on stdin ──► child ── decompress ──► layer ──► place   (a directory, by descriptor)
//!    ▲                            │
//!    └──── what there is of it ───┘
//! ```
//! The child keeps the owners of files, so it is root, with the capabilities for that and no other. What it
//! must not be able to do itself is left to its starter: an opaque directory is marked by an attribute that
//! asks for CAP_SYS_ADMIN.

mod child;
mod entry;
mod layer;
mod place;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use rustix::fs::{XattrFlags, fsetxattr};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::digest::Digest;
use crate::media::Compression;

pub use child::child_main;
pub(crate) use entry::{Attribute, attribute};

/// What a child may tell, whose directories may have long names.
const ANSWER_BYTES: u64 = 64 << 20;
const OPAQUE: &str = "trusted.overlay.opaque";

#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("no helper for unpacking was named")]
    NoHelper,
    #[error("cannot start the helper {program} for unpacking")]
    Start { program: String, source: io::Error },
    #[error("cannot wait for the helper for unpacking")]
    Wait(#[source] io::Error),
    /// The child's own words.
    #[error("{0}")]
    Refused(String),
    #[error(
        "the helper for unpacking ended with {0} and gave no reason, most likely for want of memory"
    )]
    Died(ExitStatus),
    #[error(
        "what it is unpacked to has the digest {found}, and the image's configuration says {wanted}: the \
         image is damaged, build it again"
    )]
    WrongContent { wanted: Digest, found: Digest },
    #[error("cannot mark {path} as hiding what layers below have there")]
    Opaque { path: PathBuf, source: io::Error },
}

/// What a child says of a layer that it has unpacked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unpacked {
    /// Of the layer without its compression.
    pub diff_id: Digest,
    /// Of its files.
    pub bytes: u64,
    pub entries: u64,
    /// Directories that hide what layers below have there; relative, as bytes.
    opaque: Vec<Vec<u8>>,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Done(Unpacked),
    Failed(String),
}

/// Unpacks `blob` into `directory`, which is empty and ours, within `most` bytes. `helper`: the program and
/// arguments that end up in `child_main`. Dropping the future ends the child. After an error the directory
/// is to be removed.
pub async fn unpack(
    helper: &[String],
    blob: File,
    compression: Compression,
    directory: &Path,
    most: u64,
    wanted: &Digest,
) -> Result<Unpacked, UnpackError> {
    let (program, arguments) = helper.split_first().ok_or(UnpackError::NoHelper)?;
    let order = child::Order {
        directory: directory.to_owned(),
        compression,
        most,
        algorithm: wanted.algorithm().to_owned(),
    };
    let order = serde_json::to_string(&order).map_err(|error| UnpackError::Wait(error.into()))?;
    let mut child = Command::new(program)
        .args(arguments)
        .arg(order)
        .env_clear()
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(blob)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| UnpackError::Start {
            program: program.clone(),
            source,
        })?;
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let mut bounded = stdout.take(ANSWER_BYTES);
        let read = bounded.read_to_end(&mut answer).await;
        read.map_err(UnpackError::Wait)?;
    }
    let status = child.wait().await.map_err(UnpackError::Wait)?;
    let unpacked = match serde_json::from_slice(&answer) {
        Ok(Said::Done(unpacked)) if status.success() => unpacked,
        Ok(Said::Failed(why)) => return Err(UnpackError::Refused(why)),
        _ => return Err(UnpackError::Died(status)),
    };
    if unpacked.diff_id != *wanted {
        return Err(UnpackError::WrongContent {
            wanted: wanted.clone(),
            found: unpacked.diff_id,
        });
    }
    for path in &unpacked.opaque {
        let path = Path::new(OsStr::from_bytes(path));
        mark_opaque(directory, path).map_err(|source| UnpackError::Opaque {
            path: path.to_owned(),
            source,
        })?;
    }
    Ok(unpacked)
}

/// `path` is what the child says: no link in it is followed, and none leads out.
fn mark_opaque(layer: &Path, path: &Path) -> io::Result<()> {
    let layer = File::open(layer)?;
    let here = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let directory = openat2(layer.as_fd(), here, how)?;
    Ok(fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty())?)
}
