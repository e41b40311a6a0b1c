//! Unpacking. The crates `tar` and `zip` only parse; each entry is judged here and written through
//! `beneath`, because an archive is content from elsewhere.

mod ahead;
mod ambiguous;
mod codec;
#[cfg(test)]
mod corpus;
mod holes;
mod pack;
mod recognised;
mod shared;
mod sparse;
mod tarball;
mod zip_end;
mod zip_headers;
mod zipped;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path};
use std::time::{Duration, UNIX_EPOCH};

use crate::beneath::{BadPath, Batch, Beneath, InnerPath, WriteError};
use crate::budget::{Budget, OverLimit};
use crate::growth::Packed;
use crate::plan::Format;
use holes::Holes;
use pack::Pack;

use ahead::ahead;
pub use codec::{Codec, Xz, bzip2_by_blocks, bzip2_by_one, decoder};
use codec::{Room, decoded};
pub use recognised::{codec_of, recognised};
pub use shared::hand_out;
pub use tarball::{Damaged, entries};

/// Of an archive at once.
const READ: usize = 256 << 10;

/// What one archive may hold, besides the bytes, which `Budget` counts. Generous, but a bomb ends.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub entries: u64,
    /// Directories above an entry.
    pub depth: usize,
    /// Of an entry's header with its extensions, which parsers hold in memory.
    pub header_bytes: u64,
    /// Behind the end of a tar, where mostly zeros fill a last block.
    pub trailing_bytes: u64,
    /// Of a zip's list of its entries, which the parser holds in memory as a whole.
    pub directory_bytes: u64,
    /// How many bytes a byte of a compressed archive may become, once they are `ratio_from` all together.
    pub ratio: u64,
    pub ratio_from: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 250_000,
            depth: 256,
            header_bytes: 1 << 20,
            trailing_bytes: 64 << 20,
            directory_bytes: 64 << 20,
            // gzip cannot do better than this for zeros; what people pack stays far below.
            ratio: 1000,
            ratio_from: 1 << 30,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("cannot read it back")]
    Open(#[source] io::Error),
    #[error("the fetch is over already")]
    Over,
    #[error("cannot start a thread that decompresses it")]
    Thread(#[source] io::Error),
    #[error("it is damaged or not what its name says: check the file on the server")]
    Damaged(#[source] io::Error),
    #[error("it holds more than {0} entries")]
    TooManyEntries(u64),
    #[error("an entry has more than {0} directories above it")]
    TooDeep(usize),
    #[error(
        "it unpacks to more than {0} times its size: check that it is what it should be, and pack empty data as \
         holes of a plain .tar"
    )]
    Ratio(u64),
    #[error("its list of entries is larger than {0} bytes")]
    LargeDirectory(u64),
    #[error("unpacking takes more than the fetch may")]
    TooManyBytes(#[from] OverLimit),
    #[error("entry {name:?} is refused")]
    Path { name: String, source: BadPath },
    #[error("entry {name:?} is refused: it links to {to:?}, which may lie outside the sandbox")]
    Link { name: String, to: String },
    #[error(
        "entry {name:?} is refused: it is {kind}, and only files, directories and links unpack"
    )]
    Kind { name: String, kind: &'static str },
    #[error("entry {name:?} is refused, for readers of tar do not agree about it: {why}")]
    Ambiguous { name: String, why: &'static str },
    #[error(
        "it is refused, for readers of zip do not agree about it: its list of entries is longer than it says"
    )]
    LongDirectory,
    #[error(
        "it is refused, for readers of zip do not agree about it: two entries, or one and the list of them, have \
         bytes in common"
    )]
    Overlap,
    #[error(
        "entry {name:?} is refused, for readers of zip do not agree about it: the list of entries and the \
         header in front of its content differ in its {what}"
    )]
    Headers { name: String, what: &'static str },
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("cannot write {path} in the sandbox")]
    WriteData { path: String, source: io::Error },
}

/// Unpacks `archive` into the sandbox. All or nothing.
pub fn unpack(
    sandbox: &Beneath,
    archive: &Packed,
    format: Format,
    limits: Limits,
    budget: &Budget,
) -> Result<(), ArchiveError> {
    unpack_and_keep(sandbox, archive, format, limits, budget, None).map(drop)
}

/// Likewise, and writes what it is into `keep`, a file from which `hand_out` makes the same again; how long that
/// is then, unless it cannot be written.
pub fn unpack_and_keep(
    sandbox: &Beneath,
    archive: &Packed,
    format: Format,
    limits: Limits,
    budget: &Budget,
    keep: Option<File>,
) -> Result<Option<u64>, ArchiveError> {
    let read = || archive.again().map_err(ArchiveError::Open);
    let mut out = Unpacking::new(sandbox, limits, budget);
    out.pack = keep.map(Pack::new);
    if format != Format::Tar(None) {
        out.packed = Some(archive);
    }
    match format {
        Format::Tar(None) => tarball::read(buffered(read()?), &mut out)?,
        Format::Tar(Some(codec)) => {
            let packed = read()?;
            ahead(
                || decoded(codec, packed, room(sandbox)),
                |decoded| tarball::read(decoded, &mut out),
            )?;
        }
        Format::Zip => zipped::read(whole(archive)?, &mut out)?,
    }
    Ok(out.commit())
}

/// One that is read from its end.
fn whole(archive: &Packed) -> Result<File, ArchiveError> {
    let mut file = archive.file().try_clone().map_err(ArchiveError::Open)?;
    io::Seek::rewind(&mut file).map_err(ArchiveError::Open)?;
    Ok(file)
}

/// Decompresses `from` into a file of the sandbox.
pub fn decompress(
    sandbox: &Beneath,
    codec: Codec,
    from: &Packed,
    to: &InnerPath,
    limits: Limits,
    budget: &Budget,
) -> Result<(), ArchiveError> {
    let mut out = Unpacking::new(sandbox, limits, budget);
    out.packed = Some(from);
    let packed = from.again().map_err(ArchiveError::Open)?;
    ahead(
        || decoded(codec, packed, room(sandbox)),
        |decoded| out.file(to.clone(), 0o644, None, decoded),
    )?;
    out.commit();
    Ok(())
}

/// For what is decoded before its turn.
fn room(sandbox: &Beneath) -> Room<'_> {
    Box::new(|| Ok(sandbox.unnamed()?.into()))
}

fn buffered<R: Read>(packed: R) -> BufReader<R> {
    BufReader::with_capacity(READ, packed)
}

/// The writing half of an unpacking: keeps the limits and the rules, whatever the format.
struct Unpacking<'a> {
    batch: Batch<'a>,
    limits: Limits,
    budget: &'a Budget,
    entries: u64,
    buffer: Vec<u8>,
    bytes: u64,
    /// What is compressed.
    packed: Option<&'a Packed>,
    is_whole: bool,
    /// Where what is unpacked is kept, too.
    pack: Option<Pack>,
    /// A kept tree that all of it comes from.
    shared: Option<&'a Packed>,
}

impl<'a> Unpacking<'a> {
    fn new(sandbox: &'a Beneath, limits: Limits, budget: &'a Budget) -> Self {
        Self {
            batch: sandbox.batch(),
            limits,
            budget,
            entries: 0,
            buffer: vec![0; holes::PIECE],
            bytes: 0,
            packed: None,
            is_whole: false,
            pack: None,
            shared: None,
        }
    }

    fn commit(mut self) -> Option<u64> {
        self.is_whole = true;
        self.pack.take()?.finish().ok()
    }

    /// A tree that cannot be kept is unpacked all the same.
    fn keep(&mut self, what: impl FnOnce(&mut Pack) -> io::Result<()>) {
        self.pack = self.pack.take().and_then(|mut pack| {
            what(&mut pack).ok()?;
            Some(pack)
        });
    }

    /// Whether so much may have become of what is compressed.
    fn is_plausible(&self) -> bool {
        let is_enough = |length: u64| self.bytes <= length.saturating_mul(self.limits.ratio);
        let is_plausible = |packed: &Packed| {
            // What expands less may still come.
            is_enough(packed.length()) || is_enough(packed.whole_length())
        };
        self.bytes <= self.limits.ratio_from || self.packed.is_none_or(is_plausible)
    }

    /// Called once per entry, before anything else. `None` is the sandbox itself (`./`).
    fn entry(&mut self, name: &Path) -> Result<Option<InnerPath>, ArchiveError> {
        if self.budget.is_closed() {
            return Err(ArchiveError::Over);
        }
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ArchiveError::TooManyEntries(self.limits.entries));
        }
        match InnerPath::parse(name) {
            Ok(path) if path.depth() > self.limits.depth => {
                Err(ArchiveError::TooDeep(self.limits.depth))
            }
            Ok(path) => Ok(Some(path)),
            Err(BadPath::Empty) => Ok(None),
            Err(source) => Err(ArchiveError::Path {
                name: name.display().to_string(),
                source,
            }),
        }
    }

    fn directory(&mut self, path: &InnerPath) -> Result<(), ArchiveError> {
        self.batch.directory(path)?;
        self.keep(|pack| pack.directory(path.as_path()));
        Ok(())
    }

    /// Setuid, setgid, sticky and foreign write bits of `mode` are dropped, as tar does under the
    /// usual umask.
    fn file(
        &mut self,
        path: InnerPath,
        mode: u32,
        modified: Option<u64>,
        content: &mut dyn Read,
    ) -> Result<(), ArchiveError> {
        let mode = (mode & 0o755) | 0o600;
        let mut file = Holes::new(self.batch.file(&path, mode)?);
        let failed = |source| ArchiveError::WriteData {
            path: path.to_string(),
            source,
        };
        loop {
            let length = match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ArchiveError::Damaged(error)),
            };
            // Holes as well: the task may fill them.
            self.budget.take(length as u64)?;
            self.bytes += length as u64;
            if !self.is_plausible() {
                return Err(ArchiveError::Ratio(self.limits.ratio));
            }
            let piece = &self.buffer[..length];
            file.write(piece).map_err(failed)?;
            if let Some(pack) = &mut self.pack
                && pack.write(path.as_path(), piece).is_err()
            {
                self.pack = None;
            }
        }
        let file = file.finish().map_err(failed)?;
        touch(&file, modified);
        self.keep(|pack| pack.end_file(path.as_path(), mode, modified.unwrap_or(0)));
        Ok(())
    }

    fn symlink(&mut self, path: &InnerPath, target: &Path) -> Result<(), ArchiveError> {
        if !stays_inside(path, target) {
            return Err(ArchiveError::Link {
                name: path.to_string(),
                to: target.display().to_string(),
            });
        }
        self.batch.symlink(path, target)?;
        self.keep(|pack| pack.symlink(path.as_path(), target));
        Ok(())
    }

    /// `target` is relative to the root of the archive.
    fn hard_link(&mut self, path: &InnerPath, target: &Path) -> Result<(), ArchiveError> {
        let to = InnerPath::parse(target).map_err(|_bad| ArchiveError::Link {
            name: path.to_string(),
            to: target.display().to_string(),
        })?;
        self.batch.hard_link(path, &to)?;
        self.keep(|pack| pack.hard_link(path.as_path(), to.as_path()));
        Ok(())
    }
}

/// A time the file system cannot hold is no reason to fail.
fn touch(file: &File, modified: Option<u64>) {
    let time = modified.and_then(|time| UNIX_EPOCH.checked_add(Duration::from_secs(time)));
    let _kept_or_not = time.map(|time| file.set_modified(time));
}

impl Drop for Unpacking<'_> {
    fn drop(&mut self) {
        match self.is_whole {
            true => self.batch.commit(),
            // What was made is removed, and may be made again.
            false => self.budget.give_back(self.bytes),
        }
    }
}

/// Whether a symbolic link at `path` certainly leads into the sandbox.
///
/// Counting `..` is only right while every name before them is a real directory. The parents of
/// `path` are (they were opened without following links); names in the target may be links that
/// lead higher up. So `..` may only stand at its front, and at most as often as `path` is deep.
fn stays_inside(path: &InnerPath, target: &Path) -> bool {
    let mut climbed = 0;
    let mut descending = false;
    for component in target.components() {
        match component {
            Component::Normal(_) => descending = true,
            Component::CurDir => {}
            Component::ParentDir if descending => return false,
            Component::ParentDir => climbed += 1,
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    climbed <= path.depth() && !target.as_os_str().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symlink_may_only_lead_into_the_sandbox() {
        for (path, target, inside) in [
            ("l", "file", true),
            ("a/b/l", "../../file", true),
            ("a/l", "./x", true),
            ("l", "..", false),
            ("a/l", "../../file", false),
            ("l", "/etc/passwd", false),
            // "s" may be a link to the root, and then this climbs out of it.
            ("a/b/l", "s/..", false),
            ("l", "", false),
        ] {
            let at = InnerPath::parse(Path::new(path)).unwrap();
            let found = stays_inside(&at, Path::new(target));
            assert_eq!(found, inside, "{path} -> {target}");
        }
    }
}
