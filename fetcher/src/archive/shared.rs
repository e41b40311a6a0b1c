//! A tree that was kept, handed out: the blocks of its files are shared where the file system can, which is until
//! one of both is written to, and copied by the kernel elsewhere.

use std::fs::File;
use std::io::{self, BufReader, Read};

use rustix::fs::{SeekFrom, copy_file_range, seek};

use super::pack::ALIGNED;
use super::{ArchiveError, Limits, Unpacking, tarball, touch};
use crate::beneath::{Beneath, InnerPath};
use crate::budget::Budget;
use crate::growth::Packed;

/// Between contents, which are passed over.
const READ: usize = 16 << 10;
/// The most that one call copies.
const PIECE: usize = 1 << 30;

/// Makes what `kept` holds, which `unpack_and_keep` has written. All or nothing.
pub fn hand_out(
    sandbox: &Beneath,
    kept: &Packed,
    limits: Limits,
    budget: &Budget,
) -> Result<(), ArchiveError> {
    let read = kept.again().map_err(ArchiveError::Open)?;
    let read = BufReader::with_capacity(READ, read);
    let mut out = Unpacking::new(sandbox, limits, budget);
    out.shared = Some(kept);
    tarball::entries_by_seeking(read, limits.header_bytes, |entry| {
        tarball::write(entry, &mut out)
    })?;
    out.commit();
    Ok(())
}

impl Unpacking<'_> {
    /// Whether a file of a kept tree is there without holes, which a copy would fill.
    pub fn shares(&self, entry: &tar::Entry<'_, impl Read>) -> bool {
        let (at, length) = (entry.raw_file_position(), entry.size());
        let is_solid = |kept: &Packed| {
            let hole = seek(kept.file(), SeekFrom::Hole(at));
            hole.is_ok_and(|hole| hole >= at + length)
        };
        length >= ALIGNED && self.shared.is_some_and(is_solid)
    }

    pub fn shared(
        &mut self,
        path: InnerPath,
        mode: u32,
        modified: Option<u64>,
        entry: &mut tar::Entry<'_, impl Read>,
    ) -> Result<(), ArchiveError> {
        let (at, length) = (entry.raw_file_position(), entry.size());
        let file = self.batch.file(&path, (mode & 0o755) | 0o600)?;
        self.budget.take(length)?;
        self.bytes += length;
        let shared = self
            .shared
            .map(|kept| share(kept.file(), at, length, &file));
        let shared = shared.unwrap_or(Ok(()));
        shared.map_err(|source| ArchiveError::WriteData {
            path: path.to_string(),
            source,
        })?;
        touch(&file, modified);
        Ok(())
    }
}

fn share(from: &File, at: u64, length: u64, to: &File) -> io::Result<()> {
    let (mut from_at, mut to_at) = (at, 0);
    while to_at < length {
        let left = usize::try_from(length - to_at).unwrap_or(usize::MAX);
        let copied = copy_file_range(
            from,
            Some(&mut from_at),
            to,
            Some(&mut to_at),
            left.min(PIECE),
        );
        match copied {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => {}
            // Of another file system, or one that leaves it to us.
            Err(_) => return copy(from, from_at, length - to_at, to, to_at),
        }
    }
    Ok(())
}

fn copy(from: &File, at: u64, length: u64, to: &File, to_at: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;

    let mut buffer = vec![0; READ * 8];
    let mut done = 0;
    while done < length {
        let most = usize::try_from(length - done).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let read = from.read_at(&mut buffer[..most], at + done)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all_at(&buffer[..read], to_at + done)?;
        done += read as u64;
    }
    Ok(())
}
