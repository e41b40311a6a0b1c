//! Images that lie on this host: OCI layouts, what `docker save` writes, and plain root file systems.
//!
//! Each is shown as a registry would show it: a document that says what the image is made of, and content by
//! its digest, which is checked when it is copied. Everything here blocks.

mod archive;
mod docker;
mod layout;
mod look;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::digest::Digest;
use crate::json::BadJson;
use crate::manifest::{BadManifest, LARGEST};
use crate::media::{OCI_INDEX, OCI_MANIFEST};
use crate::name::{Local, LocalKind};

use archive::Archive;
use layout::Chosen;

#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error("cannot {what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{0} is neither a directory nor a file")]
    OtherKind(PathBuf),
    #[error("there is no archive of image {name}: looked for {}", .looked.join(" and "))]
    Nowhere { name: String, looked: Vec<String> },
    #[error("{file} cannot be read")]
    Json { file: &'static str, source: BadJson },
    #[error("{file} has {size} bytes, and may have {LARGEST}")]
    Large { file: &'static str, size: u64 },
    #[error("it has no {0}, so it is no image of that kind")]
    Missing(String),
    #[error(
        "it is an archive of a Docker from before 1.10, without manifest.json: save it with a later one"
    )]
    Old,
    #[error("the archive is damaged")]
    Damaged(#[source] io::Error),
    #[error("the archive has two entries named {0:?}")]
    Twice(PathBuf),
    #[error("the archive holds more than {0} entries")]
    TooManyEntries(usize),
    #[error("it needs more than {0} bytes, which is what there is room for")]
    TooManyBytes(u64),
    #[error("it has no image {wanted:?}, but {}", .there.join(", "))]
    NoSuch { wanted: String, there: Vec<String> },
    #[error("it has several images: name one of {}", .0.join(", "))]
    Several(Vec<String>),
    #[error("what it has as {wanted} is {found}: the image is damaged")]
    WrongContent { wanted: Digest, found: Digest },
    #[error("it has no content {0}")]
    NoBlob(Digest),
    #[error("the manifest is refused")]
    Manifest(#[from] BadManifest),
}

/// Where what must be made for an image can lie meanwhile.
pub struct Room<'a> {
    pub directory: &'a Path,
    /// Of a file that nobody else has there.
    pub name: String,
    /// Bytes.
    pub most: u64,
}

/// An image, as a registry would show it.
pub struct Contents {
    first: (Vec<u8>, Option<String>),
    blobs: Blobs,
    /// Documents that were made for it.
    made: BTreeMap<Digest, Vec<u8>>,
}

enum Blobs {
    Layout(layout::Directory),
    Archive(Archive),
}

impl Contents {
    pub fn open(local: &Local, room: &Room<'_>) -> Result<Contents, LocalError> {
        let wanted = local.version.as_deref();
        match local.kind {
            LocalKind::Layout => {
                let directory = layout::Directory::open(&local.path)?;
                let index = directory.index()?;
                Contents::of_layout(&index, wanted, Blobs::Layout(directory))
            }
            LocalKind::LayoutArchive => {
                let archive = Archive::open(&local.path, room)?;
                archive.text("oci-layout")?;
                let index = archive.text("index.json")?;
                Contents::of_layout(&index, wanted, Blobs::Archive(archive))
            }
            LocalKind::DockerArchive => {
                let archive = Archive::open(&local.path, room)?;
                let text = docker::manifest(&archive, wanted)?;
                Ok(Contents {
                    first: (text, Some(OCI_MANIFEST.to_owned())),
                    blobs: Blobs::Archive(archive),
                    made: BTreeMap::new(),
                })
            }
            LocalKind::Files => Contents::of_files(Archive::whole(&local.path, room)?),
        }
    }

    fn of_layout(index: &[u8], wanted: Option<&str>, blobs: Blobs) -> Result<Contents, LocalError> {
        let mut contents = Contents {
            first: (index.to_vec(), Some(OCI_INDEX.to_owned())),
            blobs,
            made: BTreeMap::new(),
        };
        if let Chosen::One { digest, media_type } = layout::chosen(index, wanted)? {
            contents.first = (contents.document(&digest)?, Some(media_type));
        }
        Ok(contents)
    }

    /// Of one layer, of which nobody has said anything.
    fn of_files(archive: Archive) -> Result<Contents, LocalError> {
        let layer = archive.only();
        let config = json!({
            "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        });
        let config = config.to_string().into_bytes();
        let digest = Digest::of(&config);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest, "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": layer.digest, "size": layer.size,
            }],
        });
        Ok(Contents {
            first: (
                manifest.to_string().into_bytes(),
                Some(OCI_MANIFEST.to_owned()),
            ),
            blobs: Blobs::Archive(archive),
            made: BTreeMap::from([(digest, config)]),
        })
    }

    /// What the image's name leads to, and what it is called; or what has this digest.
    pub fn manifest(
        &self,
        digest: Option<&Digest>,
    ) -> Result<(Vec<u8>, Option<String>), LocalError> {
        match digest {
            None => Ok(self.first.clone()),
            Some(digest) => Ok((self.document(digest)?, None)),
        }
    }

    fn document(&self, digest: &Digest) -> Result<Vec<u8>, LocalError> {
        let mut text = Vec::new();
        let read = self
            .blob(digest)?
            .take(LARGEST as u64 + 1)
            .read_to_end(&mut text);
        read.map_err(LocalError::Damaged)?;
        if text.len() > LARGEST {
            return Err(BadManifest::TooLarge(text.len()).into());
        }
        let mut content = digest.verifier();
        content.update(&text);
        match content.digest() {
            found if found == *digest => Ok(text),
            found => Err(LocalError::WrongContent {
                wanted: digest.clone(),
                found,
            }),
        }
    }

    /// Nobody has looked yet whether it is that.
    pub fn blob(&self, digest: &Digest) -> Result<Box<dyn Read + Send>, LocalError> {
        if let Some(text) = self.made.get(digest) {
            return Ok(Box::new(Cursor::new(text.clone())));
        }
        match &self.blobs {
            Blobs::Layout(directory) => Ok(Box::new(directory.blob(digest)?)),
            Blobs::Archive(archive) => Ok(Box::new(archive.blob(digest)?)),
        }
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LocalError {
    let path = path.to_owned();
    move |source| LocalError::Io { what, path, source }
}

/// Of a file that is held open, and that others read, too.
struct Part {
    file: std::sync::Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let length =
            std::os::unix::fs::FileExt::read_at(&*self.file, &mut buffer[..most], self.at)?;
        self.at += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}

pub use look::archive_of;
