//! A log read by the offsets of all that its task ever wrote, so that whoever follows it loses
//! nothing and sees nothing twice when it is rotated meanwhile. Blocks.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use super::place::{Access, Place, first_byte};
use super::record::Record;

/// A rotation has its critical part behind it in less.
const PATIENCE: Duration = Duration::from_millis(60);
const PAUSE: Duration = Duration::from_millis(2);

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
struct View<'a> {
    place: &'a Place,
    file: File,
    /// Of the stream, before the file's first byte.
    shift: u64,
    rotated: Vec<File>,
    bounds: Bounds,
}

impl Stream {
    pub fn of(directory: OwnedFd, log: &'static str) -> Stream {
        Stream(Place::beneath(directory, log))
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

    /// Looks when no rotation is under way, and again if there was one meanwhile.
    fn steadily<T>(&self, look: impl Fn(&View<'_>) -> io::Result<T>) -> io::Result<Option<T>> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let before = self.0.record()?;
            let is_late = std::time::Instant::now() >= deadline;
            let is_steady = before
                .as_ref()
                .is_none_or(|record| record.pending.is_none());
            if is_steady || is_late {
                let Some(view) = View::of(&self.0, before.as_ref())? else {
                    return Ok(None);
                };
                let seen = look(&view)?;
                if is_late || self.0.record()? == before {
                    return Ok(Some(seen));
                }
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl View<'_> {
    fn of<'a>(place: &'a Place, record: Option<&Record>) -> io::Result<Option<View<'a>>> {
        let Some(file) = place.open_log(Access::Read)? else {
            return Ok(None);
        };
        let size = file.metadata()?.len();
        let Some(record) = record else {
            let bounds = Bounds {
                oldest: 0,
                start: 0,
                end: size,
            };
            return Ok(Some(View {
                place,
                file,
                shift: 0,
                rotated: vec![],
                bounds,
            }));
        };
        let start = record.shift + first_byte(&file)?;
        let mut view = View {
            place,
            file,
            shift: record.shift,
            rotated: vec![],
            bounds: Bounds {
                oldest: start,
                start,
                end: record.shift + size,
            },
        };
        // Otherwise what they hold does not end where the file begins.
        if start == record.start {
            view.find_rotated()?;
        }
        Ok(Some(view))
    }

    fn find_rotated(&mut self) -> io::Result<()> {
        for number in 1.. {
            let Some(file) = self.place.open_rotated(number)? else {
                break;
            };
            let size = file.metadata()?.len();
            match self.bounds.oldest.checked_sub(size) {
                Some(oldest) => self.bounds.oldest = oldest,
                // No file of ours.
                None => break,
            }
            self.rotated.push(file);
        }
        Ok(())
    }

    fn read(&self, mut at: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let until = at.saturating_add(length).min(self.bounds.end);
        let mut first = self.bounds.oldest;
        // Oldest first.
        for file in self.rotated.iter().rev() {
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
}
