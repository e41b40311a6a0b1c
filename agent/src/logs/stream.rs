//! A log read by the offsets of all that its task ever wrote, so that whoever follows it loses
//! nothing and sees nothing twice when it is rotated meanwhile. Blocks.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::place::{Access, Place, first_byte};
use super::record::{Progress, Record, Source};

/// A look takes much less than what changes a log.
const PATIENCE: Duration = Duration::from_secs(2);

/// Offsets of the stream. Nothing is kept of what is before `oldest`; the file itself begins at
/// `start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub oldest: u64,
    pub start: u64,
    pub end: u64,
}

/// What an offset means that lies before all that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It counts in the file as it is now. So does one that somebody asks for who reads a file from
    /// its beginning, as clients of Mesos do, where each rotated log begins at 0.
    InFile,
    /// The oldest byte that is kept.
    Oldest,
}

/// Bytes and where they are, in the way of counting that was asked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub offset: u64,
    pub bytes: Vec<u8>,
}

/// A log of a sandbox.
#[derive(Debug)]
pub struct Stream(Place);

/// A log at one moment.
struct View {
    file: File,
    /// Of the stream, before the file's first byte.
    shift: u64,
    /// What comes before the file's bytes, oldest first.
    rotated: Vec<File>,
    bounds: Bounds,
    signature: Signature,
}

/// As long as this is the same, nothing was moved.
#[derive(PartialEq, Eq)]
struct Signature {
    record: Option<Record>,
    first_byte: u64,
    files: Vec<(u64, u64)>,
}

/// What the note about a log means, given whether bytes are gone from its beginning.
#[derive(Debug, PartialEq, Eq)]
struct Settled {
    shift: u64,
    /// Of the stream: where the file's bytes begin.
    start: u64,
    before: Before,
}

/// What ends where the file's bytes begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Rotated,
    /// They may be being renamed for it.
    RotatedAndCopy,
}

impl Stream {
    pub fn of(directory: OwnedFd, log: &'static str) -> Stream {
        Stream(Place::beneath(directory, log))
    }

    /// In a sandbox whose parents only root can change.
    pub fn at(sandbox: &Path, log: &'static str) -> io::Result<Stream> {
        Ok(Stream(Place::at(sandbox, log)?))
    }

    /// `None` when it is no plain file, as below.
    pub fn bounds(&self) -> io::Result<Option<Bounds>> {
        self.steadily(|view| Ok(view.bounds))
    }

    pub fn read(&self, offset: u64, gone: Gone, length: u64) -> io::Result<Option<Piece>> {
        self.steadily(|view| {
            let (offset, at) = resolve(offset, gone, view.bounds);
            let bytes = view.read(at, length)?;
            Ok(Piece { offset, bytes })
        })
    }

    /// Looks, and again if something was moved meanwhile.
    fn steadily<T>(&self, look: impl Fn(&View) -> io::Result<T>) -> io::Result<Option<T>> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let Some(view) = View::of(&self.0)? else {
                return Ok(None);
            };
            let seen = look(&view)?;
            match View::of(&self.0)? {
                Some(now) if now.signature != view.signature => {}
                _ => return Ok(Some(seen)),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "it is rotated again and again",
        ))
    }
}

impl View {
    fn of(place: &Place) -> io::Result<Option<View>> {
        let record = place.record()?;
        let Some(file) = place.open_log(Access::Read)? else {
            return Ok(None);
        };
        let (first_byte, copy) = (first_byte(&file)?, place.open_copy()?);
        let settled = match &record {
            Some(record) => settled(record, first_byte, copy.is_some()),
            // A hole in what was never rotated is the task's own.
            None => Settled {
                shift: 0,
                start: 0,
                before: Before::Nothing,
            },
        };
        let rotated = match settled.before {
            Before::Nothing => vec![],
            Before::Rotated => rotated(place, Gaps::None)?,
            Before::RotatedAndCopy => {
                let mut all = rotated(place, Gaps::One)?;
                all.extend(copy);
                all
            }
        };
        let end = settled.shift + file.metadata()?.len();
        let files = rotated.iter().map(|file| file.metadata());
        let files = files.map(|metadata| metadata.map(|m| (m.ino(), m.len())));
        let mut view = View {
            bounds: Bounds {
                oldest: settled.start,
                start: settled.start,
                end: end.max(settled.start),
            },
            signature: Signature {
                record,
                first_byte,
                files: files.collect::<io::Result<_>>()?,
            },
            file,
            shift: settled.shift,
            rotated,
        };
        view.count_rotated();
        Ok(Some(view))
    }

    /// Newest first. What cannot be part of the stream is no file of ours.
    fn count_rotated(&mut self) {
        let mut foreign = self.rotated.len();
        for (_, size) in self.signature.files.iter().rev() {
            let Some(oldest) = self.bounds.oldest.checked_sub(*size) else {
                break;
            };
            self.bounds.oldest = oldest;
            foreign -= 1;
        }
        self.rotated.drain(..foreign);
    }

    fn read(&self, mut at: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let until = at.saturating_add(length).min(self.bounds.end);
        let mut first = self.bounds.oldest;
        for file in &self.rotated {
            let end = first + file.metadata()?.len();
            if at < end.min(until) {
                bytes.extend(read_at(file, at - first, end.min(until) - at)?);
                at = until.min(end);
            }
            first = end;
        }
        if at < until {
            bytes.extend(read_at(&self.file, at - self.shift, until - at)?);
        }
        Ok(bytes)
    }
}

/// Whether a number may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gaps {
    None,
    One,
}

/// Oldest first.
fn rotated(place: &Place, gaps: Gaps) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    let mut missing = 0;
    for number in 1.. {
        match (place.open_rotated(number)?, gaps) {
            (Some(file), _) => files.push(file),
            (None, Gaps::One) if missing == 0 => missing += 1,
            (None, _) => break,
        }
    }
    files.reverse();
    Ok(files)
}

/// Pure. The same that `rotate` makes of it when it carries on.
fn settled(record: &Record, first_byte: u64, has_copy: bool) -> Settled {
    let Record {
        shift,
        start,
        pending,
        ..
    } = *record;
    let is_hollow = first_byte > start.saturating_sub(shift);
    let resting = |before| Settled {
        shift,
        start: shift + first_byte,
        before,
    };
    match pending {
        Some(pending) if is_hollow || pending.progress == Progress::Hollow => {
            let (shift, start) = match first_byte {
                0 => (shift + pending.end, shift + pending.end),
                _ => (shift, shift + pending.end.max(first_byte)),
            };
            let before = match (pending.source, has_copy) {
                (Source::Dropped, _) => Before::Nothing,
                (Source::Copied, true) => Before::RotatedAndCopy,
                (Source::Copied, false) => Before::Rotated,
            };
            Settled {
                shift,
                start,
                before,
            }
        }
        // What they hold ends where the file began when they were rotated.
        _ if shift + first_byte == start => resting(Before::Rotated),
        _ => resting(Before::Nothing),
    }
}

/// Pure: the offset to tell, and where in the stream that is.
fn resolve(offset: u64, gone: Gone, bounds: Bounds) -> (u64, u64) {
    match gone {
        _ if offset >= bounds.oldest => (offset, offset),
        Gone::InFile => (offset, bounds.start.saturating_add(offset)),
        Gone::Oldest => (bounds.oldest, bounds.oldest),
    }
}

/// As many as there are, up to `length`.
pub fn read_at(file: &File, from: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::record::Pending;
    use super::*;

    #[test]
    fn an_offset_that_is_kept_is_the_streams_and_another_the_files() {
        let bounds = Bounds {
            oldest: 100,
            start: 150,
            end: 180,
        };
        for gone in [Gone::InFile, Gone::Oldest] {
            for offset in [100, 149, 150, 180, 999] {
                assert_eq!(resolve(offset, gone, bounds), (offset, offset));
            }
        }
        assert_eq!(resolve(0, Gone::InFile, bounds), (0, 150));
        assert_eq!(resolve(99, Gone::InFile, bounds), (99, 249));
        assert_eq!(resolve(0, Gone::Oldest, bounds), (100, 100));
    }

    #[test]
    fn a_rotation_that_is_under_way_has_happened_once_bytes_are_gone() {
        let of = |progress, first_byte, has_copy| {
            let pending = Pending {
                end: 40,
                source: Source::Copied,
                progress,
            };
            let record = Record {
                changes: 1,
                shift: 100,
                start: 108,
                pending: Some(pending),
            };
            let Settled {
                shift,
                start,
                before,
            } = settled(&record, first_byte, has_copy);
            (shift, start, before)
        };
        use Progress::{Begun, Hollow};
        assert_eq!(of(Begun, 8, true), (100, 108, Before::Rotated));
        assert_eq!(of(Begun, 12, true), (100, 140, Before::RotatedAndCopy));
        assert_eq!(of(Hollow, 12, true), (100, 140, Before::RotatedAndCopy));
        assert_eq!(of(Hollow, 40, false), (100, 140, Before::Rotated));
        assert_eq!(of(Hollow, 0, true), (140, 140, Before::RotatedAndCopy));
        assert_eq!(of(Hollow, 0, false), (140, 140, Before::Rotated));
    }
}
