//! From where an image is into the store: documents, then layers beside each other, then the image.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use nix::fcntl::{Flock, FlockArg};

use super::origin::{Origin, directory};
use super::{Held, Image, Store, StoreError, io_error, make, read, write};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::manifest::{BadManifest, Descriptor, Document, Layer, Manifest, Platform};
use crate::name::Name;
use crate::registry::{Credentials, Partial, Registries};
use crate::unpack::{Unpacked, unpack};

/// Layers that are got at once; each is unpacked as soon as it is whole.
const AT_ONCE: usize = 3;
/// Of what is free; the rest is for those who run already.
const FREE_PERCENT: u64 = 90;

/// When a registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// If the image is not here.
    Missing,
    /// In any case: a tag may have moved.
    Always,
    Never,
}

/// What a pull tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// How many layers there are, how many of them are here, and how many bytes the others have.
    Began {
        layers: usize,
        here: usize,
        bytes: u64,
    },
    Got {
        layer: Digest,
        bytes: u64,
    },
    Unpacked {
        layer: Digest,
    },
}

pub struct Pull<'a> {
    pub registries: &'a Registries,
    pub image: &'a Name,
    pub credentials: &'a Credentials,
    pub when: When,
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

impl Store {
    /// The image, and the right to use it for as long as that is held.
    pub async fn pull(self: &Arc<Self>, pull: &Pull<'_>) -> Result<(Image, Held), StoreError> {
        let store = Arc::clone(self);
        let held = blocking(move || store.hold()).await?;
        if let Some(image) = directory(pull.image) {
            return Ok((image, held));
        }
        if pull.when != When::Always
            && let Some(image) = self.image(pull.image)?
        {
            return Ok((image, held));
        }
        let name = pull.image.to_string();
        if pull.when == When::Never {
            return Err(StoreError::Absent(name));
        }
        let _flight = self.flight(name.clone()).await;
        // Whoever was before us may have pulled it.
        if pull.when == When::Missing
            && let Some(image) = self.image(pull.image)?
        {
            return Ok((image, held));
        }
        let origin = self.origin(pull).await?;
        let (manifest, digest) = manifest(&origin, pull.image).await?;
        if let Some(image) = self.image(pull.image)?
            && image.digest == digest
        {
            return Ok((image, held));
        }
        let config = self.config(&origin, pull.image, &manifest).await?;
        let bytes = self.layers(&origin, pull, &manifest, &config).await?;
        let image = Image {
            name,
            digest,
            layers: manifest
                .layers
                .into_iter()
                .map(|layer| layer.blob.digest)
                .collect(),
            base: None,
            config,
            bytes,
            pulled: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |it| it.as_secs()),
        };
        let (store, known) = (Arc::clone(self), image.clone());
        blocking(move || store.commit(&known)).await?;
        Ok((image, held))
    }

    async fn config(
        &self,
        origin: &Origin<'_>,
        image: &Name,
        manifest: &Manifest,
    ) -> Result<ImageConfig, StoreError> {
        let path = self.got(origin, image, &manifest.config, &|_| {}).await?;
        let text = fs::read(&path).map_err(io_error("read", &path))?;
        let here = Platform::here().architecture;
        let config = ImageConfig::parse(&text, manifest.layers.len(), &here);
        config.map_err(|source| StoreError::Config {
            image: image.to_string(),
            source,
        })
    }

    /// Where the content of `wanted` is, once it is whole.
    async fn got(
        &self,
        origin: &Origin<'_>,
        image: &Name,
        wanted: &Descriptor,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<std::path::PathBuf, StoreError> {
        let path = self.blob_file(&wanted.digest);
        if path.exists() {
            return Ok(path);
        }
        let part = path.with_extension("part");
        let (at, what) = (part.clone(), wanted.clone());
        let (partial, _alone) = blocking(move || {
            let lock = fs::File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&at);
            let lock = lock.map_err(io_error("open", &at))?;
            // Another process may be at it.
            let lock = Flock::lock(lock, FlockArg::LockExclusive);
            let lock = lock.map_err(|(_, errno)| io_error("lock", &at)(errno.into()))?;
            Ok((
                Partial::open(&at, &what).map_err(io_error("open", &at))?,
                lock,
            ))
        })
        .await?;
        origin.blob(image, wanted, partial, progress).await?;
        match fs::rename(&part, &path) {
            // The other one was first.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.exists() => Ok(path),
            renamed => renamed
                .map(|()| path.clone())
                .map_err(io_error("keep", &path)),
        }
    }

    /// Bytes of all of their files.
    async fn layers(
        self: &Arc<Self>,
        origin: &Origin<'_>,
        pull: &Pull<'_>,
        manifest: &Manifest,
        config: &ImageConfig,
    ) -> Result<u64, StoreError> {
        let missing = |layer: &&Layer| !self.layer_file(&layer.blob.digest).exists();
        let needed: u64 = manifest
            .layers
            .iter()
            .filter(missing)
            .map(|it| it.blob.size)
            .sum();
        let free = free(&self.directory)?;
        if needed > free {
            return Err(StoreError::Full {
                image: pull.image.to_string(),
                size: needed,
                free,
            });
        }
        (pull.progress)(Progress::Began {
            layers: manifest.layers.len(),
            here: manifest.layers.iter().filter(|it| !missing(it)).count(),
            bytes: needed,
        });
        let pairs = manifest.layers.iter().zip(&config.diff_ids);
        let each: Vec<_> = pairs
            .map(|(layer, diff_id)| self.one_layer(origin, pull, layer, diff_id).boxed())
            .collect();
        let mut sizes = stream::iter(each).buffer_unordered(AT_ONCE);
        let mut bytes = 0;
        while let Some(size) = sizes.next().await {
            bytes += size?;
        }
        Ok(bytes)
    }

    async fn one_layer(
        self: &Arc<Self>,
        origin: &Origin<'_>,
        pull: &Pull<'_>,
        layer: &Layer,
        diff_id: &Digest,
    ) -> Result<u64, StoreError> {
        let digest = &layer.blob.digest;
        let _flight = self.flight(digest.to_string()).await;
        let record = self.layer_file(digest);
        if let Some(known) = read::<Unpacked>(&record)? {
            return self.same(known, pull.image, digest, diff_id);
        }
        let got = |bytes| {
            let layer = digest.clone();
            (pull.progress)(Progress::Got { layer, bytes });
        };
        let blob = self.got(origin, pull.image, &layer.blob, &got).await?;
        let file = fs::File::open(&blob).map_err(io_error("open", &blob))?;
        let staging = Staging(self.directory.join("staging").join(self.new_name()));
        let files = staging.0.join("diff");
        make(&files)?;
        // The root of a container, which its user must be able to enter.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&files, open).map_err(io_error("open up", &files))?;
        let most = free(&self.directory)?;
        let compression = layer.compression;
        let unpacked = unpack(&self.helper, file, compression, &files, most, diff_id).await;
        let unpacked = unpacked.map_err(|source| StoreError::Layer {
            image: pull.image.to_string(),
            layer: digest.clone(),
            source,
        })?;
        let text = serde_json::to_vec(&unpacked).map_err(|source| StoreError::Damaged {
            file: record.clone(),
            source,
        })?;
        write(&staging.0.join("layer.json"), &self.new_name(), &text)?;
        let directory = self.layer_directory(digest);
        match fs::rename(&staging.0, &directory) {
            // Another process was first.
            Err(_) if record.exists() => {}
            renamed => renamed.map_err(io_error("keep", &directory))?,
        }
        // What it was unpacked from is not needed any more.
        let _gone_or_not = fs::remove_file(&blob);
        (pull.progress)(Progress::Unpacked {
            layer: digest.clone(),
        });
        Ok(unpacked.bytes)
    }

    /// The same blob for another image, which may say something else of it.
    fn same(
        &self,
        known: Unpacked,
        image: &Name,
        layer: &Digest,
        wanted: &Digest,
    ) -> Result<u64, StoreError> {
        if known.diff_id.algorithm() == wanted.algorithm() && known.diff_id != *wanted {
            return Err(StoreError::Layer {
                image: image.to_string(),
                layer: layer.clone(),
                source: crate::unpack::UnpackError::WrongContent {
                    wanted: wanted.clone(),
                    found: known.diff_id,
                },
            });
        }
        Ok(known.bytes)
    }

    /// Once its layers are on the disk, so that it is whole also after the power has failed.
    fn commit(&self, image: &Image) -> Result<(), StoreError> {
        let directory = self.directory.join("images");
        let opened = fs::File::open(&directory).map_err(io_error("open", &directory))?;
        let synced = rustix::fs::syncfs(&opened);
        synced.map_err(|errno| io_error("write", &directory)(errno.into()))?;
        let file = self.image_file(&image.name);
        let text = serde_json::to_vec(image).map_err(|source| StoreError::Damaged {
            file: file.clone(),
            source,
        })?;
        write(&file, &self.new_name(), &text)?;
        opened.sync_all().map_err(io_error("write", &directory))
    }
}

/// The image's manifest for this machine, and its digest.
async fn manifest(origin: &Origin<'_>, image: &Name) -> Result<(Manifest, Digest), StoreError> {
    let refused = |source: BadManifest| origin.refused(image, source);
    let (text, kind) = origin.manifest(image, None).await?;
    let index = match Document::parse(&text, kind.as_deref()).map_err(refused)? {
        Document::Manifest(manifest) => return Ok((manifest, Digest::of(&text))),
        Document::Index(index) => index,
    };
    let wanted = index.image(&Platform::here()).map_err(refused)?;
    let (text, kind) = origin.manifest(image, Some(&wanted.digest)).await?;
    match Document::parse(&text, kind.as_deref()).map_err(refused)? {
        Document::Manifest(manifest) => Ok((manifest, wanted.digest.clone())),
        // One that leads to itself, or on and on.
        Document::Index(_) => Err(refused(BadManifest::Nested)),
    }
}

/// Removed when dropped, unless it has been moved to where it belongs.
struct Staging(std::path::PathBuf);

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "what was unpacked of a layer stays until the next start");
        }
    }
}

pub(super) fn free(directory: &Path) -> Result<u64, StoreError> {
    let found = nix::sys::statvfs::statvfs(directory);
    let found = found.map_err(|errno| io_error("look at", directory)(errno.into()))?;
    let free = found
        .blocks_available()
        .saturating_mul(found.fragment_size());
    Ok(match found.blocks() {
        // It does not count.
        0 => u64::MAX,
        _ => free / 100 * FREE_PERCENT,
    })
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io_error("use", Path::new(""))(std::io::Error::other(error))))
}
