//! What an operator says of all fetches.

use std::path::PathBuf;
use std::time::Duration;

use crate::download::S3;
use crate::policy::Policy;

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    pub policy: Policy,
    /// Longest wait for bytes from a server.
    pub stall_timeout: Duration,
    /// Authorities in PEM that are trusted beside the usual ones.
    pub ca_file: Option<PathBuf>,
    pub s3: S3,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            // As Mesos' --fetcher_stall_timeout.
            stall_timeout: Duration::from_secs(60),
            ca_file: None,
            s3: S3::default(),
        }
    }
}
