//! Fetcher: URIs into a sandbox.
//!
//! Invariant: no downloaded byte is trusted, and nothing is written outside the sandbox. The work
//! happens in a child process that runs as the task's user: `fetch` starts it, `child_main` is its
//! body.
#![forbid(unsafe_code)]

use std::path::PathBuf;

/// One file to fetch. Semantics: spec/mesos-agent.md section 16.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Uri {
    pub value: String,
    pub executable: bool,
    pub extract: bool,
    pub cache: bool,
    /// File name relative to the sandbox, instead of the one derived from `value`.
    pub output_file: Option<PathBuf>,
}

/// Everything one container wants fetched, in order.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Request {
    pub uris: Vec<Uri>,
    pub sandbox: PathBuf,
    /// Uid, gid and supplementary groups the child runs as; ours when `None`.
    pub user: Option<(u32, u32, Vec<u32>)>,
    /// Prefix for relative paths.
    pub frameworks_home: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {}

/// Fetches everything or fails at the first URI that cannot be had; each step is a line in `log`
/// (the sandbox's stderr). `helper` is the program and arguments that end up in `child_main`.
/// Dropping the future ends the child.
pub async fn fetch(
    _helper: &[String],
    _request: &Request,
    _log: std::fs::File,
) -> Result<(), FetchError> {
    todo!()
}

/// Body of the child: reads a `Request` as JSON from stdin, writes its log to stderr. Returns the
/// exit code.
pub fn child_main() -> i32 {
    todo!()
}
