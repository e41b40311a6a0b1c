//! Fetcher: URIs into a sandbox.
//!
//! Invariant: no downloaded byte is trusted, and nothing is written outside the sandbox. The work
//! happens in a child process that runs as the task's user: `fetch` starts it, `child_main` is its
//! body.
//!
//! ```text
//!  agent ── fetch ──► child_main ── plan ──► items ──► download ──► verify ─┬─► place
//!           (parent)  (child)      (pure)      several at a time              └─► archive ──► beneath
//! ```
//! Downloads run beside each other; what becomes of them happens in the order of the URIs.
//! With a `cache` the agent's side says which file of it is wanted or to be filled.
//!
//! Every write goes through `beneath`, which holds the sandbox as a descriptor, and is counted by
//! `budget`. `confine` bounds what the child may use and hold, whatever a parser does.
#![forbid(unsafe_code)]

mod archive;
mod beneath;
mod budget;
mod cache;
mod checksum;
mod child;
mod confine;
mod download;
mod fragment;
mod growth;
mod log;
mod netrc;
mod order;
mod parent;
mod plan;
mod policy;
mod progress;
pub mod properties;
mod redirect;
mod settings;

use std::path::PathBuf;

use proto::redact::redacted;

pub use archive::{Codec, Damaged, codec_of, decoder, entries};
pub use cache::{Cache, CacheError, Figures};
pub use child::{child_main, exit_with_parent};
pub use confine::{Trade, cage, confine, leave_keyring, limit_files};
pub use download::{Resolver, S3, S3Credentials};
pub use parent::{FetchError, Fetcher, HelperError};
pub use policy::{Forbidden, Policy};
pub use progress::{Fetched, Progress};
pub use redirect::{RefusedRedirect, policy as redirects};
pub use settings::Settings;

/// One file to fetch. Semantics: spec/mesos-agent.md section 16.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Uri {
    pub value: String,
    pub executable: bool,
    /// Unset, what has the name of an archive is unpacked; forced, also what is one by its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extract: Option<bool>,
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
    /// Programs may be links to files of the cache, which are root's: whoever runs them can neither become
    /// root nor act on files without regard of their owners.
    #[serde(default)]
    pub links: bool,
    /// How the task itself reaches a store, and as whom; what it does not say is as for all.
    #[serde(default)]
    pub store: Option<S3>,
}

impl Request {
    /// What it fetches, for who is told that it failed as a whole: as others may read it, and the first few.
    pub fn named(&self) -> String {
        const MOST: usize = 3;
        let shown = |uri: &Uri| format!("'{}'", redacted(&uri.value).escape_debug());
        let first: Vec<String> = self.uris.iter().take(MOST).map(shown).collect();
        match self.uris.len().saturating_sub(MOST) {
            0 => first.join(", "),
            more => format!("{} and {more} more", first.join(", ")),
        }
    }
}

/// An error and its causes as one line: what the sandbox's log and the task's status show.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
