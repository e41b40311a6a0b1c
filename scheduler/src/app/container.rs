//! The container of an app.

use super::ports::PortMapping;
use super::volumes::{Volume, VolumeSource};

#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    pub kind: ContainerKind,
    /// Always there for `Docker`.
    pub docker: Option<Docker>,
    pub volumes: Vec<Volume>,
    /// Empty in host networking.
    pub port_mappings: Vec<PortMapping>,
    pub linux_info: Option<LinuxInfo>,
}

/// Who runs the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerKind {
    /// As Docker would; an image is required.
    Docker,
    /// The native containerizer; an image is optional.
    Mesos,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docker {
    pub image: String,
    pub force_pull_image: bool,
    pub privileged: bool,
    /// Options of `docker run`, in order; a key may repeat.
    pub parameters: Vec<(String, String)>,
    /// Name of the app's secret that holds the registry's credentials.
    pub pull_secret: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinuxInfo {
    pub seccomp: Option<Seccomp>,
    pub ipc: Option<Ipc>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seccomp {
    Unconfined,
    Profile(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipc {
    pub mode: IpcMode,
    /// Size of /dev/shm in MiB.
    pub shm_size: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpcMode {
    Private,
    ShareParent,
}

impl Container {
    /// A native container of which only ports or volumes are known yet.
    pub fn native() -> Container {
        Container {
            kind: ContainerKind::Mesos,
            docker: None,
            volumes: Vec::new(),
            port_mappings: Vec::new(),
            linux_info: None,
        }
    }

    pub fn has_persistent_volume(&self) -> bool {
        self.volumes
            .iter()
            .any(|v| matches!(v.source, VolumeSource::Persistent(_)))
    }

    /// A volume that only one agent can attach at a time.
    pub fn has_exclusive_external_volume(&self) -> bool {
        self.volumes.iter().any(|v| match &v.source {
            VolumeSource::External(external) => external.shared != Some(true),
            VolumeSource::Host { .. }
            | VolumeSource::Persistent(_)
            | VolumeSource::Secret { .. } => false,
        })
    }
}
