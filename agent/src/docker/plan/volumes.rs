//! What a container sees of the host, of its sandbox and of volume drivers. Pure.
//!
//! Source: spec/mesos-agent.md sections 19 and 24.

use std::path::{Component, Path, PathBuf};

use engine::{DriverConfig, Mount, VolumeOptions};
use proto::v1;
use proto::v1::volume::source::Type as SourceType;
use proto::v1::volume::source::sandbox_path::Type as OwnType;

use crate::secrets::{Hidden, SecretFiles};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadVolume {
    #[error("{0} is not supported with a Docker Engine: remove it from the task's \"container\"")]
    Unsupported(&'static str),
    #[error("volume {container_path:?} has the source {path:?}, which must be {wanted}")]
    Source {
        container_path: String,
        path: String,
        wanted: &'static str,
    },
    #[error(
        "volume has container_path {0:?}: it must be absolute, or relative without \"..\" and not empty"
    )]
    Target(String),
    #[error("volume {0:?} is a secret with neither a value nor a reference")]
    NoSecret(String),
    #[error("volume {0:?} is relative on both sides: name an absolute host_path or container_path")]
    BothRelative(String),
}

/// Where a sandbox is, and where the container's secrets will be files.
#[derive(Debug, Clone, Copy)]
pub struct Sandbox<'a> {
    pub outside: &'a Path,
    pub inside: &'a Path,
    pub secrets: &'a Path,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Volumes {
    pub binds: Vec<String>,
    pub mounts: Vec<Mount>,
    /// To be made in the sandbox first, relative to it.
    pub directories: Vec<PathBuf>,
    /// What is in the files that mounts show, in their order.
    pub secrets: Vec<Hidden>,
}

/// The sandbox is the first.
pub fn volumes(
    container: &v1::ContainerInfo,
    driver: Option<&str>,
    sandbox: Sandbox<'_>,
) -> Result<Volumes, BadVolume> {
    let mut volumes = Volumes::default();
    let whole = |path: &Path| path.display().to_string();
    volumes.mounts.push(Mount {
        kind: "bind",
        source: whole(sandbox.outside),
        target: whole(sandbox.inside),
        read_only: false,
        tmpfs_options: None,
        volume_options: None,
    });
    for volume in &container.volumes {
        add(volume, driver, sandbox, &mut volumes)?;
    }
    Ok(volumes)
}

fn add(
    volume: &v1::Volume,
    driver: Option<&str>,
    sandbox: Sandbox<'_>,
    volumes: &mut Volumes,
) -> Result<(), BadVolume> {
    let container_path = volume.container_path.clone();
    let path = Path::new(&container_path);
    if !(path.is_absolute() || is_below(path)) {
        return Err(BadVolume::Target(container_path));
    }
    let target = sandbox.inside.join(path).display().to_string();
    let read_only = volume.mode() == v1::volume::Mode::Ro;
    let bad = |path: &str, wanted| BadVolume::Source {
        container_path: container_path.clone(),
        path: path.to_owned(),
        wanted,
    };
    if volume.image.is_some() {
        return Err(BadVolume::Unsupported("an image volume"));
    }
    let (source, may_be_relative) = match (&volume.host_path, &volume.source) {
        (Some(path), None) => (path.as_str(), true),
        (None, Some(source)) => match (source.r#type(), source) {
            (
                SourceType::HostPath,
                v1::volume::Source {
                    host_path: Some(host),
                    ..
                },
            ) => (host.path.as_str(), false),
            (
                SourceType::SandboxPath,
                v1::volume::Source {
                    sandbox_path: Some(own),
                    ..
                },
            ) if own.r#type() == OwnType::Self_ => {
                let path = Path::new(&own.path);
                if !is_below(path) {
                    return Err(bad(&own.path, "relative without \"..\""));
                }
                (own.path.as_str(), true)
            }
            (
                SourceType::DockerVolume,
                v1::volume::Source {
                    docker_volume: Some(named),
                    ..
                },
            ) => {
                let options = named.driver_options.iter().flat_map(|it| &it.parameter);
                let options = options.map(|it| (it.key.clone(), it.value.clone()));
                let driver = named.driver.as_deref().or(driver);
                volumes.mounts.push(Mount {
                    kind: "volume",
                    source: named.name.clone(),
                    target,
                    read_only,
                    tmpfs_options: None,
                    volume_options: Some(VolumeOptions {
                        driver_config: DriverConfig {
                            name: driver.unwrap_or_default().to_owned(),
                            options: options.collect(),
                        },
                    }),
                });
                return Ok(());
            }
            (SourceType::Secret, source) => {
                let data = Hidden::of(source).ok_or(BadVolume::NoSecret(container_path))?;
                let file = SecretFiles::file(sandbox.secrets, volumes.secrets.len());
                volumes.secrets.push(data);
                volumes.mounts.push(Mount {
                    kind: "bind",
                    source: file.display().to_string(),
                    target,
                    read_only: true,
                    tmpfs_options: None,
                    volume_options: None,
                });
                return Ok(());
            }
            (SourceType::CsiVolume, _) => return Err(BadVolume::Unsupported("a CSI volume")),
            _ => return Err(BadVolume::Unsupported("a volume of that source")),
        },
        // An anonymous volume, which goes with the container.
        (None, None) => ("", true),
        (Some(_), Some(_)) => return Err(bad("", "said in one way")),
    };
    if source.is_empty() {
        let bind = match read_only {
            true => return Err(bad("", "given for a volume that is read-only")),
            false => Mount {
                kind: "volume",
                source: String::new(),
                target,
                read_only,
                tmpfs_options: None,
                volume_options: None,
            },
        };
        volumes.mounts.push(bind);
        return Ok(());
    }
    let named = Path::new(source);
    let source = match (named.is_absolute(), may_be_relative) {
        (true, _) => named.to_owned(),
        (false, false) => return Err(bad(source, "an absolute path")),
        (false, true) if !is_below(named) => {
            return Err(bad(source, "absolute, or relative without \"..\""));
        }
        (false, true) if !path.is_absolute() => {
            return Err(BadVolume::BothRelative(container_path));
        }
        (false, true) => {
            volumes.directories.push(named.to_owned());
            sandbox.outside.join(named)
        }
    };
    let source = source.display().to_string();
    if source.contains(':') || target.contains(':') {
        return Err(bad(&source, "without a colon, on both sides"));
    }
    let mode = if read_only { "ro" } else { "rw" };
    volumes.binds.push(format!("{source}:{target}:{mode}"));
    Ok(())
}

/// Names something inside the directory it is relative to.
fn is_below(path: &Path) -> bool {
    path.components().next().is_some()
        && path.components().all(|c| matches!(c, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(volume: v1::Volume) -> Result<Volumes, BadVolume> {
        let container = v1::ContainerInfo {
            volumes: vec![volume],
            ..Default::default()
        };
        let sandbox = Sandbox {
            outside: Path::new("/s"),
            inside: Path::new("/mnt/mesos/sandbox"),
            secrets: Path::new("/run/secrets/c"),
        };
        volumes(&container, None, sandbox)
    }

    fn volume(host: &str, inside: &str) -> v1::Volume {
        v1::Volume {
            host_path: Some(host.into()),
            container_path: inside.into(),
            mode: v1::volume::Mode::Ro as i32,
            ..Default::default()
        }
    }

    #[test]
    fn a_path_of_the_host_is_bound_and_the_sandbox_is_always_there() {
        let table = [
            ("/etc", "/conf", "/etc:/conf:ro", None),
            ("/etc", "conf", "/etc:/mnt/mesos/sandbox/conf:ro", None),
            (
                "cache/a",
                "/var/cache",
                "/s/cache/a:/var/cache:ro",
                Some("cache/a"),
            ),
        ];
        for (host, inside, bind, directory) in table {
            let found = found(volume(host, inside)).unwrap();
            assert_eq!(found.binds, [bind]);
            assert_eq!(found.mounts[0].source, "/s");
            assert_eq!(found.mounts[0].target, "/mnt/mesos/sandbox");
            let directory: Vec<_> = directory.into_iter().map(PathBuf::from).collect();
            assert_eq!(found.directories, directory);
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for (host, inside) in [
            ("a", "b"),
            ("../a", "/b"),
            ("/a", "../b"),
            ("/a", ""),
            ("/a:b", "/c"),
        ] {
            assert!(found(volume(host, inside)).is_err(), "{host} {inside}");
        }
    }

    #[test]
    fn a_secret_is_a_file_that_is_bound_and_only_read() {
        let found = found(v1::Volume {
            container_path: "key".into(),
            mode: v1::volume::Mode::Rw as i32,
            source: Some(v1::volume::Source {
                r#type: Some(SourceType::Secret as i32),
                secret: Some(v1::Secret {
                    value: Some(v1::secret::Value { data: "k".into() }),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        });
        let found = found.unwrap();
        assert_eq!(found.secrets, [Hidden("k".into())]);
        let mount = &found.mounts[1];
        assert_eq!(
            (mount.kind, mount.source.as_str(), mount.read_only),
            ("bind", "/run/secrets/c/0", true)
        );
        assert_eq!(mount.target, "/mnt/mesos/sandbox/key");
    }

    #[test]
    fn a_volume_of_a_driver_is_the_engines() {
        let source = v1::volume::Source {
            r#type: Some(SourceType::DockerVolume as i32),
            docker_volume: Some(v1::volume::source::DockerVolume {
                driver: Some("rexray".into()),
                name: "data".into(),
                driver_options: Some(v1::Parameters {
                    parameter: vec![v1::Parameter {
                        key: "size".into(),
                        value: "5".into(),
                    }],
                }),
            }),
            ..Default::default()
        };
        let found = found(v1::Volume {
            source: Some(source),
            container_path: "/data".into(),
            mode: v1::volume::Mode::Rw as i32,
            ..Default::default()
        })
        .unwrap();
        let mount = &found.mounts[1];
        assert_eq!(
            (mount.kind, mount.source.as_str(), mount.read_only),
            ("volume", "data", false)
        );
        let driver = &mount.volume_options.as_ref().unwrap().driver_config;
        assert_eq!(
            (driver.name.as_str(), driver.options["size"].as_str()),
            ("rexray", "5")
        );
    }
}
