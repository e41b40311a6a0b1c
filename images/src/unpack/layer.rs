//! A layer, entry by entry: each is judged, and made in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use fetcher::Damaged;
use rustix::fs::{XattrFlags, fsetxattr};
use tar::EntryType;

use super::entry::{Attribute, BadName, Entry, attribute, entry, inside};
use super::place::{Owner, Place, PlaceError, There};

const MOST_ENTRIES: u64 = 2_000_000;
/// Of an entry's header with its extensions.
const HEADER_BYTES: u64 = 1 << 20;
/// Behind the end, where mostly zeros fill a last block.
const TRAILING_BYTES: u64 = 64 << 20;
const ATTRIBUTE_BYTES: usize = 64 << 10;
const PIECE: usize = 128 << 10;

#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    #[error("the layer is damaged, or packed otherwise than its media type says")]
    Damaged(#[source] io::Error),
    #[error("the layer holds more than {MOST_ENTRIES} entries")]
    TooManyEntries,
    #[error("the layer needs more than {0} bytes, which is what there is room for")]
    TooManyBytes(u64),
    #[error("entry {name:?} is refused")]
    Name { name: PathBuf, source: BadName },
    #[error(
        "entry {name:?} is refused: it is {kind}, and layers have files, directories, links and fifos"
    )]
    Kind { name: PathBuf, kind: &'static str },
    #[error(
        "entry {name:?} is refused: it has the attribute {attribute:?}, which tells the kernel how layers \
         are stacked"
    )]
    Attribute { name: PathBuf, attribute: String },
    #[error("entry {name:?} is refused: it belongs to the id {id}, which is none")]
    Owner { name: PathBuf, id: u64 },
    #[error("entry {name:?} is refused")]
    Place { name: PathBuf, source: PlaceError },
    #[error("cannot write entry {name:?}")]
    Write { name: PathBuf, source: io::Error },
}

impl From<Damaged> for LayerError {
    fn from(Damaged(error): Damaged) -> LayerError {
        LayerError::Damaged(error)
    }
}

/// What there is of a layer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Layer {
    pub bytes: u64,
    pub entries: u64,
    pub opaque: BTreeSet<PathBuf>,
}

/// Reads `archive` to its end.
pub fn unpack(archive: impl Read, place: Place, most: u64) -> Result<Layer, LayerError> {
    let mut out = Unpacking {
        place,
        most,
        layer: Layer::default(),
        times: BTreeMap::new(),
    };
    fetcher::entries(archive, HEADER_BYTES, TRAILING_BYTES, |entry| {
        out.entry(entry)
    })?;
    // Whatever is made in a directory makes it younger.
    for (path, modified) in std::mem::take(&mut out.times) {
        let set = out.place.set_time(&path, modified);
        set.map_err(|source| LayerError::Place { name: path, source })?;
    }
    Ok(out.layer)
}

struct Unpacking {
    place: Place,
    most: u64,
    layer: Layer,
    /// Of directories.
    times: BTreeMap<PathBuf, i64>,
}

impl Unpacking {
    fn entry(&mut self, from: &mut tar::Entry<'_, impl Read>) -> Result<(), LayerError> {
        self.layer.entries += 1;
        if self.layer.entries > MOST_ENTRIES {
            return Err(LayerError::TooManyEntries);
        }
        if from.header().entry_type() == EntryType::XGlobalHeader {
            return Ok(());
        }
        let name = from.path().map_err(LayerError::Damaged)?.into_owned();
        let found = entry(&name).map_err(|source| LayerError::Name {
            name: name.clone(),
            source,
        })?;
        let refused = |source| LayerError::Place {
            name: name.clone(),
            source,
        };
        match found {
            Entry::Ignored => Ok(()),
            Entry::Opaque(path) => {
                self.place.directory(&path).map_err(refused)?;
                self.layer.opaque.insert(path);
                Ok(())
            }
            // It hides what is below, and not what this layer has of that name.
            Entry::Whiteout(path) => match self.place.there(&path).map_err(refused)? {
                There::Nothing => self.place.whiteout(&path).map_err(refused),
                There::Directory => {
                    self.layer.opaque.insert(path);
                    Ok(())
                }
                There::Whiteout | There::Other => Ok(()),
            },
            Entry::Thing(path) => self.thing(&path, from),
        }
    }

    fn thing(
        &mut self,
        path: &Path,
        from: &mut tar::Entry<'_, impl Read>,
    ) -> Result<(), LayerError> {
        let name = || path.to_owned();
        let refused = |source| LayerError::Place {
            name: name(),
            source,
        };
        let kind = from.header().entry_type();
        let unknown = |kind| LayerError::Kind { name: name(), kind };
        let owner = owner(path, from)?;
        let attributes = attributes(path, from)?;
        let was = self.place.there(path).map_err(refused)?;
        // Archives from before POSIX mark a directory only by the name's last character.
        let is_directory = kind == EntryType::Directory
            || kind == EntryType::Regular && from.path_bytes().ends_with(b"/");
        let mut is_link = false;
        match kind {
            _ if is_directory => {
                self.place.directory(path).map_err(refused)?;
                if was == There::Whiteout {
                    self.layer.opaque.insert(name());
                }
                self.times.insert(name(), owner.modified);
            }
            _ if path.as_os_str().is_empty() => return Err(unknown("without a name")),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.content(path, from)?;
            }
            EntryType::Symlink => {
                self.place.symlink(path, &target(from)?).map_err(refused)?;
                is_link = true;
            }
            EntryType::Link => {
                let target = inside(&target(from)?);
                let target = target.map_err(|source| LayerError::Name {
                    name: name(),
                    source,
                })?;
                // With its owner and all else.
                return self.place.hard_link(path, &target).map_err(refused);
            }
            EntryType::Fifo => self.place.fifo(path).map_err(refused)?,
            EntryType::Char | EntryType::Block => return Err(unknown("a device")),
            _ => return Err(unknown("of an unknown kind")),
        }
        if !is_directory {
            self.layer.opaque.remove(path);
            self.times.remove(path);
        }
        self.place.give(path, owner, is_link).map_err(refused)?;
        if attributes.is_empty() || is_link || kind == EntryType::Fifo {
            return Ok(());
        }
        let opened = self.place.made(path).map_err(refused)?;
        for (attribute, value) in attributes {
            let set = fsetxattr(
                opened.as_fd(),
                attribute.as_bytes(),
                &value,
                XattrFlags::empty(),
            );
            match set {
                // The file system has none, or none of that kind.
                Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
                Err(errno) => {
                    return Err(LayerError::Write {
                        name: name(),
                        source: errno.into(),
                    });
                }
            }
        }
        Ok(())
    }

    fn content(&mut self, path: &Path, from: &mut impl Read) -> Result<(), LayerError> {
        let name = || path.to_owned();
        let mut file = self.place.file(path).map_err(|source| LayerError::Place {
            name: name(),
            source,
        })?;
        let mut buffer = [0; PIECE];
        loop {
            let length = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(LayerError::Damaged(error)),
            };
            self.layer.bytes += length as u64;
            if self.layer.bytes > self.most {
                return Err(LayerError::TooManyBytes(self.most));
            }
            let written = file.write_all(&buffer[..length]);
            written.map_err(|source| LayerError::Write {
                name: name(),
                source,
            })?;
        }
    }
}

fn owner(path: &Path, from: &tar::Entry<'_, impl Read>) -> Result<Owner, LayerError> {
    let header = from.header();
    let id = |id: io::Result<u64>| {
        let id = id.map_err(LayerError::Damaged)?;
        let known = u32::try_from(id).ok().filter(|id| *id != u32::MAX);
        known.ok_or_else(|| LayerError::Owner {
            name: path.to_owned(),
            id,
        })
    };
    Ok(Owner {
        uid: id(header.uid())?,
        gid: id(header.gid())?,
        mode: header.mode().map_err(LayerError::Damaged)?,
        modified: header
            .mtime()
            .ok()
            .and_then(|it| it.try_into().ok())
            .unwrap_or(0),
    })
}

type Attributes = Vec<(std::ffi::OsString, Vec<u8>)>;

/// As tar of star and of libarchive write them.
fn attributes(path: &Path, from: &mut tar::Entry<'_, impl Read>) -> Result<Attributes, LayerError> {
    let Some(extensions) = from.pax_extensions().map_err(LayerError::Damaged)? else {
        return Ok(Vec::new());
    };
    let mut kept = Vec::new();
    for extension in extensions {
        let extension = extension.map_err(LayerError::Damaged)?;
        let Some(name) = (extension.key().ok()).and_then(|key| key.strip_prefix("SCHILY.xattr."))
        else {
            continue;
        };
        match attribute(name) {
            Attribute::Kept(name) if extension.value_bytes().len() <= ATTRIBUTE_BYTES => {
                kept.push((name, extension.value_bytes().to_vec()));
            }
            Attribute::Kept(_) | Attribute::Dropped => {}
            Attribute::Refused => {
                return Err(LayerError::Attribute {
                    name: path.to_owned(),
                    attribute: name.to_owned(),
                });
            }
        }
    }
    Ok(kept)
}

fn target(from: &tar::Entry<'_, impl Read>) -> Result<PathBuf, LayerError> {
    let target = from.link_name().map_err(LayerError::Damaged)?;
    Ok(target.as_deref().unwrap_or(Path::new("")).to_owned())
}

#[cfg(test)]
mod tests;
