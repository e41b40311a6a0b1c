//! OCI layouts: a directory of blobs by their digests, and an index of what is in it.
//!
//! Source: the OCI image specification, image-layout.md.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

use super::docker::same_name;
use super::{LocalError, failed};
use crate::digest::Digest;
use crate::json;
use crate::manifest::LARGEST;

/// What tools write of an image's name.
const NAMES: [&str; 2] = [
    "org.opencontainers.image.ref.name",
    "io.containerd.image.name",
];

#[derive(serde::Deserialize)]
struct Index {
    manifests: Vec<Entry>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    annotations: Option<BTreeMap<String, String>>,
    platform: Option<serde_json::Value>,
}

/// What of an index is meant.
#[derive(Debug, PartialEq, Eq)]
pub enum Chosen {
    One {
        digest: Digest,
        media_type: String,
    },
    /// It is of one image, for several machines.
    Index,
}

impl Entry {
    fn names(&self) -> impl Iterator<Item = &str> {
        let known = self
            .annotations
            .iter()
            .flat_map(|all| NAMES.iter().filter_map(|it| all.get(*it)));
        known.map(String::as_str)
    }
}

/// Pure.
pub fn chosen(index: &[u8], wanted: Option<&str>) -> Result<Chosen, LocalError> {
    let index: Index = json::parse(index).map_err(|source| LocalError::Json {
        file: "index.json",
        source,
    })?;
    let all = index.manifests;
    let there = || -> Vec<String> {
        let named = all.iter().flat_map(Entry::names).take(20);
        named.map(str::to_owned).collect()
    };
    let found: Vec<&Entry> = match wanted {
        None => all.iter().collect(),
        Some(wanted) => {
            let is_it = |name: &str| name == wanted || same_name(name, wanted);
            all.iter()
                .filter(|entry| entry.names().any(is_it))
                .collect()
        }
    };
    let names = |entry: &Entry| entry.names().map(str::to_owned).collect::<Vec<_>>();
    match found[..] {
        [] => Err(LocalError::NoSuch {
            wanted: wanted.unwrap_or_default().to_owned(),
            there: there(),
        }),
        [one] => Ok(Chosen::One {
            digest: one.digest.clone(),
            media_type: one.media_type.clone(),
        }),
        [first, ..] if wanted.is_none() => {
            let one_image = found
                .iter()
                .all(|it| it.platform.is_some() && names(it) == names(first));
            match one_image {
                true => Ok(Chosen::Index),
                false => Err(LocalError::Several(there())),
            }
        }
        _ => Err(LocalError::Several(there())),
    }
}

/// One that is not packed. No link in it is followed.
pub struct Directory {
    path: PathBuf,
    directory: OwnedFd,
}

impl Directory {
    pub fn open(path: &Path) -> Result<Directory, LocalError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = openat(AT_FDCWD, path, flags, Mode::empty());
        let directory = directory.map_err(|errno| failed("open", path)(errno.into()))?;
        let path = path.to_owned();
        Ok(Directory { path, directory })
    }

    pub fn index(&self) -> Result<Vec<u8>, LocalError> {
        self.file(Path::new("oci-layout"))?;
        let mut text = Vec::new();
        let file = self.file(Path::new("index.json"))?;
        let size = file
            .metadata()
            .map_err(failed("look at", &self.path))?
            .len();
        let read = file.take(LARGEST as u64 + 1).read_to_end(&mut text);
        read.map_err(failed("read the index of", &self.path))?;
        match text.len() {
            length if length > LARGEST => Err(LocalError::Large {
                file: "index.json",
                size,
            }),
            _ => Ok(text),
        }
    }

    pub fn blob(&self, digest: &Digest) -> Result<File, LocalError> {
        let (algorithm, hex) = digest.as_str().split_once(':').unwrap_or_default();
        let file = self.file(&Path::new("blobs").join(algorithm).join(hex));
        file.map_err(|error| match error {
            LocalError::Missing(_) => LocalError::NoBlob(digest.clone()),
            other => other,
        })
    }

    fn file(&self, name: &Path) -> Result<File, LocalError> {
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let whole = self.path.join(name);
        let file = match openat2(&self.directory, name, how) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Err(LocalError::Missing(name.display().to_string())),
            Err(errno) => return Err(failed("open", &whole)(errno.into())),
        };
        let found = file.metadata().map_err(failed("look at", &whole))?;
        match found.is_file() {
            true => Ok(file),
            false => Err(LocalError::OtherKind(whole)),
        }
    }
}
