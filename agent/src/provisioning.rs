//! Images of tasks: pulled, and made into root file systems.

mod pulls;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use images::{
    Account, BadCredentials, BadImageName, Credentials, Held, Home, Ids, Image, Name, Progress,
    Provided, ProvisionError, Provisioner, Pruned, Pull, Registries, RegistryError, Store,
    StoreError, UserName, When,
};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use crate::flags::{Flags, ImageGc};
use crate::host::disk_usage;
use crate::removal::remove_tree;
use crate::secrets::{SecretError, Secrets};

pub use pulls::Pulls;

/// Largest file of credentials.
const CREDENTIALS_BYTES: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("--docker_config cannot be used")]
    Credentials(#[from] BadCredentials),
    #[error("cannot read {file}, which --docker_config names")]
    Read {
        file: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot prepare for pulling images")]
    Registry(#[from] RegistryError),
}

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("this agent cannot keep images: {0}")]
    Unusable(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    #[error("the credentials in {name} of the sandbox, which the task fetched, cannot be used")]
    Fetched {
        name: &'static str,
        source: BadCredentials,
    },
    #[error(
        "image {0} is a file of this host, which tasks may name only in the directories that the operator \
         lists: add its directory to --image_directories, or pull it there (longshore image pull)"
    )]
    Unlisted(Name),
    #[error("cannot have the image's credentials")]
    Secret(#[from] SecretError),
    #[error("the image's credentials are the secret {name:?}, which cannot be used")]
    BadSecret {
        name: String,
        source: BadCredentials,
    },
    #[error("cannot read {name} in the sandbox")]
    Unread {
        name: &'static str,
        source: io::Error,
    },
    #[error("the work on its image was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// What this agent does with images.
#[derive(Debug)]
pub struct Images {
    /// Or why there is none.
    provisioner: Result<Arc<Provisioner>, String>,
    registries: Registries,
    credentials: Credentials,
    gc: Option<ImageGc>,
    /// That are under way for tasks.
    pub pulls: Arc<Pulls>,
    /// Of names that say no registry.
    pub home: Home,
    /// In which tasks may name images.
    directories: Vec<PathBuf>,
    /// Where a container of an image finds its sandbox.
    pub sandbox: PathBuf,
    /// Credentials that tasks name are among them.
    secrets: Secrets,
}

/// A root file system, and who is to use it.
#[derive(Debug)]
pub(crate) struct Provisioned {
    pub image: Image,
    pub provided: Provided,
    pub account: Option<Account>,
    /// That the task asks for beside those.
    pub groups: Vec<u32>,
}

impl Images {
    /// Where images cannot be kept, for want of room perhaps, tasks without one run all the same. Blocks.
    pub fn open(flags: &Flags) -> Result<Images, OpenError> {
        let settings = flags.images.settings(&flags.fetcher.settings());
        let provisioner = provisioner(flags).map_err(|error| {
            let error = proto::error::chain(&error);
            tracing::error!(error, "tasks with an image cannot run");
            error
        });
        Ok(Images {
            provisioner: provisioner.map(Arc::new),
            registries: Registries::new(settings)?,
            credentials: credentials(flags.images.docker_config.as_deref())?,
            gc: flags.images.image_gc_config.clone(),
            pulls: Arc::default(),
            home: flags.images.home(),
            directories: flags.images.image_directories.clone(),
            sandbox: flags.images.sandbox_directory.clone(),
            secrets: Secrets::new(flags.secrets_dir.clone()),
        })
    }

    fn provisioner(&self) -> Result<&Arc<Provisioner>, ImageError> {
        let provisioner = self.provisioner.as_ref();
        provisioner.map_err(|why| ImageError::Unusable(why.clone()))
    }

    /// `here`: where relative paths begin, if they may be.
    pub fn name(&self, text: &str, here: Option<&Path>) -> Result<Name, BadImageName> {
        Name::parse(text, &self.home, here)
    }

    pub fn store(&self) -> Result<&Arc<Store>, ImageError> {
        Ok(self.provisioner()?.store())
    }

    /// Removes images but those that `keep` says and those of containers; nothing, where somebody is using
    /// the store. Blocks.
    pub fn prune(&self, keep: impl Fn(&Image) -> bool) -> Result<Option<Pruned>, ImageError> {
        Ok(self.provisioner()?.prune(keep)?)
    }

    /// Credentials that a task names. Blocks for a moment.
    pub(crate) fn secret(&self, name: &str) -> Result<Credentials, ImageError> {
        let text = self.secrets.read(name)?;
        Credentials::parse(&text).map_err(|source| ImageError::BadSecret {
            name: name.to_owned(),
            source,
        })
    }

    /// What the operator and the task have given: what the task has fetched into its `sandbox` counts first.
    pub(crate) fn credentials(&self, sandbox: &Path) -> Result<Credentials, ImageError> {
        Ok(self.credentials.clone().or(fetched(sandbox)?))
    }

    /// `log`: the stderr of the `sandbox`, which tells how it goes on. Credentials that the task brings, or
    /// has fetched into its sandbox, count before the operator's. What its status says of it, if anything was
    /// pulled.
    pub(crate) async fn pull(
        &self,
        image: &Name,
        when: When,
        brought: Option<&Credentials>,
        (sandbox, log): (&Path, &File),
    ) -> Result<((Image, Held), Option<String>), ImageError> {
        if let Name::Local(local) = image {
            let listed = |directory: &PathBuf| local.path.starts_with(directory);
            let is_here = self.store()?.image(image)?.is_some();
            if !is_here && !self.directories.iter().any(listed) {
                return Err(ImageError::Unlisted(image.clone()));
            }
        }
        let credentials = self.credentials(sandbox)?;
        let credentials = credentials.or(brought.cloned().unwrap_or_default());
        let watched = self.pulls.begin(sandbox, image.to_string());
        let progress = |progress: Progress| {
            watched.on(&progress);
            let line = match progress {
                Progress::Began {
                    layers,
                    here,
                    bytes,
                } => format!(
                    "Pulling image {image}: {layers} layers, {here} of them are here, {bytes} bytes to get"
                ),
                Progress::Unpacked { layer } => format!("Unpacked layer {layer}"),
                Progress::Got { .. } => return,
            };
            let mut log = log;
            if let Err(error) = writeln!(log, "{line}") {
                tracing::debug!(%error, "cannot write to a sandbox's stderr");
            }
        };
        let pulled = self.pull_as(image, when, &credentials, &progress).await?;
        let said = watched.said();
        Ok((pulled, said))
    }

    /// As the operator.
    pub async fn pull_with(
        &self,
        image: &Name,
        when: When,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<(Image, Held), ImageError> {
        self.pull_as(image, when, &self.credentials, progress).await
    }

    async fn pull_as(
        &self,
        image: &Name,
        when: When,
        credentials: &Credentials,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<(Image, Held), ImageError> {
        let pull = Pull {
            registries: &self.registries,
            image,
            credentials,
            when,
            progress,
        };
        Ok(self.store()?.pull(&pull).await?)
    }

    /// Whom the task names, and which groups beside: an image's own user counts where it names none. A user
    /// that the task names and the image does not have is the host's.
    pub(crate) async fn provision(
        &self,
        container: &str,
        (image, held): (Image, Held),
        (user, groups): (Option<UserName>, Vec<String>),
        ids: Ids,
    ) -> Result<Provisioned, ImageError> {
        let provisioner = Arc::clone(self.provisioner()?);
        let container = container.to_owned();
        let provisioned = tokio::task::spawn_blocking(move || {
            let account = match (user, &image.runtime().user) {
                (Some(user), _) => provisioner.account(&image, &user).ok(),
                (None, Some(user)) => Some(provisioner.account(&image, user)?),
                (None, None) => None,
            };
            let groups = provisioner.groups(&image, &groups)?;
            let provided = provisioner.provision(&container, &image, ids, &held)?;
            Ok(Provisioned {
                image,
                provided,
                account,
                groups,
            })
        });
        provisioned.await?
    }

    /// All files of an image as a directory of the container's own. `number`: among those of the container.
    pub(crate) async fn unpack(
        &self,
        container: &str,
        number: usize,
        (image, held): (Image, Held),
    ) -> Result<PathBuf, ImageError> {
        let provisioner = Arc::clone(self.provisioner()?);
        let container = container.to_owned();
        let unpacked = tokio::task::spawn_blocking(move || {
            provisioner.unpack(&container, number, &image, &held)
        });
        Ok(unpacked.await??)
    }

    /// Removes images where the disk is fuller than the operator wants it. Blocks.
    pub fn relieve(&self) {
        let (Some(gc), Ok(store)) = (&self.gc, self.store()) else {
            return;
        };
        let usage = disk_usage(store.directory()).unwrap_or(0.0);
        if usage <= 1.0 - gc.headroom {
            return;
        }
        let excluded = gc
            .excluded
            .iter()
            .filter_map(|name| self.name(name, None).ok());
        let excluded: BTreeSet<_> = excluded.map(|name| name.to_string()).collect();
        match self.prune(|image| excluded.contains(&image.name)) {
            Ok(Some(pruned)) if pruned.layers > 0 => tracing::info!(
                images = pruned.images.len(),
                bytes = pruned.bytes,
                "removed images, for the disk is full"
            ),
            // Somebody is using images just now: the next round will do.
            Ok(_) => {}
            Err(error) => {
                let error = proto::error::chain(&error);
                tracing::warn!(error, "cannot remove images");
            }
        }
    }

    /// Of a container's own files.
    pub(crate) fn place(&self, container: &str) -> Result<PathBuf, ImageError> {
        Ok(self.provisioner()?.directory(container))
    }

    /// Whether there is anything of a container.
    pub fn has(&self, container: &str) -> bool {
        let provisioner = self.provisioner.as_ref();
        provisioner.is_ok_and(|it| it.directory(container).exists())
    }

    /// Of a container that is no more. Blocks.
    pub fn release(&self, container: &str) {
        let Ok(provisioner) = &self.provisioner else {
            return;
        };
        let directory = provisioner.directory(container);
        if let Err(error) = remove_tree(&directory) {
            let error = proto::error::chain(&error);
            tracing::warn!(
                error,
                container,
                "a container's root file system stays for now"
            );
        }
    }

    /// Of all containers but these. Blocks.
    pub fn release_others(&self, living: &BTreeSet<String>) {
        let Ok(provisioner) = &self.provisioner else {
            return;
        };
        match provisioner.containers() {
            Ok(found) => {
                let gone = found
                    .iter()
                    .filter(|container| !living.contains(*container));
                gone.for_each(|container| self.release(container));
            }
            Err(error) => {
                let error = proto::error::chain(&error);
                tracing::warn!(error, "root file systems of earlier containers stay");
            }
        }
    }
}

/// Files of these names are what people pack as docker.tar.gz. No link is followed.
fn fetched(sandbox: &Path) -> Result<Credentials, ImageError> {
    for name in [".docker/config.json", ".dockercfg"] {
        let unread = |source| ImageError::Unread { name, source };
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let directory = File::open(sandbox).map_err(unread)?;
        let file = match openat2(&directory, name, how) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => continue,
            Err(errno) => return Err(unread(errno.into())),
        };
        let mut text = Vec::new();
        let read = file.take(CREDENTIALS_BYTES).read_to_end(&mut text);
        read.map_err(unread)?;
        let found = Credentials::parse(&text);
        return found.map_err(|source| ImageError::Fetched { name, source });
    }
    Ok(Credentials::default())
}

fn provisioner(flags: &Flags) -> Result<Provisioner, ImageError> {
    let directory = flags.images.docker_store_dir.clone();
    let directory = directory.unwrap_or_else(|| flags.work_dir.join("images"));
    let store = Arc::new(Store::open(directory, helper(flags))?);
    let containers = flags.work_dir.join("provisioner");
    Ok(Provisioner::open(
        &containers,
        store,
        flags.images.image_backend,
    )?)
}

fn credentials(config: Option<&str>) -> Result<Credentials, OpenError> {
    let Some(config) = config else {
        return Ok(Credentials::default());
    };
    if config.trim_start().starts_with('{') {
        return Ok(Credentials::of_operator(config.as_bytes())?);
    }
    let file = PathBuf::from(config.strip_prefix("file://").unwrap_or(config));
    let text = std::fs::read(&file).map_err(|source| OpenError::Read { file, source })?;
    Ok(Credentials::of_operator(&text)?)
}

/// This program again, even if its file has been replaced meanwhile.
fn helper(flags: &Flags) -> Vec<String> {
    match flags.unpack_helper.is_empty() {
        true => ["/proc/self/exe", "unpack-layer"]
            .map(str::to_owned)
            .to_vec(),
        false => flags.unpack_helper.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_a_task_has_fetched_are_found_and_no_link_is_followed() {
        let sandbox = tempfile::tempdir().unwrap();
        let registry = |sandbox: &Path| fetched(sandbox).map(|it| it.of("r.example").is_some());
        assert!(matches!(registry(sandbox.path()), Ok(false)));
        let text = r#"{"r.example": {"username": "a", "password": "b"}}"#;
        std::fs::write(sandbox.path().join(".dockercfg"), text).unwrap();
        assert!(matches!(registry(sandbox.path()), Ok(true)));
        std::fs::create_dir(sandbox.path().join(".docker")).unwrap();
        let config = sandbox.path().join(".docker/config.json");
        std::fs::write(&config, "{").unwrap();
        assert!(matches!(
            registry(sandbox.path()),
            Err(ImageError::Fetched { .. })
        ));
        std::fs::remove_file(&config).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &config).unwrap();
        assert!(matches!(
            registry(sandbox.path()),
            Err(ImageError::Unread { .. })
        ));
    }
}
