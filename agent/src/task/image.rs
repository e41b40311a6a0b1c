//! What a task wants of an image, and what its image makes of the rest of its plan. Pure.

use std::path::{Component, Path, PathBuf};

use images::{Asked, BadReference, NoCommand, Reference, Rootfs, Runtime, UserName, When, resolve};
use isolators::network::{File, Network};
use isolators::{Command, Files, Request, Root, User};
use proto::v1;

use super::environment::PATH;
use crate::provisioning::Provisioned;

#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    pub reference: Reference,
    pub when: When,
    pub asked: Asked,
    /// Whom the task names.
    pub user: Option<UserName>,
    /// Instead of the image's.
    pub working_dir: Option<PathBuf>,
    /// Instead of the image's, whose CMD then does not count either.
    pub entrypoint: Option<String>,
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadImage {
    #[error(transparent)]
    Reference(#[from] BadReference),
    #[error("images of the kind appc are not supported: use one of Docker's or of OCI")]
    Appc,
    #[error(
        "a task with an image of its own cannot have a user namespace of its own yet: take the label away, \
         or --user_namespaces"
    )]
    UserNamespace,
    #[error("the docker parameter workdir is {0:?}: it must be an absolute path without \"..\"")]
    WorkingDir(PathBuf),
    #[error(transparent)]
    Command(#[from] NoCommand),
}

/// `registry`: of names that say none. `switch_user`: whom the task names counts.
pub fn wish(
    task: &v1::TaskInfo,
    registry: &str,
    switch_user: bool,
) -> Result<Option<Wish>, BadImage> {
    let Some((name, force)) = named(task)? else {
        return Ok(None);
    };
    let info = task.command.clone().unwrap_or_default();
    let user = info.user.filter(|user| switch_user && !user.is_empty());
    let docker = task
        .container
        .as_ref()
        .and_then(|container| container.docker.as_ref());
    let parameter = |keys: &[&str]| {
        let parameters = docker.iter().flat_map(|docker| &docker.parameters);
        let mut those = parameters.filter(|parameter| keys.contains(&&*parameter.key));
        those.next_back().map(|parameter| parameter.value.clone())
    };
    let working_dir = parameter(&["workdir", "w"]).map(PathBuf::from);
    if let Some(path) = working_dir.as_ref().filter(|path| !is_whole(path)) {
        return Err(BadImage::WorkingDir(path.clone()));
    }
    Ok(Some(Wish {
        working_dir,
        entrypoint: parameter(&["entrypoint"]).filter(|it| !it.is_empty()),
        read_only: parameter(&["read-only"]).is_some_and(|it| it != "false"),
        reference: Reference::parse_in(name, registry)?,
        when: match force {
            true => When::Always,
            false => When::Missing,
        },
        asked: Asked {
            // Without a command there is nothing for a shell to run.
            shell: info.shell.unwrap_or(true) && task.command.is_some(),
            value: info.value,
            arguments: info.arguments,
        },
        user: user.and_then(|user| user.parse().ok()),
    }))
}

fn is_whole(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|part| part == Component::ParentDir)
}

/// The image's name, and whether it is to be pulled in any case.
fn named(task: &v1::TaskInfo) -> Result<Option<(&str, bool)>, BadImage> {
    let Some(container) = &task.container else {
        return Ok(None);
    };
    if let Some(docker) = container.docker.as_ref().filter(|it| !it.image.is_empty()) {
        return Ok(Some((&docker.image, docker.force_pull_image())));
    }
    let Some(image) = container
        .mesos
        .as_ref()
        .and_then(|mesos| mesos.image.as_ref())
    else {
        return Ok(None);
    };
    match &image.docker {
        Some(docker) => Ok(Some((&docker.name, !image.cached()))),
        None => Err(BadImage::Appc),
    }
}

/// Makes `request` one for a container of the image. `sandbox`: where that is seen inside. `shown`: files of
/// the host that a container with the host's network needs.
pub fn complete(
    request: &mut Request,
    wish: &Wish,
    found: Provisioned,
    sandbox: &Path,
    shown: Vec<PathBuf>,
) -> Result<(), BadImage> {
    if request.user_namespace.is_some() {
        return Err(BadImage::UserNamespace);
    }
    let Provisioned {
        image,
        rootfs,
        account,
    } = found;
    let run = match &wish.entrypoint {
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
    let shown = match request.network {
        Network::Hosts => shown,
        Network::Own { .. } => Vec::new(),
    };
    let working_dir = wish.working_dir.clone();
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
        shown: (shown.into_iter())
            .map(|path| File {
                source: path.clone(),
                target: path,
            })
            .collect(),
        read_only: wish.read_only,
    });
    Ok(())
}

#[cfg(test)]
mod tests;
