//! What an operator says of all fetches.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::download::S3;
use crate::policy::Policy;

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Settings {
    pub policy: Policy,
    /// Longest wait for bytes from a server.
    pub stall_timeout: Duration,
    /// Authorities in PEM that are trusted beside the usual ones.
    pub ca_file: Option<PathBuf>,
    pub s3: S3,
    /// As ~/.aws/credentials, read by the agent's user: who asks a store where `s3` does not say it.
    pub s3_credentials_file: Option<PathBuf>,
    /// Of that file.
    pub s3_profile: String,
    /// Who one is on which host, as in ~/.netrc. The agent's user reads it, and it counts for all tasks.
    pub netrc_file: Option<PathBuf>,
    /// Name nodes that are one service together, by its name.
    pub name_services: BTreeMap<String, Vec<String>>,
    /// For all of a fetch.
    pub time_limit: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            // As Mesos' --fetcher_stall_timeout.
            stall_timeout: Duration::from_secs(60),
            ca_file: None,
            s3: S3::default(),
            s3_credentials_file: None,
            s3_profile: "default".to_owned(),
            netrc_file: None,
            name_services: BTreeMap::new(),
            time_limit: None,
        }
    }
}
