//! What one call of `longshore oci` leaves of a container for the next, and for an audit.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::identity::Identity;

/// On a tmpfs, like the kernel objects that are recorded there: a directory for each container.
pub const ROOT: &str = "/run/longshore-oci";

/// In that directory from the container's first process on.
pub const STATE: &str = "state.json";

/// The contents of `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    pub oci_version: String,
    pub process: Identity,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// RFC 3339.
    pub created: String,
    pub annotations: BTreeMap<String, String>,
    /// Below each mount of a hierarchy.
    pub cgroup: PathBuf,
}

impl Stored {
    /// Of the directory of a container; `None` while it is being made, and when that was cut off. Blocks.
    pub fn read(directory: &Path) -> io::Result<Option<Stored>> {
        match fs::read(directory.join(STATE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
