//! Images that this node has.
//!
//! ```text
//! <store>
//! ├── boot                       text: the boot in which what is not yet an image's was unpacked
//! ├── images/<digest>.json       an image, by the digest of its name; on the disk with all of its layers
//! ├── blobs/<digest>             documents; whole
//! ├── blobs/<digest>.part        a download that is under way, or was
//! ├── layers/<digest>            a layer by the digest of its blob: never of what is in it, which only the
//! │   ├── layer.json             child says that unpacked it
//! │   └── diff/
//! └── staging/<n>                a layer that is being unpacked
//! ```
//! A name appears by rename(2) once it is whole. One who uses layers holds the store (flock(2), shared) until
//! that is written down elsewhere; one who removes some needs it for itself.

mod origin;
mod prune;
mod pull;

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, Weak};

use nix::fcntl::{Flock, FlockArg};

use crate::config::{BadConfig, ImageConfig, Runtime};
use crate::digest::Digest;
use crate::local::LocalError;
use crate::name::Name;
use crate::registry::{HelperError, RegistryError, RemoteError};
use crate::unpack::UnpackError;

pub use prune::Pruned;
pub use pull::{Progress, Pull, When};

/// What is known of an image that is here.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Image {
    /// As it was asked for.
    pub name: String,
    /// Of its manifest.
    pub digest: Digest,
    /// By their blobs, the lowest first.
    pub layers: Vec<Digest>,
    /// Below all of them: a directory of the host that is no layer of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    pub config: ImageConfig,
    /// Bytes of its layers' files.
    pub bytes: u64,
    /// When it was pulled: seconds since 1970.
    pub pulled: u64,
}

impl Image {
    pub fn runtime(&self) -> &Runtime {
        &self.config.runtime
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot use the store of images: {what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{file} of the store of images is damaged: remove it, and pull the image again")]
    Damaged {
        file: PathBuf,
        source: serde_json::Error,
    },
    #[error("cannot pull image {image}")]
    Registry {
        image: String,
        source: RegistryError,
    },
    #[error("cannot use image {image}")]
    Local { image: String, source: LocalError },
    #[error("cannot get image {image}")]
    Remote { image: String, source: RemoteError },
    #[error("cannot pull image {image} for want of credentials")]
    Helper { image: String, source: HelperError },
    #[error("image {image} is refused")]
    Config { image: String, source: BadConfig },
    #[error("image {image}: layer {layer} is refused")]
    Layer {
        image: String,
        layer: Digest,
        source: UnpackError,
    },
    #[error("image {0} is not here, and nobody asked to pull it")]
    Absent(String),
    #[error(
        "image {image} needs {size} bytes at least, and {free} are free where images are kept: free some, or \
         remove images (longshore image prune)"
    )]
    Full { image: String, size: u64, free: u64 },
}

pub struct Store {
    directory: PathBuf,
    /// The program and arguments that end up in the unpacking child.
    helper: Vec<String>,
    flights: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    counter: AtomicU64,
}

/// While one is there no layer is removed.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "it is held, and no more")] Flock<File>);

impl Store {
    /// Blocks.
    pub fn open(directory: PathBuf, helper: Vec<String>) -> Result<Store, StoreError> {
        for name in ["images", "blobs", "layers", "staging"] {
            make(&directory.join(name))?;
        }
        let store = Store {
            directory,
            helper,
            flights: Mutex::default(),
            counter: AtomicU64::new(0),
        };
        // Somebody who is at it knows what it has in there.
        if let Some(_alone) = store.alone()? {
            store.forget_unfinished()?;
        }
        Ok(store)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits for one who is removing some. Blocks.
    pub fn hold(&self) -> Result<Held, StoreError> {
        let path = self.directory.join("lock");
        let file = open_lock(&path).map_err(io_error("open", &path))?;
        let held = Flock::lock(file, FlockArg::LockShared);
        held.map(Held)
            .map_err(|(_, errno)| io_error("lock", &path)(errno.into()))
    }

    /// Nothing when somebody holds it.
    pub(crate) fn alone(&self) -> Result<Option<Held>, StoreError> {
        let path = self.directory.join("lock");
        let file = open_lock(&path).map_err(io_error("open", &path))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Some(Held(held))),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(io_error("lock", &path)(errno.into())),
        }
    }

    pub fn images(&self) -> Result<Vec<Image>, StoreError> {
        let mut images = Vec::new();
        for path in names(&self.directory.join("images"))? {
            if path.extension().is_some_and(|it| it == "json")
                && let Some(image) = read(&path)?
            {
                images.push(image);
            }
        }
        images.sort_by(|one: &Image, other| one.name.cmp(&other.name));
        Ok(images)
    }

    pub fn image(&self, name: &Name) -> Result<Option<Image>, StoreError> {
        let Some(image) = read::<Image>(&self.image_file(&name.to_string()))? else {
            return Ok(None);
        };
        // Somebody may have removed one by hand.
        let whole = (image.layers.iter()).all(|layer| self.layer_file(layer).exists());
        Ok(whole.then_some(image))
    }

    /// The files of a layer.
    pub fn layer(&self, blob: &Digest) -> PathBuf {
        self.layer_directory(blob).join("diff")
    }

    fn layer_directory(&self, blob: &Digest) -> PathBuf {
        self.directory.join("layers").join(blob.file_name())
    }

    fn layer_file(&self, blob: &Digest) -> PathBuf {
        self.layer_directory(blob).join("layer.json")
    }

    fn image_file(&self, name: &str) -> PathBuf {
        let name = Digest::of(name.as_bytes()).file_name();
        self.directory.join("images").join(format!("{name}.json"))
    }

    fn blob_file(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs").join(digest.file_name())
    }

    /// For one at a time who does the same.
    async fn flight(&self, key: String) -> tokio::sync::OwnedMutexGuard<()> {
        let flight = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            flights.retain(|_, flight| flight.strong_count() > 0);
            let flight = flights.entry(key).or_default();
            flight.upgrade().unwrap_or_else(|| {
                let new = std::sync::Arc::default();
                *flight = std::sync::Arc::downgrade(&new);
                new
            })
        };
        flight.lock_owned().await
    }

    /// A name that nobody else has.
    fn new_name(&self) -> String {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", std::process::id())
    }

    /// Layers that belong to no image are only as good as the kernel that has them in memory.
    fn forget_unfinished(&self) -> Result<(), StoreError> {
        for path in names(&self.directory.join("staging"))? {
            fs::remove_dir_all(&path).map_err(io_error("remove", &path))?;
        }
        let boot = self.directory.join("boot");
        let now = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        if fs::read_to_string(&boot).is_ok_and(|known| known == now) {
            return Ok(());
        }
        self.remove_layers_but(&self.layers_of_images()?)?;
        fs::write(&boot, now).map_err(io_error("write", &boot))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.directory).finish()
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Only root may look in: files of images are of many users, some of them setuid.
fn make(directory: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(io_error("make", directory))
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { what, path, source }
}

fn names(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let names = fs::read_dir(directory);
    let names = names.and_then(|names| names.map(|name| Ok(name?.path())).collect());
    names.map_err(io_error("read", directory))
}

fn read<T: serde::de::DeserializeOwned>(file: &Path) -> Result<Option<T>, StoreError> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", file)(error)),
    };
    let value = serde_json::from_slice(&text);
    value.map(Some).map_err(|source| StoreError::Damaged {
        file: file.to_owned(),
        source,
    })
}

/// Whole, or as it was before.
fn write(file: &Path, name: &str, text: &[u8]) -> Result<(), StoreError> {
    let new = file.with_extension(format!("{name}.new"));
    let written = File::create(&new).and_then(|mut new| {
        new.write_all(text)?;
        new.sync_data()
    });
    let moved = written.and_then(|()| fs::rename(&new, file));
    moved.map_err(io_error("write", file))
}
