//! What agent and child tell each other: one order to the child's stdin, lines from its stdout.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::Request;
use crate::cache::Validators;
use crate::settings::Settings;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Order<'a> {
    #[serde(flatten)]
    pub request: Cow<'a, Request>,
    /// Bytes that everything fetched and unpacked may take together.
    #[serde(default)]
    pub disk_limit: Option<u64>,
    pub settings: Cow<'a, Settings>,
    /// For each URI, what the cache has to do with it.
    pub cached: Vec<Option<Cached>>,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Cached {
    /// Where the file goes if it has to be fetched.
    pub fill: PathBuf,
    pub kept: Option<Kept>,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Kept {
    pub path: PathBuf,
    pub validators: Validators,
    /// There is no need to ask whether it is still the same, or no way to.
    pub fresh: bool,
}

/// A line from the child. The agent believes it only what concerns the child's own user.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// What the cache had was wanted.
    Kept { index: usize },
    /// The file for the cache is whole.
    Filled {
        index: usize,
        content: String,
        length: u64,
        validators: Validators,
    },
    /// Bytes that came from servers so far, and how many will have in the end.
    Progress { bytes: u64, total: Option<u64> },
    /// The last word.
    Failed(String),
}
