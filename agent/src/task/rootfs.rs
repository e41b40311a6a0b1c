//! A task's root file system: its image is pulled, and its container told so.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use images::{Credentials, Ids};
use isolators::network::{File as ShownFile, Network};
use isolators::{Device, DeviceFile, DeviceKind, Request, Volume};

use super::image::{self, Brought, Options, Shown};
use super::launch::{Host, LaunchError};
use crate::provisioning::{ImageError, Images};
use crate::sandbox;

#[derive(Debug, thiserror::Error)]
pub enum RootError {
    #[error("cannot write {file}, which tells the container names")]
    Names { file: PathBuf, source: io::Error },
    #[error("cannot look at the device {path}, which the task asks for")]
    Look { path: PathBuf, source: io::Error },
    #[error("{0}, which the task asks for as a device, is none")]
    NoDevice(PathBuf),
    #[error(
        "the docker parameter {0} is for a container with a network of its own, and this one has the host's: \
         ask for BRIDGE"
    )]
    NamesOfTheHost(&'static str),
}

/// Makes a container one of its image, whose user the sandbox then belongs to. What its status says of it.
pub async fn root(
    host: &Host,
    wish: &image::Wish,
    container: &mut Request,
    log: &File,
) -> Result<Option<String>, LaunchError> {
    let images = &host.images;
    let place = (&*container.sandbox, log);
    let brought = brought(images, wish.credentials.as_ref())?;
    let pulled = images.pull(&wish.name, wish.when, brought.as_ref(), place);
    let (pulled, said) = pulled.await?;
    let id = container.id.as_str();
    let ids = match container.user_namespace {
        Some(_) => Ids::Own,
        None => Ids::Hosts,
    };
    let who = (wish.user.clone(), wish.options.groups.clone());
    let provisioning = images.provision(id, pulled, who, ids);
    let found = provisioning.await?;
    let before = (container.user.uid, container.user.gid);
    let shown = {
        let (options, place) = (wish.options.clone(), images.place(id)?);
        let own_network = matches!(container.network, Network::Own { .. });
        tokio::task::spawn_blocking(move || shown(&options, own_network, &place)).await??
    };
    image::complete(container, wish, found, &images.sandbox, shown)?;
    let owner = (container.user.uid, container.user.gid);
    if owner != before {
        let sandbox = container.sandbox.clone();
        tokio::task::spawn_blocking(move || sandbox::give_all(&sandbox, owner)).await??;
    }
    Ok(said)
}

/// Volumes that are images: what each of them has is the container's, to be changed or not. What its status says
/// of them.
pub async fn show(
    host: &Host,
    shows: Vec<image::Shows>,
    container: &mut Request,
    log: &File,
) -> Result<Option<String>, LaunchError> {
    let images = &host.images;
    let mut all = Vec::new();
    for (number, wish) in shows.into_iter().enumerate() {
        let brought = brought(images, wish.credentials.as_ref())?;
        let place = (&*container.sandbox, log);
        let pulled = images.pull(&wish.name, wish.when, brought.as_ref(), place);
        let (pulled, said) = pulled.await?;
        all.extend(said);
        let id = container.id.as_str();
        let source = images.unpack(id, number, pulled).await?;
        container.volumes.push(Volume {
            source,
            target: wish.target,
            access: wish.access,
        });
    }
    Ok((!all.is_empty()).then(|| all.join("; ")))
}

/// Credentials of a task's own.
fn brought(
    images: &Images,
    credentials: Option<&Brought>,
) -> Result<Option<Credentials>, ImageError> {
    match credentials {
        None => Ok(None),
        Some(Brought::Said(credentials)) => Ok(Some(credentials.clone())),
        Some(Brought::Secret(name)) => images.secret(name).map(Some),
    }
}

/// `place`: of the container's own files. Blocks.
fn shown(options: &Options, own_network: bool, place: &Path) -> Result<Shown, RootError> {
    let devices = options
        .devices
        .iter()
        .map(device)
        .collect::<Result<_, _>>()?;
    let mut files = Vec::new();
    if own_network {
        return Ok(Shown { files, devices });
    }
    if options.names {
        return Err(RootError::NamesOfTheHost("dns"));
    }
    // Whose network is the host's has its names, too.
    for target in ["/etc/hosts", "/etc/resolv.conf"].map(PathBuf::from) {
        if target.exists() {
            let source = target.clone();
            files.push(ShownFile { source, target });
        }
    }
    if !options.hosts.is_empty() {
        let (target, source) = (PathBuf::from("/etc/hosts"), place.join("hosts"));
        let copied = fs::copy(&target, &source);
        copied.map_err(|error| names(&source)(error))?;
        append(&source, &options.hosts)?;
        files.retain(|file| file.target != target);
        files.push(ShownFile { source, target });
    }
    Ok(Shown { files, devices })
}

/// To what a container with a network of its own knows of names by then. Blocks.
pub fn add_hosts(container: &Request, lines: &[String]) -> Result<(), RootError> {
    let Network::Own { files } = &container.network else {
        return Ok(());
    };
    let mut those = files
        .iter()
        .filter(|file| file.target == Path::new("/etc/hosts"));
    match (those.next(), lines) {
        (None, _) | (_, []) => Ok(()),
        (Some(file), lines) => append(&file.source, lines),
    }
}

fn append(file: &Path, lines: &[String]) -> Result<(), RootError> {
    let text = format!("{}\n", lines.join("\n"));
    let opened = File::options().append(true).open(file);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(names(file))
}

fn names(file: &Path) -> impl FnOnce(io::Error) -> RootError {
    let file = file.to_owned();
    move |source| RootError::Names { file, source }
}

fn device(asked: &image::Device) -> Result<DeviceFile, RootError> {
    let found = fs::metadata(&asked.source).map_err(|source| RootError::Look {
        path: asked.source.clone(),
        source,
    })?;
    let kind = match found.file_type() {
        kind if kind.is_block_device() => DeviceKind::Block,
        kind if kind.is_char_device() => DeviceKind::Char,
        _ => return Err(RootError::NoDevice(asked.source.clone())),
    };
    let device = found.rdev();
    Ok(DeviceFile {
        path: asked.target.clone(),
        device: Device {
            kind,
            major: nix::sys::stat::major(device) as u32,
            minor: nix::sys::stat::minor(device) as u32,
            read: asked.read,
            write: asked.write,
            mknod: asked.mknod,
        },
        mode: found.mode() & 0o7777,
        uid: found.uid(),
        gid: found.gid(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_what_the_host_has_under_its_name() {
        let asked = |source: &str| image::Device {
            source: source.into(),
            target: "/dev/x".into(),
            read: true,
            write: false,
            mknod: false,
        };
        let found = device(&asked("/dev/null")).unwrap();
        assert_eq!((found.device.major, found.device.minor), (1, 3));
        assert_eq!(
            (found.path.as_path(), found.mode),
            (Path::new("/dev/x"), 0o666)
        );
        assert!(matches!(
            device(&asked("/dev")),
            Err(RootError::NoDevice(_))
        ));
        assert!(matches!(
            device(&asked("/dev/none-such")),
            Err(RootError::Look { .. })
        ));
    }

    #[test]
    fn hosts_that_a_task_names_come_behind_those_of_the_host() {
        let place = tempfile::tempdir().unwrap();
        let options = Options {
            hosts: vec!["10.0.0.1\tdb".to_owned()],
            ..Options::default()
        };
        let found = shown(&options, false, place.path()).unwrap();
        let hosts = found
            .files
            .iter()
            .find(|it| it.target == Path::new("/etc/hosts"));
        let text = fs::read_to_string(&hosts.unwrap().source).unwrap();
        let own = fs::read_to_string("/etc/hosts").unwrap();
        assert_eq!(text, format!("{own}10.0.0.1\tdb\n"));
        assert!(
            shown(&options, true, place.path())
                .unwrap()
                .files
                .is_empty()
        );
        let names = Options {
            names: true,
            ..Options::default()
        };
        assert!(matches!(
            shown(&names, false, place.path()),
            Err(RootError::NamesOfTheHost(_))
        ));
    }
}
