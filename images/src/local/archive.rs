//! An archive of an image: what is in it is looked over once, and each part then read from where it is.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use fetcher::{Damaged, codec_of, decoder};
use nix::fcntl::OFlag;
use tar::EntryType;

use super::{LocalError, Part, Room, failed};
use crate::digest::{Digest, Verifier};
use crate::manifest::LARGEST;
use crate::media::Compression;

const MOST_ENTRIES: usize = 20_000;
const HEADER_BYTES: u64 = 1 << 20;
const TRAILING_BYTES: u64 = 64 << 20;
const PIECE: usize = 256 << 10;

pub struct Archive {
    file: Arc<File>,
    members: BTreeMap<PathBuf, Member>,
    /// Old archives have a layer once, and links where it comes again.
    links: BTreeMap<PathBuf, PathBuf>,
    by_digest: HashMap<Digest, (u64, u64)>,
}

#[derive(Debug, Clone)]
pub struct Member {
    pub digest: Digest,
    offset: u64,
    pub size: u64,
    pub compression: Compression,
}

impl Archive {
    pub fn open(path: &Path, room: &Room<'_>) -> Result<Archive, LocalError> {
        let file = plain(path, room)?;
        let mut archive = Archive::of(file);
        archive.look_over()?;
        Ok(archive)
    }

    /// What is in it is not looked at.
    pub fn whole(path: &Path, room: &Room<'_>) -> Result<Archive, LocalError> {
        let file = plain(path, room)?;
        let size = file.metadata().map_err(failed("look at", path))?.len();
        let mut content = Content::default();
        io::copy(&mut BufReader::with_capacity(PIECE, &file), &mut content)
            .map_err(failed("read", path))?;
        let mut archive = Archive::of(file);
        archive.add(PathBuf::new(), content.member(0, size))?;
        Ok(archive)
    }

    fn of(file: File) -> Archive {
        Archive {
            file: Arc::new(file),
            members: BTreeMap::new(),
            links: BTreeMap::new(),
            by_digest: HashMap::new(),
        }
    }

    fn look_over(&mut self) -> Result<(), LocalError> {
        let file = Arc::clone(&self.file);
        let reader = BufReader::with_capacity(PIECE, &*file);
        fetcher::entries(reader, HEADER_BYTES, TRAILING_BYTES, |entry| {
            if self.members.len() + self.links.len() >= MOST_ENTRIES {
                return Err(LocalError::TooManyEntries(MOST_ENTRIES));
            }
            let name = entry.path().map_err(LocalError::Damaged)?.into_owned();
            let Some(name) = lexical(Path::new(""), &name) else {
                return Ok(());
            };
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    let (offset, size) = (entry.raw_file_position(), entry.size());
                    let mut content = Content::default();
                    io::copy(entry, &mut content).map_err(LocalError::Damaged)?;
                    self.add(name, content.member(offset, size))
                }
                EntryType::Symlink => {
                    let target = entry.link_name().map_err(LocalError::Damaged)?;
                    let above = name.parent().unwrap_or(Path::new(""));
                    if let Some(target) = target.and_then(|target| lexical(above, &target)) {
                        self.links.insert(name, target);
                    }
                    Ok(())
                }
                // Nothing that an image is made of.
                _ => Ok(()),
            }
        })
    }

    fn add(&mut self, name: PathBuf, member: Member) -> Result<(), LocalError> {
        let place = (member.offset, member.size);
        self.by_digest.insert(member.digest.clone(), place);
        match self.members.insert(name.clone(), member) {
            Some(_) => Err(LocalError::Twice(name)),
            None => Ok(()),
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(Path::new(name))
    }

    pub fn member(&self, name: &str) -> Result<&Member, LocalError> {
        let missing = || LocalError::Missing(name.to_owned());
        let path = lexical(Path::new(""), Path::new(name)).ok_or_else(missing)?;
        let path = self.links.get(&path).unwrap_or(&path);
        self.members.get(path).ok_or_else(missing)
    }

    /// Of one that was not looked into.
    pub fn only(&self) -> Member {
        let only = self.members.values().next().cloned();
        only.unwrap_or_else(|| Content::default().member(0, 0))
    }

    /// A document.
    pub fn text(&self, name: &'static str) -> Result<Vec<u8>, LocalError> {
        let member = self.member(name)?;
        let size = member.size;
        let length = usize::try_from(size)
            .ok()
            .filter(|length| *length <= LARGEST);
        let length = length.ok_or(LocalError::Large { file: name, size })?;
        let mut text = vec![0; length];
        let read = self.file.read_exact_at(&mut text, member.offset);
        read.map_err(LocalError::Damaged)?;
        Ok(text)
    }

    pub fn blob(&self, digest: &Digest) -> Result<Part, LocalError> {
        let found = self.by_digest.get(digest);
        let (at, left) = *found.ok_or_else(|| LocalError::NoBlob(digest.clone()))?;
        let file = Arc::clone(&self.file);
        Ok(Part { file, at, left })
    }
}

impl From<Damaged> for LocalError {
    fn from(Damaged(error): Damaged) -> LocalError {
        LocalError::Damaged(error)
    }
}

/// What goes by, of which nothing is kept but what it is.
struct Content {
    digest: Verifier,
    head: Vec<u8>,
}

impl Default for Content {
    fn default() -> Content {
        Content {
            digest: Verifier::new("sha256"),
            head: Vec::new(),
        }
    }
}

impl Content {
    fn member(self, offset: u64, size: u64) -> Member {
        Member {
            digest: self.digest.digest(),
            offset,
            size,
            compression: match codec_of(&self.head) {
                Some(fetcher::Codec::Gzip) => Compression::Gzip,
                Some(fetcher::Codec::Zstd) => Compression::Zstd,
                _ => Compression::None,
            },
        }
    }
}

impl io::Write for Content {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let more = 8_usize.saturating_sub(self.head.len()).min(piece.len());
        self.head.extend_from_slice(&piece[..more]);
        self.digest.update(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `path` as seen from `above`, without a look at any file; nothing where it leads out.
fn lexical(above: &Path, path: &Path) -> Option<PathBuf> {
    let mut found = above.to_owned();
    for part in path.components() {
        match part {
            Component::Normal(name) => found.push(name),
            Component::CurDir => {}
            Component::ParentDir if found.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(found).filter(|found| found != Path::new(""))
}

/// The archive without its compression, which is then a file that goes with its last descriptor.
fn plain(path: &Path, room: &Room<'_>) -> Result<File, LocalError> {
    let mut file = File::options()
        .read(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits())
        .open(path)
        .map_err(failed("open", path))?;
    let found = file.metadata().map_err(failed("look at", path))?;
    if !found.is_file() {
        return Err(LocalError::OtherKind(path.to_owned()));
    }
    let mut head = [0; 8];
    let length = file.read_at(&mut head, 0).map_err(failed("read", path))?;
    let Some(codec) = codec_of(&head[..length]) else {
        return Ok(file);
    };
    let name = room.directory.join(&room.name);
    let made = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&name);
    let mut whole = made.map_err(failed("make", &name))?;
    std::fs::remove_file(&name).map_err(failed("remove", &name))?;
    file.rewind().map_err(failed("read", path))?;
    let mut unpacked = decoder(codec, BufReader::with_capacity(PIECE, file));
    let mut buffer = vec![0; PIECE];
    let mut bytes = 0;
    loop {
        match unpacked.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                bytes += length as u64;
                if bytes > room.most {
                    return Err(LocalError::TooManyBytes(room.most));
                }
                whole
                    .write_all(&buffer[..length])
                    .map_err(failed("write", &name))?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(LocalError::Damaged(error)),
        }
    }
    whole.rewind().map_err(failed("read", &name))?;
    Ok(whole)
}
