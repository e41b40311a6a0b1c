//! Unpacking. The crates `tar` and `zip` only parse; each entry is judged here and written through
//! `beneath`, because an archive is content from elsewhere.

mod ahead;
mod ambiguous;
mod codec;
#[cfg(test)]
mod corpus;
mod holes;
mod recognised;
mod sparse;
mod tarball;
mod zip_end;
mod zipped;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path};

use crate::beneath::{BadPath, Batch, Beneath, InnerPath, WriteError};
use crate::budget::{Budget, OverLimit};
use crate::plan::Format;
use holes::Holes;

use ahead::ahead;
pub use codec::{Codec, bzip2_by_blocks, bzip2_by_one, decoder};
pub use recognised::recognised;
pub use tarball::{Damaged, entries};

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
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("cannot write {path} in the sandbox")]
    WriteData { path: String, source: io::Error },
}

/// Unpacks `archive` into the sandbox. All or nothing.
pub fn unpack(
    sandbox: &Beneath,
    archive: File,
    format: Format,
    limits: Limits,
    budget: &Budget,
) -> Result<(), ArchiveError> {
    let mut out = Unpacking::new(sandbox, limits, budget);
    if format != Format::Tar(None) {
        out.bound(&archive)?;
    }
    match format {
        Format::Tar(None) => tarball::read(buffered(archive), &mut out)?,
        Format::Tar(Some(codec)) => ahead(
            || decoder(codec, buffered(archive)),
            |decoded| tarball::read(decoded, &mut out),
        )?,
        Format::Zip => zipped::read(archive, &mut out)?,
    }
    out.batch.commit();
    Ok(())
}

/// Decompresses `from` into a file of the sandbox.
pub fn decompress(
    sandbox: &Beneath,
    codec: Codec,
    from: File,
    to: &InnerPath,
    limits: Limits,
    budget: &Budget,
) -> Result<(), ArchiveError> {
    let mut out = Unpacking::new(sandbox, limits, budget);
    out.bound(&from)?;
    ahead(
        || decoder(codec, buffered(from)),
        |decoded| out.file(to.clone(), 0o644, decoded),
    )?;
    out.batch.commit();
    Ok(())
}

fn buffered(file: File) -> BufReader<File> {
    BufReader::with_capacity(holes::PIECE, file)
}

/// The writing half of an unpacking: keeps the limits and the rules, whatever the format.
struct Unpacking<'a> {
    batch: Batch<'a>,
    limits: Limits,
    budget: &'a Budget,
    entries: u64,
    buffer: Vec<u8>,
    bytes: u64,
    most_bytes: u64,
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
            most_bytes: u64::MAX,
        }
    }

    /// By the size of what is compressed.
    fn bound(&mut self, archive: &File) -> Result<(), ArchiveError> {
        let length = archive.metadata().map_err(ArchiveError::Open)?.len();
        let most = length.saturating_mul(self.limits.ratio);
        self.most_bytes = most.max(self.limits.ratio_from);
        Ok(())
    }

    /// Called once per entry, before anything else. `None` is the sandbox itself (`./`).
    fn entry(&mut self, name: &Path) -> Result<Option<InnerPath>, ArchiveError> {
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
        Ok(self.batch.directory(path)?)
    }

    /// Setuid, setgid, sticky and foreign write bits of `mode` are dropped, as tar does under the
    /// usual umask.
    fn file(
        &mut self,
        path: InnerPath,
        mode: u32,
        content: &mut dyn Read,
    ) -> Result<File, ArchiveError> {
        let mut file = Holes::new(self.batch.file(&path, (mode & 0o755) | 0o600)?);
        let failed = |source| ArchiveError::WriteData {
            path: path.to_string(),
            source,
        };
        loop {
            let length = match content.read(&mut self.buffer) {
                Ok(0) => return file.finish().map_err(failed),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ArchiveError::Damaged(error)),
            };
            // Holes as well: the task may fill them.
            self.budget.take(length as u64)?;
            self.bytes += length as u64;
            if self.bytes > self.most_bytes {
                return Err(ArchiveError::Ratio(self.limits.ratio));
            }
            file.write(&self.buffer[..length]).map_err(failed)?;
        }
    }

    fn symlink(&mut self, path: &InnerPath, target: &Path) -> Result<(), ArchiveError> {
        if !stays_inside(path, target) {
            return Err(ArchiveError::Link {
                name: path.to_string(),
                to: target.display().to_string(),
            });
        }
        Ok(self.batch.symlink(path, target)?)
    }

    /// `target` is relative to the root of the archive.
    fn hard_link(&mut self, path: &InnerPath, target: &Path) -> Result<(), ArchiveError> {
        let to = InnerPath::parse(target).map_err(|_bad| ArchiveError::Link {
            name: path.to_string(),
            to: target.display().to_string(),
        })?;
        Ok(self.batch.hard_link(path, &to)?)
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
