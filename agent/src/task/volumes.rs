//! Volumes and the other wishes of a `ContainerInfo`, turned into mounts or into a clear refusal.
//!
//! Source: spec/mesos-agent.md section 19.

use std::path::{Component, Path, PathBuf};

use isolators::{Access, Volume};
use proto::v1;
use proto::v1::volume::source::Type as SourceType;
use proto::v1::volume::source::sandbox_path::Type as OwnType;

use crate::secrets::{Hidden, SecretFiles};

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mounts {
    pub volumes: Vec<Volume>,
    /// Directories inside the sandbox that volumes need, relative to it. They belong to the user.
    pub sandbox_directories: Vec<PathBuf>,
    /// The same directly in the sandbox of the executor, for all tasks of a group.
    pub shared_directories: Vec<PathBuf>,
    /// What is in the files that volumes show, in their order.
    pub secrets: Vec<Hidden>,
    /// Volumes that are images.
    pub images: Vec<OfImage>,
}

/// All files of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct OfImage {
    pub image: v1::Image,
    pub target: PathBuf,
    pub access: Access,
}

/// Of one container.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    pub sandbox: &'a Path,
    /// Of a task of a group, its executor's sandbox.
    pub parent: Option<&'a Path>,
    /// Where its secrets will be files.
    pub secrets: &'a Path,
}

/// What is in the sandbox of a group's executor beside volumes.
const RESERVED: [&str; 3] = ["containers", "stdout", "stderr"];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    #[error("{0} is not supported by this build yet: remove it from the task's \"container\"")]
    Unsupported(&'static str),
    #[error("volume {container_path:?} must have exactly one of host_path, image and source")]
    Sources { container_path: String },
    #[error("volume {container_path:?} has the source {path:?}, which must be {wanted}")]
    BadSource {
        container_path: String,
        path: String,
        wanted: &'static str,
    },
    #[error(
        "volume has container_path {0:?}: it must be absolute, or relative without \"..\" and not \
         empty"
    )]
    BadTarget(String),
    #[error("volume {0:?} is a secret with neither a value nor a reference")]
    NoSecret(String),
}

pub fn mounts(task: &v1::TaskInfo, places: Places<'_>) -> Result<Mounts, VolumeError> {
    if task
        .resources
        .iter()
        .any(|r| r.disk.as_ref().is_some_and(|d| d.persistence.is_some()))
    {
        return Err(VolumeError::Unsupported("a persistent volume"));
    }
    let mut mounts = Mounts::default();
    let Some(container) = &task.container else {
        return Ok(mounts);
    };
    refuse_unsupported(container)?;
    for volume in &container.volumes {
        add(volume, places, &mut mounts)?;
    }
    Ok(mounts)
}

/// The image that a task wants as its file system; its name is empty for other kinds than Docker's.
pub fn image(task: &v1::TaskInfo) -> Option<&str> {
    let container = task.container.as_ref()?;
    let docker = container.docker.as_ref().map(|docker| &docker.image);
    if let Some(image) = docker.filter(|image| !image.is_empty()) {
        return Some(image);
    }
    let image = container.mesos.as_ref()?.image.as_ref()?;
    Some(image.docker.as_ref().map_or("", |docker| &docker.name))
}

/// A wish that would be ignored is refused: the task would run with more, or less, than it thinks.
fn refuse_unsupported(container: &v1::ContainerInfo) -> Result<(), VolumeError> {
    let docker = container.docker.clone().unwrap_or_default();
    let table = [
        (docker.privileged(), "docker.privileged"),
        (
            !docker.port_mappings.is_empty(),
            "a port mapping of Docker's",
        ),
    ];
    match table.iter().find(|(wanted, _)| *wanted) {
        Some((_, what)) => Err(VolumeError::Unsupported(what)),
        None => Ok(()),
    }
}

fn add(volume: &v1::Volume, places: Places<'_>, mounts: &mut Mounts) -> Result<(), VolumeError> {
    let target = PathBuf::from(&volume.container_path);
    if !(target.is_absolute() || is_below(&target)) {
        return Err(VolumeError::BadTarget(volume.container_path.clone()));
    }
    let bad_source = |path: &str, wanted| VolumeError::BadSource {
        container_path: volume.container_path.clone(),
        path: path.to_owned(),
        wanted,
    };
    let access = match volume.mode() {
        v1::volume::Mode::Rw => Access::ReadWrite,
        v1::volume::Mode::Ro => Access::ReadOnly,
    };
    let source = match (&volume.host_path, &volume.image, &volume.source) {
        (Some(path), None, None) if Path::new(path).is_absolute() => PathBuf::from(path),
        (Some(path), None, None) => in_sandbox(path, places.sandbox, mounts)
            .ok_or_else(|| bad_source(path, "absolute, or relative without \"..\""))?,
        (None, Some(image), None) => {
            mounts.images.push(OfImage {
                image: image.clone(),
                target,
                access,
            });
            return Ok(());
        }
        (None, None, Some(source)) => {
            match (source.r#type(), &source.host_path, &source.sandbox_path) {
                (SourceType::HostPath, Some(host), _) if Path::new(&host.path).is_absolute() => {
                    PathBuf::from(&host.path)
                }
                (SourceType::HostPath, host, _) => {
                    return Err(bad_source(
                        host.as_ref().map_or("", |h| &h.path),
                        "an absolute path",
                    ));
                }
                (SourceType::SandboxPath, _, Some(own)) if own.r#type() == OwnType::Self_ => {
                    in_sandbox(&own.path, places.sandbox, mounts)
                        .ok_or_else(|| bad_source(&own.path, "relative without \"..\""))?
                }
                (SourceType::SandboxPath, _, Some(shared))
                    if shared.r#type() == OwnType::Parent =>
                {
                    let Some(parent) = places.parent else {
                        return Err(VolumeError::Unsupported(
                            "a volume of a parent's sandbox, which only a task of a group has,",
                        ));
                    };
                    in_parent(&shared.path, parent, mounts).ok_or_else(|| {
                        bad_source(
                            &shared.path,
                            "one name, and not that of what is in a sandbox",
                        )
                    })?
                }
                (SourceType::SandboxPath, ..) => {
                    return Err(bad_source("", "a sandbox_path of a known type"));
                }
                (SourceType::DockerVolume, ..) => {
                    return Err(VolumeError::Unsupported(
                        "a volume of a Docker volume driver",
                    ));
                }
                (SourceType::Secret, ..) => {
                    let data = Hidden::of(source)
                        .ok_or_else(|| VolumeError::NoSecret(volume.container_path.clone()))?;
                    let file = SecretFiles::file(places.secrets, mounts.secrets.len());
                    mounts.secrets.push(data);
                    // Whatever the volume says: nobody keeps what is written to it.
                    mounts.volumes.push(Volume {
                        source: file,
                        target,
                        access: Access::ReadOnly,
                    });
                    return Ok(());
                }
                (SourceType::CsiVolume, ..) => {
                    return Err(VolumeError::Unsupported("a CSI volume"));
                }
                (SourceType::Unknown, ..) => {
                    return Err(VolumeError::Unsupported(
                        "a volume source without a known type",
                    ));
                }
            }
        }
        (None, None, None)
        | (Some(_), Some(_), _)
        | (Some(_), _, Some(_))
        | (_, Some(_), Some(_)) => {
            return Err(VolumeError::Sources {
                container_path: volume.container_path.clone(),
            });
        }
    };
    mounts.volumes.push(Volume {
        source,
        target,
        access,
    });
    Ok(())
}

fn in_sandbox(path: &str, sandbox: &Path, mounts: &mut Mounts) -> Option<PathBuf> {
    let path = Path::new(path);
    is_below(path).then(|| {
        mounts.sandbox_directories.push(path.to_owned());
        sandbox.join(path)
    })
}

/// Only the agent can change what is directly in there; further below the tasks could have put links.
fn in_parent(name: &str, parent: &Path, mounts: &mut Mounts) -> Option<PathBuf> {
    let path = Path::new(name);
    let is_one = is_below(path) && path.components().count() == 1;
    let is_free = !RESERVED.iter().any(|reserved| name.starts_with(reserved));
    (is_one && is_free).then(|| {
        let directory = parent.join(path);
        mounts.shared_directories.push(directory.clone());
        directory
    })
}

/// Names something inside the directory it is relative to.
fn is_below(path: &Path) -> bool {
    path.components().next().is_some()
        && path.components().all(|c| matches!(c, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(host_path: &str, container_path: &str) -> v1::Volume {
        v1::Volume {
            host_path: Some(host_path.into()),
            container_path: container_path.into(),
            mode: v1::volume::Mode::Ro as i32,
            ..Default::default()
        }
    }

    fn mounts_of(container: v1::ContainerInfo) -> Result<Mounts, VolumeError> {
        let task = v1::TaskInfo {
            container: Some(container),
            ..Default::default()
        };
        let places = Places {
            sandbox: Path::new("/p/containers/s"),
            parent: Some(Path::new("/p")),
            secrets: Path::new("/run/secrets/c"),
        };
        mounts(&task, places)
    }

    fn mounts_for(volume: v1::Volume) -> Result<Mounts, VolumeError> {
        mounts_of(v1::ContainerInfo {
            volumes: vec![volume],
            ..Default::default()
        })
    }

    #[test]
    fn a_host_path_is_mounted_as_asked() {
        assert_eq!(
            mounts_for(volume("/etc", "conf/etc")).unwrap().volumes,
            [Volume {
                source: "/etc".into(),
                target: "conf/etc".into(),
                access: Access::ReadOnly
            }]
        );
    }

    #[test]
    fn a_relative_host_path_is_a_directory_of_the_sandbox() {
        let mounts = mounts_for(volume("cache/a", "/var/cache")).unwrap();
        assert_eq!(mounts.sandbox_directories, [Path::new("cache/a")]);
        assert_eq!(
            mounts.volumes[0].source,
            Path::new("/p/containers/s/cache/a")
        );
    }

    #[test]
    fn each_secret_is_a_file_that_is_only_read() {
        let secret = |value: Option<&str>, path: &str| v1::Volume {
            container_path: path.into(),
            mode: v1::volume::Mode::Rw as i32,
            source: Some(v1::volume::Source {
                r#type: Some(SourceType::Secret as i32),
                secret: Some(v1::Secret {
                    value: value.map(|text| v1::secret::Value { data: text.into() }),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let volumes = vec![secret(Some("a"), "/etc/a"), secret(Some("b"), "b")];
        let found = mounts_of(v1::ContainerInfo {
            volumes,
            ..Default::default()
        });
        let found = found.unwrap();
        assert_eq!(found.secrets, ["a", "b"].map(|text| Hidden(text.into())));
        let shown = |number: usize, target: &str| Volume {
            source: format!("/run/secrets/c/{number}").into(),
            target: target.into(),
            access: Access::ReadOnly,
        };
        assert_eq!(found.volumes, [shown(0, "/etc/a"), shown(1, "b")]);
        let refused = mounts_for(secret(None, "/a")).unwrap_err();
        assert_eq!(refused, VolumeError::NoSecret("/a".into()));
    }

    #[test]
    fn an_image_is_left_to_who_pulls_it() {
        let image = v1::Image {
            docker: Some(v1::image::Docker {
                name: "tools".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let found = mounts_for(v1::Volume {
            container_path: "/opt".into(),
            mode: v1::volume::Mode::Ro as i32,
            image: Some(image.clone()),
            ..Default::default()
        });
        let wanted = OfImage {
            image,
            target: "/opt".into(),
            access: Access::ReadOnly,
        };
        assert_eq!(found.unwrap().images, [wanted]);
    }

    #[test]
    fn paths_that_leave_the_sandbox_are_refused() {
        for (host, container) in [("/etc", "../x"), ("../x", "/y"), ("/etc", ""), ("", "/y")] {
            assert!(
                mounts_for(volume(host, container)).is_err(),
                "{host} {container}"
            );
        }
    }

    #[test]
    fn tasks_of_a_group_share_directories_of_their_executors_sandbox() {
        let shared = |path: &str| v1::Volume {
            container_path: "shared".into(),
            mode: v1::volume::Mode::Rw as i32,
            source: Some(v1::volume::Source {
                r#type: Some(SourceType::SandboxPath as i32),
                sandbox_path: Some(v1::volume::source::SandboxPath {
                    r#type: Some(OwnType::Parent as i32),
                    path: path.into(),
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let found = mounts_for(shared("data")).unwrap();
        assert_eq!(found.volumes[0].source, Path::new("/p/data"));
        assert_eq!(found.shared_directories, [Path::new("/p/data")]);
        for bad in ["", "..", "/etc", "a/b", "containers", "stdout.1", "."] {
            assert!(mounts_for(shared(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_container_without_an_image_just_runs() {
        for kind in [
            v1::container_info::Type::Docker,
            v1::container_info::Type::Mesos,
        ] {
            let container = v1::ContainerInfo {
                r#type: kind as i32,
                ..Default::default()
            };
            assert_eq!(mounts_of(container), Ok(Mounts::default()));
        }
    }
}
