//! The volumes of a container.

use serde_json::{Map, Value};

#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    pub container_path: String,
    pub mode: Mode,
    pub source: VolumeSource,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    ReadOnly,
    ReadWrite,
}

#[derive(Debug, Clone, PartialEq)]
pub enum VolumeSource {
    /// A file or directory of the agent's host.
    Host {
        host_path: String,
    },
    Persistent(Persistent),
    External(External),
    /// Name of one of the app's secrets.
    Secret {
        secret: String,
    },
}

/// Disk that stays reserved for an instance between its tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Persistent {
    pub disk: DiskKind,
    /// MiB, more than 0.
    pub size: f64,
    /// MiB, only for `Mount`, more than `size`.
    pub max_size: Option<f64>,
    pub profile_name: Option<String>,
    /// Triples like `["path", "LIKE", "/mnt/.*"]`.
    pub constraints: Vec<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskKind {
    Root,
    Path,
    Mount,
}

/// A volume that a driver beside the agent provides.
#[derive(Debug, Clone, PartialEq)]
pub struct External {
    pub name: String,
    /// `dvdi` or `csi`.
    pub provider: String,
    /// GiB.
    pub size: Option<f64>,
    pub shared: Option<bool>,
    /// Words of the provider; ours only to pass on.
    pub options: Map<String, Value>,
}
