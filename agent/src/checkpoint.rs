//! Checkpoints: protobuf records on disk, each a native-endian `u32` length and that many bytes.
//!
//! Everything here blocks; callers are on a thread that may.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use prost::Message;

/// More than any record of ours; a longer length on disk means a torn or foreign file.
const MAX_RECORD: usize = 64 << 20;

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("cannot write checkpoint {}", .file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("cannot read checkpoint {}", .file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("checkpoint {} is damaged: move it away to start without it", .file.display())]
    Damaged {
        file: PathBuf,
        source: prost::DecodeError,
    },
    #[error("checkpoint {} is empty or cut short: move it away to start without it", .file.display())]
    Short { file: PathBuf },
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
    replace(file, &record(message), durability)
}

/// Replaces `file` with `content`.
pub fn replace(file: &Path, content: &[u8], durability: Durability) -> Result<(), CheckpointError> {
    let fail = |source| CheckpointError::Write {
        file: file.to_owned(),
        source,
    };
    let directory = file.parent().unwrap_or(Path::new("/"));
    let temporary = file.with_extension("tmp");
    fs::create_dir_all(directory).map_err(fail)?;
    let mut out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(fail)?;
    out.write_all(content).map_err(fail)?;
    if durability == Durability::Reboot {
        out.sync_all().map_err(fail)?;
    }
    fs::rename(&temporary, file).map_err(fail)?;
    if durability == Durability::Reboot {
        File::open(directory)
            .and_then(|d| d.sync_all())
            .map_err(fail)?;
    }
    Ok(())
}

/// Points the link at `link` to `target`, atomically.
pub fn relink(link: &Path, target: &Path) -> Result<(), CheckpointError> {
    let fail = |source| CheckpointError::Write {
        file: link.to_owned(),
        source,
    };
    let temporary = link.with_extension("tmp");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    symlink(target, &temporary).map_err(fail)?;
    fs::rename(&temporary, link).map_err(fail)
}

/// The one record of `file`; `None` when there is no such file.
pub fn read<M: Message + Default>(file: &Path) -> Result<Option<M>, CheckpointError> {
    let Some(bytes) = read_bytes(file)? else {
        return Ok(None);
    };
    let (payload, _) = split_record(&bytes).ok_or_else(|| CheckpointError::Short {
        file: file.to_owned(),
    })?;
    decode(file, payload).map(Some)
}

/// A file that records are appended to.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens `path`, creating it, and returns the records it holds. A record cut short by a crash
    /// is dropped from the file: whatever it was about has not been acted upon.
    pub fn open<M: Message + Default>(path: &Path) -> Result<(Journal, Vec<M>), CheckpointError> {
        let fail = |source| CheckpointError::Write {
            file: path.to_owned(),
            source,
        };
        let bytes = read_bytes(path)?.unwrap_or_default();
        let mut records = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((payload, after)) = split_record(rest) {
            records.push(decode(path, payload)?);
            rest = after;
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(fail)?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(fail)?;
        if !rest.is_empty() {
            file.set_len((bytes.len() - rest.len()) as u64)
                .map_err(fail)?;
        }
        Ok((
            Journal {
                path: path.to_owned(),
                file,
            },
            records,
        ))
    }

    pub fn append<M: Message>(
        &mut self,
        message: &M,
        durability: Durability,
    ) -> Result<(), CheckpointError> {
        let fail = |source| CheckpointError::Write {
            file: self.path.clone(),
            source,
        };
        self.file.write_all(&record(message)).map_err(fail)?;
        if durability == Durability::Reboot {
            self.file.sync_all().map_err(fail)?;
        }
        Ok(())
    }
}

fn record<M: Message>(message: &M) -> Vec<u8> {
    let length = message.encoded_len();
    let mut bytes = Vec::with_capacity(4 + length);
    bytes.extend_from_slice(&(length as u32).to_ne_bytes());
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes
}

/// The first record of `bytes` and what follows it; `None` when it is not there in full.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_ne_bytes(*length) as usize;
    (length <= MAX_RECORD && length <= rest.len()).then(|| rest.split_at(length))
}

fn read_bytes(file: &Path) -> Result<Option<Vec<u8>>, CheckpointError> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CheckpointError::Read {
            file: file.to_owned(),
            source,
        }),
    }
}

fn decode<M: Message + Default>(file: &Path, payload: &[u8]) -> Result<M, CheckpointError> {
    M::decode(payload).map_err(|source| CheckpointError::Damaged {
        file: file.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use proto::v1::TaskId;

    use super::*;

    fn id(value: &str) -> TaskId {
        TaskId {
            value: value.to_owned(),
        }
    }

    #[test]
    fn a_written_record_reads_back_and_a_missing_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b/task.info");
        assert_eq!(read::<TaskId>(&file).unwrap(), None);
        write(&file, &id("one"), Durability::Reboot).unwrap();
        write(&file, &id("two"), Durability::Process).unwrap();
        assert_eq!(read::<TaskId>(&file).unwrap(), Some(id("two")));
    }

    #[test]
    fn a_journal_keeps_its_order_and_drops_a_torn_tail() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("task.updates");
        let (mut journal, _) = Journal::open::<TaskId>(&file).unwrap();
        journal.append(&id("one"), Durability::Process).unwrap();
        journal.append(&id("two"), Durability::Reboot).unwrap();
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        let (mut journal, records) = Journal::open::<TaskId>(&file).unwrap();
        assert_eq!(records, [id("one")]);
        journal.append(&id("three"), Durability::Process).unwrap();
        let (_, records) = Journal::open::<TaskId>(&file).unwrap();
        assert_eq!(records, [id("one"), id("three")]);
    }

    #[test]
    fn a_damaged_checkpoint_is_named_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("slave.info");
        fs::write(&file, "x").unwrap();
        let error = read::<TaskId>(&file).unwrap_err().to_string();
        assert!(
            error.contains("slave.info is empty or cut short: move it away"),
            "{error}"
        );
    }
}
