//! tar archives, entry by entry.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use tar::EntryType;

use super::sparse::{Expanded, Sparse, Told};
use super::{ArchiveError, Limits, Unpacking, ambiguous};

pub fn read(archive: impl Read, out: &mut Unpacking<'_>) -> Result<(), ArchiveError> {
    let Limits {
        header_bytes,
        trailing_bytes,
        ..
    } = out.limits;
    entries(archive, header_bytes, trailing_bytes, |entry| {
        write(entry, out)
    })
}

/// One entry after the other, whose headers may have `header_bytes` each; behind the last one, as many as
/// `trailing_bytes`. How large contents may be is for `each` to say.
pub fn entries<R: Read, E: From<Damaged>>(
    archive: R,
    header_bytes: u64,
    trailing_bytes: u64,
    mut each: impl FnMut(&mut tar::Entry<'_, Metered<R>>) -> Result<(), E>,
) -> Result<(), E> {
    let allowance = Rc::new(Cell::new(header_bytes));
    let mut archive = tar::Archive::new(Metered {
        inner: archive,
        allowance: Rc::clone(&allowance),
    });
    let found = archive.entries().map_err(Damaged)?;
    one_by_one(found, &allowance, header_bytes, &mut each)?;
    allowance.set(trailing_bytes);
    Ok(finish(archive.into_inner()).map_err(Damaged)?)
}

fn one_by_one<R: Read, E: From<Damaged>>(
    found: tar::Entries<'_, Metered<R>>,
    allowance: &Cell<u64>,
    header_bytes: u64,
    each: &mut impl FnMut(&mut tar::Entry<'_, Metered<R>>) -> Result<(), E>,
) -> Result<(), E> {
    for entry in found {
        let mut entry = entry.map_err(Damaged)?;
        // Only headers are held in memory.
        allowance.set(u64::MAX);
        each(&mut entry)?;
        allowance.set(header_bytes);
    }
    Ok(())
}

/// The same of one whose contents are passed over where `each` does not read them. What is behind the last entry
/// does not matter.
pub fn entries_by_seeking<R: Read + Seek, E: From<Damaged>>(
    archive: R,
    header_bytes: u64,
    mut each: impl FnMut(&mut tar::Entry<'_, Metered<R>>) -> Result<(), E>,
) -> Result<(), E> {
    let allowance = Rc::new(Cell::new(header_bytes));
    let mut archive = tar::Archive::new(Metered {
        inner: archive,
        allowance: Rc::clone(&allowance),
    });
    let found = archive.entries_with_seek().map_err(Damaged)?;
    one_by_one(found, &allowance, header_bytes, &mut each)
}

/// An archive that is no archive, or is cut short.
#[derive(Debug)]
pub struct Damaged(pub io::Error);

impl From<Damaged> for ArchiveError {
    fn from(Damaged(error): Damaged) -> Self {
        Self::Damaged(error)
    }
}

/// To the end of the stream, where its checksum is.
fn finish(mut rest: impl Read) -> io::Result<()> {
    io::copy(&mut rest, &mut io::sink()).map(drop)
}

/// One entry, judged.
pub fn write(
    entry: &mut tar::Entry<'_, impl Read>,
    out: &mut Unpacking<'_>,
) -> Result<(), ArchiveError> {
    let kind = entry.header().entry_type();
    // Its content is what it says, and is held in memory.
    if kind == EntryType::XGlobalHeader && entry.size() > out.limits.header_bytes {
        let error = io::Error::other("what is said of all entries is too large");
        return Err(ArchiveError::Damaged(error));
    }
    let pairs = pairs(entry).map_err(ArchiveError::Damaged)?;
    let mut sparse = Sparse::default();
    pairs
        .iter()
        .for_each(|(key, value)| sparse.note(key, value));
    let sparse = sparse.told().map_err(ArchiveError::Damaged)?;
    let name = match sparse.as_ref().and_then(|told| told.name.clone()) {
        Some(name) => name,
        None => entry.path().map_err(ArchiveError::Damaged)?.into_owned(),
    };
    let judged = match kind {
        EntryType::GNUSparse if sparse.is_some() => Err("its holes are said in two ways"),
        // A comment on the archive, as `git archive` writes it.
        EntryType::XGlobalHeader => ambiguous::global(&pairs),
        _ => ambiguous::entry(entry, &pairs),
    };
    judged.map_err(|why| ArchiveError::Ambiguous {
        name: name.display().to_string(),
        why,
    })?;
    if kind == EntryType::XGlobalHeader {
        return Ok(());
    }
    let refused = |kind| ArchiveError::Kind {
        name: name.display().to_string(),
        kind,
    };
    let Some(path) = out.entry(&name)? else {
        // "./": the sandbox itself, whose mode and owner are not the archive's business.
        return match kind {
            EntryType::Directory => Ok(()),
            _ => Err(refused("without a name")),
        };
    };
    match kind {
        EntryType::Directory => out.directory(&path),
        // Archives from before POSIX mark a directory only by the name's last character.
        EntryType::Regular if entry.path_bytes().ends_with(b"/") => out.directory(&path),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mode = entry.header().mode().map_err(ArchiveError::Damaged)?;
            let modified = Some(entry.header().mtime().unwrap_or(0));
            match sparse {
                None if out.shares(entry) => out.shared(path, mode, modified, entry),
                None => out.file(path, mode, modified, entry),
                Some(Told { length, pieces, .. }) => {
                    let (stored, most) = (entry.size(), out.limits.header_bytes);
                    let expanded = match pieces {
                        Some(pieces) => Expanded::told(entry, stored, length, pieces),
                        None => Expanded::new(entry, length, most),
                    };
                    let mut expanded = expanded.map_err(ArchiveError::Damaged)?;
                    out.file(path, mode, modified, &mut expanded)
                }
            }
        }
        EntryType::Symlink => out.symlink(&path, &target(entry)?),
        EntryType::Link => out.hard_link(&path, &target(entry)?),
        EntryType::Char | EntryType::Block => Err(refused("a device")),
        EntryType::Fifo => Err(refused("a fifo")),
        _ => Err(refused("of an unknown kind")),
    }
}

/// What the extended headers say.
fn pairs(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let pairs = entry.pax_extensions()?.into_iter().flatten();
    pairs
        .map(|pair| {
            let pair = pair?;
            Ok((pair.key_bytes().to_vec(), pair.value_bytes().to_vec()))
        })
        .collect()
}

fn target(entry: &tar::Entry<'_, impl Read>) -> Result<std::path::PathBuf, ArchiveError> {
    let target = entry.link_name().map_err(ArchiveError::Damaged)?;
    Ok(target.as_deref().unwrap_or(Path::new("")).to_owned())
}

/// Stops a reader at an allowance that is renewed from outside.
pub struct Metered<R> {
    inner: R,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.allowance.get() == 0 && !buffer.is_empty() {
            return Err(io::Error::other(
                "the header of an entry, or what follows the last one, is too large",
            ));
        }
        let most = usize::try_from(self.allowance.get()).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let length = self.inner.read(&mut buffer[..most])?;
        self.allowance.set(self.allowance.get() - length as u64);
        Ok(length)
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
