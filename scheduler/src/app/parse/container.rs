//! Reads `container`, in its forms of all ages.

use std::collections::BTreeMap;

use super::docker_words::{self, DockerWords};
use super::reader::{At, Fields, Read};
use crate::app::container::{Container, ContainerKind, Docker, Ipc, IpcMode, LinuxInfo, Seccomp};
use crate::app::ports::{PortMapping, Protocol};
use crate::app::volumes::{DiskKind, External, Mode, Persistent, Volume, VolumeSource};

/// A container as written, with the parts that say something about the network still apart.
#[derive(Debug)]
pub(super) struct ContainerForm {
    pub container: Container,
    /// `container.portMappings` or `docker.portMappings`.
    pub port_mappings: Option<Vec<PortMapping>>,
    /// `docker.network`.
    pub network: Option<LegacyNetwork>,
    /// Environment from docker-run words.
    pub env: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LegacyNetwork {
    Bridge,
    Host,
    User,
    None,
}

impl Read for ContainerForm {
    fn read(at: &At<'_>) -> Option<ContainerForm> {
        let fields = at.object()?;
        let docker_fields = fields.object("docker");
        let words: DockerWords = docker_words::parse(&fields.list::<String>("options"));
        let docker = match &docker_fields {
            Some(docker) => docker_of(docker),
            None => fields
                .optional("image")
                .map(|image: String| bare_image(&image)),
        };
        let docker = docker.map(|mut docker| {
            docker.parameters.extend(words.parameters);
            docker
        });
        let usual_kind = match docker_fields.is_some() || docker.is_some() {
            true => ContainerKind::Docker,
            false => ContainerKind::Mesos,
        };
        let kind = fields.or("type", usual_kind);
        if kind == ContainerKind::Docker && docker_fields.is_none() && docker.is_none() {
            fields.missing("docker");
        }
        let mut volumes: Vec<Volume> = fields.list("volumes");
        volumes.extend(words.volumes);
        let network = docker_fields
            .as_ref()
            .and_then(|docker| docker.optional("network"));
        Some(ContainerForm {
            port_mappings: port_mappings(&fields, docker_fields.as_ref()),
            network: network.or(words.network),
            env: words.env,
            container: Container {
                kind,
                docker,
                volumes,
                port_mappings: Vec::new(),
                linux_info: fields.optional("linuxInfo"),
            },
        })
    }
}

fn docker_of(fields: &Fields<'_>) -> Option<Docker> {
    let pull_config = fields.object("pullConfig");
    Some(Docker {
        image: fields.required("image")?,
        force_pull_image: fields.or("forcePullImage", false),
        privileged: fields.or("privileged", false),
        parameters: fields
            .list::<Parameter>("parameters")
            .into_iter()
            .map(|p| p.0)
            .collect(),
        pull_secret: pull_config.and_then(|config| config.required("secret")),
    })
}

fn bare_image(image: &str) -> Docker {
    Docker {
        image: image.strip_prefix("docker:///").unwrap_or(image).to_owned(),
        force_pull_image: false,
        privileged: false,
        parameters: Vec::new(),
        pull_secret: None,
    }
}

fn port_mappings(fields: &Fields<'_>, docker: Option<&Fields<'_>>) -> Option<Vec<PortMapping>> {
    let upper: Option<Vec<PortMapping>> = fields.optional("portMappings");
    let lower: Option<Vec<PortMapping>> = docker.and_then(|d| d.optional("portMappings"));
    match (upper, lower) {
        (Some(upper), Some(lower)) => {
            if upper != lower && !lower.is_empty() {
                fields.breaks(
                    "portMappings",
                    "must not specify both container.portMappings and \
                     container.docker.portMappings",
                );
            }
            Some(upper)
        }
        (upper, lower) => upper.or(lower),
    }
}

struct Parameter((String, String));

impl Read for Parameter {
    fn read(at: &At<'_>) -> Option<Parameter> {
        let fields = at.object()?;
        let key = fields.required("key");
        let value = match fields.get("value") {
            Some(value) => value.text(),
            None => fields.required("value"),
        };
        Some(Parameter((key?, value?)))
    }
}

impl Read for ContainerKind {
    fn read(at: &At<'_>) -> Option<ContainerKind> {
        at.word(&[
            ("DOCKER", ContainerKind::Docker),
            ("MESOS", ContainerKind::Mesos),
        ])
    }
}

impl Read for LegacyNetwork {
    fn read(at: &At<'_>) -> Option<LegacyNetwork> {
        at.word(&[
            ("BRIDGE", LegacyNetwork::Bridge),
            ("HOST", LegacyNetwork::Host),
            ("USER", LegacyNetwork::User),
            ("NONE", LegacyNetwork::None),
        ])
    }
}

impl Read for PortMapping {
    fn read(at: &At<'_>) -> Option<PortMapping> {
        let fields = at.object()?;
        Some(PortMapping {
            container_port: fields.or("containerPort", 0),
            host_port: fields.optional("hostPort"),
            service_port: fields.or("servicePort", 0),
            protocol: fields.or("protocol", Protocol::Tcp),
            name: fields.optional("name"),
            labels: fields.map("labels"),
            network_names: fields.list("networkNames"),
        })
    }
}

impl Read for Protocol {
    fn read(at: &At<'_>) -> Option<Protocol> {
        at.word(&[
            ("tcp", Protocol::Tcp),
            ("udp", Protocol::Udp),
            ("udp,tcp", Protocol::UdpTcp),
            ("tcp,udp", Protocol::UdpTcp),
        ])
    }
}

impl Read for Volume {
    fn read(at: &At<'_>) -> Option<Volume> {
        let fields = at.object()?;
        let container_path = fields.required("containerPath");
        let kinds = ["hostPath", "persistent", "external", "secret"];
        let source = match kinds.map(|kind| fields.has(kind)) {
            [_, false, false, false] => fields
                .required("hostPath")
                .map(|host_path| VolumeSource::Host { host_path }),
            [false, true, false, false] => {
                fields.required("persistent").map(VolumeSource::Persistent)
            }
            [false, false, true, false] => fields.required("external").map(VolumeSource::External),
            [false, false, false, true] => fields
                .required("secret")
                .map(|secret| VolumeSource::Secret { secret }),
            _ => at.breaks("a volume is exactly one of hostPath, persistent, external or secret"),
        };
        let usual_mode = match source {
            Some(VolumeSource::Secret { .. }) => Mode::ReadOnly,
            _ => Mode::ReadWrite,
        };
        let mode = fields.or("mode", usual_mode);
        Some(Volume {
            container_path: container_path?,
            mode,
            source: source?,
        })
    }
}

impl Read for Mode {
    fn read(at: &At<'_>) -> Option<Mode> {
        at.word(&[
            ("RW", Mode::ReadWrite),
            ("RO", Mode::ReadOnly),
            // With a zero, as a much copied slide spells it.
            ("R0", Mode::ReadOnly),
        ])
    }
}

impl Read for Persistent {
    fn read(at: &At<'_>) -> Option<Persistent> {
        let fields = at.object()?;
        let profile_name: Option<String> = fields.optional("profileName");
        let usual = if profile_name.is_some() {
            DiskKind::Mount
        } else {
            DiskKind::Root
        };
        Some(Persistent {
            disk: fields.or("type", usual),
            size: fields.required("size")?,
            max_size: fields.optional("maxSize"),
            profile_name,
            constraints: fields.list("constraints"),
        })
    }
}

impl Read for DiskKind {
    fn read(at: &At<'_>) -> Option<DiskKind> {
        at.word(&[
            ("root", DiskKind::Root),
            ("path", DiskKind::Path),
            ("mount", DiskKind::Mount),
        ])
    }
}

impl Read for External {
    fn read(at: &At<'_>) -> Option<External> {
        let fields = at.object()?;
        let options = match fields.get("options") {
            Some(options) => {
                options.object()?;
                options.value.as_object().cloned().unwrap_or_default()
            }
            None => serde_json::Map::new(),
        };
        Some(External {
            name: fields.required("name")?,
            provider: fields.required("provider")?,
            size: fields.optional("size"),
            shared: fields.optional("shared"),
            options,
        })
    }
}

impl Read for LinuxInfo {
    fn read(at: &At<'_>) -> Option<LinuxInfo> {
        let fields = at.object()?;
        let seccomp = fields.object("seccomp").and_then(|seccomp| {
            match (
                seccomp.or("unconfined", false),
                seccomp.optional("profileName"),
            ) {
                (true, None) => Some(Seccomp::Unconfined),
                (false, profile) => profile.map(Seccomp::Profile),
                (true, Some(_)) => {
                    seccomp.breaks("profileName", "must not be set when unconfined is true");
                    None
                }
            }
        });
        let ipc = fields.object("ipcInfo").map(|ipc| Ipc {
            mode: ipc.or("mode", IpcMode::Private),
            shm_size: ipc.optional("shmSize"),
        });
        Some(LinuxInfo { seccomp, ipc })
    }
}

impl Read for IpcMode {
    fn read(at: &At<'_>) -> Option<IpcMode> {
        at.word(&[
            ("PRIVATE", IpcMode::Private),
            ("SHARE_PARENT", IpcMode::ShareParent),
        ])
    }
}
