//! Root file systems of containers, out of the layers of images.
//!
//! ```text
//! <provisioner>/containers/<container>
//! ├── image.json        which layers it has: before anything else is there, so that they stay
//! ├── a, b, c …         links to the layers, the topmost first, of names as short as can be
//! ├── merged/           the lowest layers as one, where there are more than the kernel can be told of
//! ├── volumes/0 …       what the image says is the container's own
//! ├── images/0 …        all files of other images that it is shown
//! ├── rootfs/           empty, where layers are stacked by the kernel; all files, where they are copied
//! └── upper/, work/     what the container has written
//! ```
//! Nothing is mounted here: what the kernel is to stack is the container's own mount, and goes with it.

mod copy;
mod look;
mod stack;
mod volumes;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::UserName;
use crate::digest::Digest;
use crate::store::{Held, Image, Pruned, Store, StoreError};
use crate::users::{Account, NoAccount, account, group};

#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    #[error("cannot make the container's root file system: {what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the image's {file} cannot be read")]
    Read {
        file: &'static str,
        source: io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Account(#[from] NoAccount),
}

/// How layers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The kernel stacks them.
    Overlay,
    /// All files are copied, for each container.
    Copy,
}

/// What a container gets of its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provided {
    pub rootfs: Rootfs,
    /// Where in the container, and where on the host: directories that hold what the image has there.
    pub volumes: Vec<(PathBuf, PathBuf)>,
}

/// What a container's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rootfs {
    Stack(Stack),
    Copy(PathBuf),
}

/// What the kernel is to stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// An empty directory that stands for it.
    pub root: PathBuf,
    /// The topmost first.
    pub lower: Vec<PathBuf>,
    pub upper: PathBuf,
    pub work: PathBuf,
}

/// Which layers a container has.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Pin {
    image: String,
    layers: Vec<Digest>,
}

#[derive(Debug)]
pub struct Provisioner {
    directory: PathBuf,
    store: Arc<Store>,
    backend: Backend,
    /// The kernel can be told of layers one by one, and so of any number.
    one_by_one: bool,
    /// It can be told of layers whose owners are shown differently.
    idmaps_layers: bool,
}

/// Whose ids the owners of a container's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    Hosts,
    /// Of a user namespace: its files are to be shown through that.
    Own,
}

impl Provisioner {
    /// `backend`: what this host can, when nobody says. Blocks.
    pub fn open(
        directory: &Path,
        store: Arc<Store>,
        backend: Option<Backend>,
    ) -> Result<Provisioner, ProvisionError> {
        let directory = directory.join("containers");
        make(&directory, 0o700)?;
        let backend = backend.unwrap_or_else(|| can(&directory));
        Ok(Provisioner {
            directory,
            store,
            backend,
            one_by_one: stack::can_one_by_one(),
            idmaps_layers: stack::can_idmap(),
        })
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// All that there is of a container, to be removed once its processes have gone.
    pub fn directory(&self, container: &str) -> PathBuf {
        self.directory.join(container)
    }

    /// `container` is safe as one component of a path. `_held`: its layers are there until this is done, and
    /// then for as long as the container's directory is. Blocks.
    pub fn provision(
        &self,
        container: &str,
        image: &Image,
        ids: Ids,
        _held: &Held,
    ) -> Result<Provided, ProvisionError> {
        let directory = self.directory(container);
        make(&directory, 0o700)?;
        let pin = Pin {
            image: image.name.clone(),
            layers: image.layers.clone(),
        };
        let file = directory.join("image.json");
        let text =
            serde_json::to_vec(&pin).map_err(|error| failed("write", &file)(error.into()))?;
        fs::write(&file, text).map_err(failed("write", &file))?;
        let layers = self.layers(image);
        let volumes = self.volumes(&directory, &layers, &image.runtime().volumes)?;
        let backend = match ids {
            // Copied files can be shown differently by older kernels, too.
            Ids::Own if !self.idmaps_layers => Backend::Copy,
            Ids::Own | Ids::Hosts => self.backend,
        };
        let rootfs = match backend {
            Backend::Copy => {
                let root = directory.join("rootfs");
                make(&root, 0o755)?;
                let copied = copy::copy(&layers, &root, copy::Files::Copied);
                copied.map_err(failed("copy layers to", &root))?;
                Rootfs::Copy(root)
            }
            Backend::Overlay => Rootfs::Stack(stack::stack(&directory, layers, self.one_by_one)?),
        };
        Ok(Provided { rootfs, volumes })
    }

    /// All files of an image beside the container's own, which it may change: where they are. `number`: among
    /// those of the container. Blocks.
    pub fn unpack(
        &self,
        container: &str,
        number: usize,
        image: &Image,
        _held: &Held,
    ) -> Result<PathBuf, ProvisionError> {
        let directory = self.directory(container);
        make(&directory, 0o700)?;
        let root = directory.join("images").join(number.to_string());
        make(&root, 0o755)?;
        let copied = copy::copy(&self.layers(image), &root, copy::Files::Copied);
        copied.map_err(failed("copy layers to", &root))?;
        Ok(root)
    }

    /// The lowest first.
    fn layers(&self, image: &Image) -> Vec<PathBuf> {
        let layers = image.layers.iter().map(|it| self.store.layer(it));
        image.base.iter().cloned().chain(layers).collect()
    }

    /// Who `name` is in the image. Blocks.
    pub fn account(&self, image: &Image, name: &UserName) -> Result<Account, ProvisionError> {
        let passwd = self.text(image, "etc/passwd")?;
        Ok(account(name, &passwd, &self.text(image, "etc/group")?)?)
    }

    /// What groups are in the image, by their names or numbers. Blocks.
    pub fn groups(&self, image: &Image, names: &[String]) -> Result<Vec<u32>, ProvisionError> {
        let known = match names {
            [] => return Ok(Vec::new()),
            _ => self.text(image, "etc/group")?,
        };
        let found = names.iter().map(|name| group(name, &known));
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// A file of the image.
    fn text(&self, image: &Image, file: &'static str) -> Result<String, ProvisionError> {
        let mut layers = self.layers(image);
        layers.reverse();
        let found = look::text(&layers, Path::new(file));
        found.map_err(|source| ProvisionError::Read { file, source })
    }

    /// Removes all images but those that `keep` says and those of containers, and all layers that are of none
    /// of the rest. Nothing, where somebody is using the store. Blocks.
    pub fn prune(&self, keep: impl Fn(&Image) -> bool) -> Result<Option<Pruned>, ProvisionError> {
        // From then on no container gets any.
        let Some(alone) = self.store.alone()? else {
            return Ok(None);
        };
        Ok(Some(self.store.prune(&alone, &self.used()?, keep)?))
    }

    /// Containers whose files are here.
    pub fn containers(&self) -> Result<Vec<String>, ProvisionError> {
        let names = fs::read_dir(&self.directory).and_then(|names| {
            let names = names.map(|name| Ok(name?.file_name().to_string_lossy().into_owned()));
            names.collect()
        });
        names.map_err(failed("read", &self.directory))
    }

    /// Layers that containers have.
    fn used(&self) -> Result<BTreeSet<Digest>, ProvisionError> {
        let mut used = BTreeSet::new();
        for container in self.containers()? {
            let file = self.directory(&container).join("image.json");
            let pin = match fs::read(&file) {
                Ok(text) => serde_json::from_slice::<Pin>(&text),
                // It is just being made, with the store held, or taken away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("read", &file)(error)),
            };
            used.extend(
                pin.map_err(|error| failed("read", &file)(error.into()))?
                    .layers,
            );
        }
        Ok(used)
    }
}

/// The kernel writes to no other overlay, and to few file systems of other hosts.
fn can(directory: &Path) -> Backend {
    use nix::sys::statfs::{FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, statfs};
    let upper = statfs(directory).map(|found| found.filesystem_type());
    let unfit = [FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC];
    let known = rustix::mount::fsopen("overlay", rustix::mount::FsOpenFlags::FSOPEN_CLOEXEC);
    match known.is_ok() && upper.is_ok_and(|upper| !unfit.contains(&upper)) {
        true => Backend::Overlay,
        false => Backend::Copy,
    }
}

fn make(path: &Path, mode: u32) -> Result<(), ProvisionError> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    // The umask may have taken bits away.
    let open = made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)));
    open.map_err(failed("make", path))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ProvisionError {
    let path = path.to_owned();
    move |source| ProvisionError::Io { what, path, source }
}
