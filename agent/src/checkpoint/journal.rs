//! A file that records are appended to.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use failpoint::{Point, reach, reach_leaving};
use nix::libc;
use prost::Message;

use super::{
    CheckpointError, Damage, Durability, Fault, aside, failed, format, newer, replace, source,
    too_long,
};

/// Opened with its first record: most that are read again are never written to.
#[derive(Debug)]
pub struct Journal {
    path: Box<Path>,
    file: Option<File>,
    /// Where the next record goes.
    end: usize,
    /// Something that is no record may follow.
    is_torn: bool,
    /// What could not be written yet, oldest first.
    behind: VecDeque<(Vec<u8>, Durability)>,
}

/// What a journal holds.
#[derive(Debug)]
pub struct Journalled<M> {
    pub records: Vec<M>,
    /// The first fault, if there is any: some record is not among the others then.
    pub damage: Option<Damage>,
    /// Bytes of a record that was not written to its end: what it was about has not been acted upon.
    pub torn: usize,
    end: usize,
    /// Of the records above.
    payloads: Vec<Vec<u8>>,
}

impl<M: Message + Default> Journalled<M> {
    /// Reads a journal, whatever is in its place. Changes nothing.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = match source::read(path) {
            Err(CheckpointError::Damaged(damage)) => return Ok(Self::lost(damage)),
            bytes => bytes?.unwrap_or_default(),
        };
        let scan =
            format::scan(&bytes).map_err(|format::NewerVersion(found)| newer(path, found))?;
        let damaged = |at, fault| Damage {
            file: path.to_owned(),
            at,
            fault,
        };
        let mut damage = scan
            .bad
            .first()
            .map(|bad| damaged(bad.at, bad.fault.into()));
        let (mut records, mut payloads) = (Vec::new(), Vec::new());
        for (at, payload) in scan.payloads {
            match M::decode(payload) {
                Ok(record) => {
                    records.push(record);
                    payloads.push(payload.to_vec());
                }
                Err(error) => {
                    let here = damaged(at, Fault::Kind(error));
                    damage = damage.filter(|first| first.at < at).or(Some(here));
                }
            }
        }
        Ok(Self {
            records,
            torn: bytes.len() - scan.end,
            end: scan.end,
            payloads: if damage.is_some() { payloads } else { vec![] },
            damage,
        })
    }

    fn lost(damage: Damage) -> Self {
        Self {
            records: vec![],
            damage: Some(damage),
            torn: 0,
            end: 0,
            payloads: vec![],
        }
    }

    /// The journal, to go on with, and its records. One that is damaged must be mended first.
    pub fn resume(self, path: &Path) -> (Journal, Vec<M>) {
        let journal = Journal {
            path: path.into(),
            file: None,
            end: self.end,
            is_torn: self.torn > 0,
            behind: VecDeque::new(),
        };
        (journal, self.records)
    }

    /// Puts a journal of the records that are good in place of a damaged one, which is set aside: as what
    /// is returned. At no moment is neither of them there.
    pub fn mend(&mut self, path: &Path) -> Result<Option<PathBuf>, CheckpointError> {
        if self.damage.is_none() {
            return Ok(None);
        }
        let good = format::file(&self.payloads).ok_or_else(|| too_long(path))?;
        let is_file = fs::symlink_metadata(path).is_ok_and(|it| it.is_file());
        let aside = match is_file {
            true => aside::keep_copy(path).or_else(|_no_links_here| aside::set_aside(path)),
            false => aside::set_aside(path),
        }?;
        replace(path, &good, Durability::Reboot)?;
        (self.end, self.torn) = (good.len(), 0);
        Ok(Some(aside))
    }
}

impl Journal {
    /// One that has no record yet, and no file.
    pub fn new(path: &Path) -> Journal {
        Journal {
            path: path.into(),
            file: None,
            end: 0,
            is_torn: false,
            behind: VecDeque::new(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a record. On error it is kept, and goes before whatever is appended next: a record may be
    /// late, but the order is that in which they came.
    pub fn append<M: Message>(
        &mut self,
        message: &M,
        durability: Durability,
    ) -> Result<(), CheckpointError> {
        let payload = message.encode_to_vec();
        if payload.len() > format::MAX_RECORD {
            return Err(too_long(&self.path));
        }
        self.behind.push_back((payload, durability));
        self.catch_up()
    }

    /// Writes what could not be written yet.
    pub fn catch_up(&mut self) -> Result<(), CheckpointError> {
        while let Some((payload, durability)) = self.behind.front() {
            let bytes = match self.end {
                0 => format::file([payload]),
                end => format::record(payload, end),
            };
            let bytes = bytes.ok_or_else(|| too_long(&self.path))?;
            let durability = *durability;
            self.write(&bytes, durability)?;
            self.behind.pop_front();
        }
        // Room for records is needed once in a life.
        self.behind.shrink_to_fit();
        Ok(())
    }

    pub fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Bytes that it has.
    pub fn len(&self) -> usize {
        self.end
    }

    /// What is in it now.
    pub fn read<M: Message + Default>(&self) -> Result<Journalled<M>, CheckpointError> {
        Journalled::read(&self.path)
    }

    /// Puts `records` in place of all that is there, when that is whole: whoever reads it finds the one or the
    /// other.
    pub fn rewrite<M: Message>(&mut self, records: &[M]) -> Result<(), CheckpointError> {
        if self.is_torn {
            return Ok(());
        }
        let payloads: Vec<_> = records.iter().map(Message::encode_to_vec).collect();
        let content = format::file(&payloads).ok_or_else(|| too_long(&self.path))?;
        let replaced = replace(&self.path, &content, Durability::Reboot);
        // It has got another name by now, or none.
        self.file = None;
        self.end = match &replaced {
            Ok(()) => content.len(),
            // Either may be there: the last step may be what has failed.
            Err(_) => fs::metadata(&self.path).map_or(self.end, |found| found.len() as usize),
        };
        replaced
    }

    /// As after an append that failed.
    #[cfg(test)]
    pub(super) fn is_torn(&mut self) {
        self.is_torn = true;
    }

    fn write(&mut self, bytes: &[u8], durability: Durability) -> Result<(), CheckpointError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => open(&self.path)?,
        };
        let path = &self.path;
        let file = self.file.insert(file);
        reach(Point::JournalOpened);
        if self.is_torn {
            let length = self.end as u64;
            file.set_len(length)
                .map_err(failed("cut off what is torn of", path))?;
        }
        // Until all of it is there, and a full disk may keep it from that.
        self.is_torn = true;
        let (half, at) = (&bytes[..bytes.len() / 2], self.end as u64);
        reach_leaving(Point::JournalCut, || drop(file.write_all_at(half, at)));
        file.write_all_at(bytes, at)
            .map_err(failed("write", path))?;
        reach(Point::JournalWritten);
        match durability {
            Durability::Process => {}
            // One that has failed has forgotten what it was to write: all of it is written again.
            Durability::Reboot => file.sync_all().map_err(failed("sync", path))?,
        }
        self.is_torn = false;
        self.end += bytes.len();
        reach(Point::JournalKept);
        Ok(())
    }
}

fn open(path: &Path) -> Result<File, CheckpointError> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed("make the directory of", path))?;
    }
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path);
    opened.map_err(failed("open", path))
}
