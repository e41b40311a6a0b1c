//! zip archives, entry by entry.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use zip::CompressionMethod;
use zip::read::ZipFile;

use super::codec::{Frames, ZSTD_BYTES};
use super::zip_end::{announced, is_listed_whole};
use super::zip_headers::{Listed, difference};
use super::{ArchiveError, Limits, Unpacking};

/// Longest target of a symbolic link that Linux knows (PATH_MAX).
const LINK_BYTES: u64 = 4096;

pub fn read(mut archive: File, out: &mut Unpacking<'_>) -> Result<(), ArchiveError> {
    check(&mut archive, out.limits)?;
    let headers = archive.try_clone().map_err(ArchiveError::Open)?;
    let mut archive = zip::ZipArchive::new(BufReader::new(archive)).map_err(damaged)?;
    if archive.has_overlapping_entries().map_err(damaged)? {
        return Err(ArchiveError::Overlap);
    }
    for index in 0..archive.len() {
        let packed = archive.by_index_raw(index).map_err(damaged)?;
        let zstd = packed.compression() == CompressionMethod::ZSTD;
        agrees(&headers, &packed)?;
        drop(packed);
        let entry = match zstd {
            true => archive.by_index_raw(index),
            false => archive.by_index(index),
        };
        let mut entry = entry.map_err(damaged)?;
        let name = PathBuf::from(entry.name().map_err(damaged)?.into_owned());
        let Some(path) = out.entry(&name)? else {
            continue;
        };
        let mode = entry.unix_mode();
        if entry.is_dir() {
            out.directory(&path)?;
        } else if entry.is_symlink() {
            let mut target = Vec::new();
            let read = match zstd {
                true => Checked::new(entry)?
                    .take(LINK_BYTES)
                    .read_to_end(&mut target),
                false => entry.take(LINK_BYTES).read_to_end(&mut target),
            };
            read.map_err(ArchiveError::Damaged)?;
            out.symlink(&path, &PathBuf::from(OsString::from_vec(target)))?;
        } else if let Some(kind) = mode.and_then(special) {
            return Err(ArchiveError::Kind {
                name: path.to_string(),
                kind,
            });
        } else {
            let mode = mode.unwrap_or(0o644);
            match zstd {
                true => out.file(path, mode, None, &mut Checked::new(entry)?)?,
                false => out.file(path, mode, None, &mut entry)?,
            };
        }
    }
    Ok(())
}

/// Before the parser, which indexes everything at once. An archive that lies here is stopped by
/// `Unpacking::entry`, or by the memory that the process may use.
fn check(archive: &mut File, limits: Limits) -> Result<(), ArchiveError> {
    let announced = announced(archive).map_err(ArchiveError::Open)?;
    let announced = announced.unwrap_or_default();
    if announced.entries > limits.entries {
        return Err(ArchiveError::TooManyEntries(limits.entries));
    }
    if announced.directory_bytes > limits.directory_bytes {
        return Err(ArchiveError::LargeDirectory(limits.directory_bytes));
    }
    if !is_listed_whole(archive).map_err(ArchiveError::Open)? {
        return Err(ArchiveError::LongDirectory);
    }
    Ok(())
}

/// Whoever reads an archive from its beginning finds the same.
fn agrees<R: Read>(archive: &File, packed: &ZipFile<'_, R>) -> Result<(), ArchiveError> {
    let listed = Listed {
        at: packed.central_header_start(),
        local_at: packed.header_start(),
        // Known, for it was found.
        content_at: packed.data_start().unwrap_or_default(),
        checksum: packed.crc32().into(),
        packed: packed.compressed_size(),
        size: packed.size(),
    };
    match difference(archive, listed).map_err(ArchiveError::Damaged)? {
        None => Ok(()),
        Some(what) => Err(ArchiveError::Headers {
            name: packed.name().map_err(damaged)?.into_owned(),
            what,
        }),
    }
}

/// Content that was compressed by zstd, which the crate leaves to a library in C.
struct Checked<R> {
    content: R,
    seen: crc32fast::Hasher,
    checksum: u32,
    left: u64,
}

impl<'a> Checked<Frames<BufReader<ZipFile<'a, BufReader<File>>>>> {
    fn new(entry: ZipFile<'a, BufReader<File>>) -> Result<Self, ArchiveError> {
        if entry.encrypted() {
            let error = io::Error::other("it is encrypted");
            return Err(ArchiveError::Damaged(error));
        }
        Ok(Self {
            checksum: entry.crc32(),
            left: entry.size(),
            content: Frames::new(BufReader::new(entry), ZSTD_BYTES),
            seen: crc32fast::Hasher::new(),
        })
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read(buffer)?;
        self.seen.update(&buffer[..length]);
        let left = self.left.checked_sub(length as u64);
        let is_over = length == 0 && !buffer.is_empty();
        let wrong = is_over && (left != Some(0) || self.seen.clone().finalize() != self.checksum);
        self.left = left.filter(|_| !wrong).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "an entry is not what its header says",
            )
        })?;
        Ok(length)
    }
}

/// The file type in a Unix mode, when it is one that is never unpacked. Source: inode(7).
fn special(mode: u32) -> Option<&'static str> {
    match mode & 0o170_000 {
        0o020_000 | 0o060_000 => Some("a device"),
        0o010_000 => Some("a fifo"),
        0o140_000 => Some("a socket"),
        _ => None,
    }
}

fn damaged(error: zip::result::ZipError) -> ArchiveError {
    match error {
        zip::result::ZipError::Io(error) => ArchiveError::Damaged(error),
        other => ArchiveError::Damaged(io::Error::new(io::ErrorKind::InvalidData, other)),
    }
}
