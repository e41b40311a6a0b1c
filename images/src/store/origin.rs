//! Where an image is got from: a registry, or a place of this host.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use super::pull::{Pull, blocking, free};
use super::{Image, Store, StoreError, io_error};
use crate::config::{ImageConfig, Runtime};
use crate::digest::Digest;
use crate::local::{Contents, LocalError, Room, archive_of};
use crate::manifest::{BadManifest, Descriptor};
use crate::name::{Local, LocalKind, Name, Remote};
use crate::registry::{Partial, Repository};

pub enum Origin<'a> {
    Registry(Repository<'a>),
    Local(Arc<Contents>),
}

impl Store {
    pub(super) async fn origin<'a>(&self, pull: &Pull<'a>) -> Result<Origin<'a>, StoreError> {
        // Taken away once it is open.
        let mut passing = None;
        let place = match pull.image {
            Name::Registry(name) => {
                let credentials = pull.credentials.for_registry(name.registry()).await;
                let credentials = credentials.map_err(|source| StoreError::Helper {
                    image: name.to_string(),
                    source,
                })?;
                let repository = pull.registries.repository(name, &credentials);
                return Ok(Origin::Registry(repository));
            }
            Name::Archived { name, directory } => Err((name.clone(), directory.clone())),
            Name::Local(local) => Ok(local.clone()),
            Name::Remote(remote) => {
                let fetched = self.fetched(pull, remote).await?;
                Ok(passing.insert(fetched).local())
            }
        };
        let room = (self.directory.join("staging"), self.new_name());
        let image = pull.image.to_string();
        let opened = blocking(move || {
            let failed = |source| StoreError::Local {
                image: image.clone(),
                source,
            };
            let local = place.map_or_else(|(name, directory)| archive_of(&name, &directory), Ok);
            let local = local.map_err(failed)?;
            let room = Room {
                directory: &room.0,
                name: room.1,
                most: free(&room.0)?,
            };
            Contents::open(&local, &room).map_err(failed)
        });
        Ok(Origin::Local(Arc::new(opened.await?)))
    }
}

/// A file that is removed when this is dropped.
struct Passing(PathBuf);

impl Passing {
    fn local(&self) -> Local {
        Local {
            kind: LocalKind::Files,
            path: self.0.clone(),
            version: None,
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, "what was got for an image stays until the next start");
        }
    }
}

impl Store {
    /// What is at the URL, as a file of this host.
    async fn fetched(&self, pull: &Pull<'_>, remote: &Remote) -> Result<Passing, StoreError> {
        let path = self.directory.join("staging").join(self.new_name());
        let mut file = File::create_new(&path).map_err(io_error("make", &path))?;
        let passing = Passing(path);
        let most = free(&self.directory)?;
        let got = pull.registries.archive(remote, &mut file, most).await;
        got.map_err(|source| StoreError::Remote {
            image: pull.image.to_string(),
            source,
        })?;
        Ok(passing)
    }
}

/// A root file system that is a directory of the host is used where it is.
pub fn directory(name: &Name) -> Option<Image> {
    let Name::Local(Local {
        kind: LocalKind::Files,
        path,
        ..
    }) = name
    else {
        return None;
    };
    path.is_dir().then(|| Image {
        name: name.to_string(),
        digest: Digest::of(name.to_string().as_bytes()),
        layers: Vec::new(),
        base: Some(path.clone()),
        config: ImageConfig {
            os: "linux".to_owned(),
            architecture: String::new(),
            diff_ids: Vec::new(),
            runtime: Runtime::default(),
        },
        bytes: 0,
        pulled: 0,
    })
}

impl Origin<'_> {
    /// What the name leads to, or what has this digest; and what it is called there.
    pub async fn manifest(
        &self,
        image: &Name,
        digest: Option<&Digest>,
    ) -> Result<(Vec<u8>, Option<String>), StoreError> {
        match self {
            Origin::Registry(repository) => {
                let version = match (digest, image) {
                    (Some(digest), _) => digest.to_string(),
                    (None, Name::Registry(name)) => name.version().to_string(),
                    (None, Name::Archived { .. } | Name::Local(_) | Name::Remote(_)) => {
                        String::new()
                    }
                };
                let found = repository.manifest(&version).await;
                found.map_err(|source| StoreError::Registry {
                    image: image.to_string(),
                    source,
                })
            }
            Origin::Local(contents) => {
                let (contents, digest) = (Arc::clone(contents), digest.cloned());
                let name = image.to_string();
                blocking(move || {
                    let found = contents.manifest(digest.as_ref());
                    found.map_err(|source| StoreError::Local {
                        image: name,
                        source,
                    })
                })
                .await
            }
        }
    }

    /// What is said of an image that is got from here and whose documents cannot be.
    pub fn refused(&self, image: &Name, source: BadManifest) -> StoreError {
        let image = image.to_string();
        match self {
            Origin::Registry(_) => StoreError::Registry {
                image,
                source: source.into(),
            },
            Origin::Local(_) => StoreError::Local {
                image,
                source: source.into(),
            },
        }
    }

    /// Fills `partial`, which is to become `wanted`.
    pub async fn blob(
        &self,
        image: &Name,
        wanted: &Descriptor,
        mut partial: Partial,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Partial, StoreError> {
        match self {
            Origin::Registry(repository) => {
                let came = repository.blob(&mut partial, progress).await;
                came.map_err(|source| StoreError::Registry {
                    image: image.to_string(),
                    source,
                })?;
                Ok(partial)
            }
            Origin::Local(contents) => {
                let copied = copied(contents, wanted, partial, progress).await;
                copied.map_err(|source| StoreError::Local {
                    image: image.to_string(),
                    source,
                })
            }
        }
    }
}

async fn copied(
    contents: &Arc<Contents>,
    wanted: &Descriptor,
    mut partial: Partial,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Partial, LocalError> {
    let (contents, digest) = (Arc::clone(contents), wanted.digest.clone());
    let mut from: Box<dyn Read + Send> = moved(move || contents.blob(&digest)).await?;
    let restarted = partial.restart();
    restarted.map_err(LocalError::Damaged)?;
    loop {
        let ended;
        (partial, from, ended) = moved(move || {
            let ended = partial.copy_some(&mut from).map_err(LocalError::Damaged)?;
            Ok((partial, from, ended))
        })
        .await?;
        progress(partial.length());
        if ended {
            break;
        }
    }
    match partial.found() {
        _ if partial.is_whole() => Ok(partial),
        found => Err(LocalError::WrongContent {
            wanted: wanted.digest.clone(),
            found,
        }),
    }
}

async fn moved<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LocalError> + Send + 'static,
) -> Result<T, LocalError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(LocalError::Damaged(std::io::Error::other(error))))
}
