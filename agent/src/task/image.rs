//! What a task wants of an image, and what its image makes of the rest of its plan. Pure.

mod options;

use std::path::{Path, PathBuf};

use images::{
    Asked, BadImageName, Credentials, Home, Name, NoCommand, Provided, Rootfs, Runtime, UserName,
    When, resolve,
};
use isolators::network::{File, Network};
use isolators::{Access, Command, DeviceFile, Files, Request, Root, Swap, User, Volume};
use proto::v1;

use super::environment::PATH;
use crate::provisioning::Provisioned;
use crate::secrets;
use crate::task::volumes::OfImage;

pub use options::{BadOption, Device, MemorySwap, Options};

#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    pub name: Name,
    pub when: When,
    /// That the task brings for its registry.
    pub credentials: Option<Brought>,
    pub asked: Asked,
    /// Whom the task names.
    pub user: Option<UserName>,
    pub options: Options,
}

/// Credentials of a task's own.
#[derive(Debug, Clone, PartialEq)]
pub enum Brought {
    Said(Credentials),
    /// The name of a secret of this agent.
    Secret(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadImage {
    #[error(transparent)]
    Name(#[from] BadImageName),
    #[error("the image's \"config\" cannot be used: {0}")]
    Credentials(String),
    #[error("images of the kind appc are not supported: use one of Docker's or of OCI")]
    Appc,
    #[error(transparent)]
    Option(#[from] BadOption),
    #[error(
        "the image's STOPSIGNAL {0:?} is no signal: build it with another, or give the docker parameter stop-signal"
    )]
    StopSignal(String),
    #[error(
        "the docker parameter memory-swap is {0} bytes, and swap cannot be limited to a part here: give -1, or \
         as much as the task's memory for none"
    )]
    Swap(u64),
    #[error(transparent)]
    Command(#[from] NoCommand),
}

/// `home`: of names that say no registry. `switch_user`: whom the task names counts.
pub fn wish(task: &v1::TaskInfo, home: &Home, switch_user: bool) -> Result<Option<Wish>, BadImage> {
    let Some(named) = named(task)? else {
        return Ok(None);
    };
    let info = task.command.clone().unwrap_or_default();
    let user = info.user.filter(|user| switch_user && !user.is_empty());
    let docker = task
        .container
        .as_ref()
        .and_then(|container| container.docker.as_ref());
    let parameters = docker.map_or(&[][..], |docker| &docker.parameters);
    Ok(Some(Wish {
        options: Options::of(parameters)?,
        name: Name::parse(named.image, home, None)?,
        credentials: named.config.map(credentials).transpose()?,
        when: when(named.force),
        asked: Asked {
            // Without a command there is nothing for a shell to run.
            shell: info.shell.unwrap_or(true) && task.command.is_some(),
            value: info.value,
            arguments: info.arguments,
        },
        user: user.and_then(|user| user.parse().ok()),
    }))
}

/// An image whose files a container is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Shows {
    pub name: Name,
    pub when: When,
    pub credentials: Option<Brought>,
    pub target: PathBuf,
    pub access: Access,
}

/// `home`: of names that say no registry.
pub fn shows(volume: OfImage, home: &Home) -> Result<Shows, BadImage> {
    let docker = volume.image.docker.as_ref().ok_or(BadImage::Appc)?;
    Ok(Shows {
        name: Name::parse(&docker.name, home, None)?,
        when: when(!volume.image.cached()),
        credentials: docker.config.as_ref().map(credentials).transpose()?,
        target: volume.target,
        access: volume.access,
    })
}

/// `force`: it is to be pulled in any case.
fn when(force: bool) -> When {
    match force {
        true => When::Always,
        false => When::Missing,
    }
}

/// What a task says of its image.
struct Named<'a> {
    image: &'a str,
    /// It is to be pulled in any case.
    force: bool,
    config: Option<&'a v1::Secret>,
}

fn named(task: &v1::TaskInfo) -> Result<Option<Named<'_>>, BadImage> {
    let Some(container) = &task.container else {
        return Ok(None);
    };
    if let Some(docker) = container.docker.as_ref().filter(|it| !it.image.is_empty()) {
        return Ok(Some(Named {
            image: &docker.image,
            force: docker.force_pull_image(),
            config: None,
        }));
    }
    let Some(image) = container
        .mesos
        .as_ref()
        .and_then(|mesos| mesos.image.as_ref())
    else {
        return Ok(None);
    };
    let docker = image.docker.as_ref().ok_or(BadImage::Appc)?;
    Ok(Some(Named {
        image: &docker.name,
        force: !image.cached(),
        config: docker.config.as_ref(),
    }))
}

fn credentials(secret: &v1::Secret) -> Result<Brought, BadImage> {
    match (&secret.value, &secret.reference) {
        (Some(value), _) => match Credentials::parse(&value.data) {
            Ok(found) => Ok(Brought::Said(found)),
            Err(error) => Err(BadImage::Credentials(proto::error::chain(&error))),
        },
        (None, reference) => {
            let name = reference.as_ref().map(secrets::name);
            Ok(Brought::Secret(name.unwrap_or_default()))
        }
    }
}

/// What of the host a container of an image is shown.
#[derive(Debug, Default)]
pub struct Shown {
    /// Where one with the host's network finds names.
    pub files: Vec<File>,
    pub devices: Vec<DeviceFile>,
}

/// Makes `request` one for a container of the image. `sandbox`: where that is seen inside.
pub fn complete(
    request: &mut Request,
    wish: &Wish,
    found: Provisioned,
    sandbox: &Path,
    shown: Shown,
) -> Result<(), BadImage> {
    let Provisioned {
        image,
        provided: Provided { rootfs, volumes },
        account,
        groups,
    } = found;
    let options = &wish.options;
    let run = match &options.entrypoint {
        None => resolve(&wish.asked, image.runtime())?,
        Some(program) => resolve(
            &wish.asked,
            &Runtime {
                entrypoint: vec![program.clone()],
                ..Runtime::default()
            },
        )?,
    };
    request.command = Command::Exec {
        path: run.path,
        argv: run.argv,
    };
    let home = account.as_ref().map(|account| account.home.clone());
    if let Some(account) = account {
        request.user = User {
            name: account.name,
            uid: account.uid,
            gid: account.gid,
            groups: account.groups,
            home: account.home,
        };
    }
    let outside = request.sandbox.display().to_string();
    for (name, value) in &mut request.env {
        if name == "MESOS_SANDBOX" && *value == outside {
            *value = sandbox.display().to_string();
        }
    }
    let own = &image.runtime().env;
    let is_default = request
        .env
        .last()
        .is_some_and(|(name, value)| name == "PATH" && value == PATH);
    if is_default && own.iter().any(|(name, _)| name == "PATH") {
        request.env.pop();
    }
    let home = home.map(|home| ("HOME".to_owned(), home.display().to_string()));
    let below = home.into_iter().chain(own.iter().cloned());
    request.env = below.chain(std::mem::take(&mut request.env)).collect();
    let files = match request.network {
        Network::Hosts => shown.files,
        Network::Own { .. } => Vec::new(),
    };
    limit(request, options)?;
    let own = image.runtime().stop_signal.as_ref();
    let own = own.map(|text| {
        let signal = options::signal(text);
        signal.ok_or_else(|| BadImage::StopSignal(text.clone()))
    });
    request.stop_signal = match options.stop_signal {
        Some(signal) => Some(signal),
        None => own.transpose()?,
    };
    request.sysctls.clone_from(&options.sysctls);
    request.cpuset.clone_from(&options.cpuset);
    request.user.groups.extend(groups);
    own_volumes(request, options, volumes);
    let working_dir = options.working_dir.clone();
    let working_dir = working_dir.or_else(|| image.runtime().working_dir.clone());
    request.root = Some(Root {
        files: match rootfs {
            Rootfs::Stack(stack) => Files::Overlay {
                root: stack.root,
                lower: stack.lower,
                upper: stack.upper,
                work: stack.work,
            },
            Rootfs::Copy(root) => Files::Directory(root),
        },
        sandbox: sandbox.to_owned(),
        working_dir: working_dir.unwrap_or_else(|| sandbox.to_owned()),
        shown: files,
        read_only: options.read_only,
        tmpfs: options.tmpfs.clone(),
        devices: shown.devices,
    });
    Ok(())
}

/// An operator's limits stay.
fn limit(request: &mut Request, options: &Options) -> Result<(), BadImage> {
    if let Some(asked) = options.pids {
        request.pids = Some(request.pids.map_or(asked, |most| most.min(asked)));
    }
    match options.swap {
        None | Some(MemorySwap::Unlimited) => Ok(()),
        // It counts memory, too.
        Some(MemorySwap::Bytes(both)) if both <= request.memory.request => {
            request.swap = Swap::Never;
            Ok(())
        }
        Some(MemorySwap::Bytes(both)) => Err(BadImage::Swap(both)),
    }
}

/// Below those of the task, which count where both name a place.
fn own_volumes(request: &mut Request, options: &Options, volumes: Vec<(PathBuf, PathBuf)>) {
    let inside = request.volumes.iter().map(|volume| &volume.target);
    let taken: Vec<_> = inside
        .chain(options.tmpfs.iter().map(|it| &it.target))
        .cloned()
        .collect();
    let own = volumes
        .into_iter()
        .filter(|(inside, _)| !taken.contains(inside));
    let own = own.map(|(target, source)| Volume {
        source,
        target,
        access: Access::ReadWrite,
    });
    request.volumes.splice(0..0, own);
}

#[cfg(test)]
mod tests;
