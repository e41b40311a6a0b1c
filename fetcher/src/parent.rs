//! The agent's side: starts the child, hands it the request, waits for the outcome.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::cache::{Cache, Entry, Key, Use};
use crate::confine::MEMORY_BYTES;
use crate::fragment::Wanted;
use crate::order::{self, Cached, Order, Said};
use crate::progress::{Fetched, Progress, UnderWay, Watched};
use crate::{Request, S3, Settings};

/// Longest line taken from the child: it handles bytes from elsewhere.
const LINE_BYTES: u64 = 16 << 10;

/// Variables of the agent that reach the child; its environment is empty otherwise. Only in lower
/// case: CGI programs find a request's "Proxy" header in HTTP_PROXY.
const PROXIES: &[&str] = &["http_proxy", "https_proxy", "all_proxy", "no_proxy"];

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The child's own words: the URI, what failed and how to mend it.
    #[error("{0}")]
    Failed(String),
    /// There are no such words.
    #[error("failed to fetch {uris}")]
    Helper { uris: String, source: HelperError },
}

#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    #[error("no fetch helper was named")]
    NoHelper,
    #[error("cannot start the fetch helper {program}")]
    Start { program: String, source: io::Error },
    #[error("cannot hand the request to the fetch helper")]
    HandOver(#[source] io::Error),
    #[error("cannot use the fetcher's cache")]
    Cache(#[source] io::Error),
    #[error("cannot wait for the fetch helper")]
    Wait(#[source] io::Error),
    /// Rust's allocator has no other way to end.
    #[error(
        "the fetch helper aborted, most likely because it needs more than the {} MiB of memory that \
         it may use: check that the archive is not damaged, or pack it as .tar.gz; more may stand \
         in the sandbox's stderr",
        MEMORY_BYTES >> 20
    )]
    Aborted,
    #[error("the fetch helper ended with {0} and gave no reason: see stderr in the sandbox")]
    Died(ExitStatus),
}

/// Fetches for tasks.
#[derive(Debug)]
pub struct Fetcher {
    /// The program and arguments that end up in `child_main`.
    helper: Vec<String>,
    settings: Settings,
    cache: Option<Arc<Cache>>,
    succeeded: AtomicU64,
    failed: AtomicU64,
    under_way: UnderWay,
}

impl Fetcher {
    pub fn new(helper: Vec<String>, settings: Settings, cache: Option<Arc<Cache>>) -> Self {
        Self {
            helper,
            settings,
            cache,
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            under_way: UnderWay::default(),
        }
    }

    pub fn cache(&self) -> Option<&Arc<Cache>> {
        self.cache.as_ref()
    }

    /// Fetches that succeeded, and those that failed.
    pub fn totals(&self) -> (u64, u64) {
        let load = |total: &AtomicU64| total.load(Ordering::Relaxed);
        (load(&self.succeeded), load(&self.failed))
    }

    /// Of the fetch that is under way into this sandbox.
    pub fn progress(&self, sandbox: &Path) -> Option<Progress> {
        self.under_way.of(sandbox)
    }

    /// Fetches everything or fails at the first URI that cannot be had; each step is a line in `log`
    /// (the sandbox's stderr). All of it may take `disk_limit` bytes.
    ///
    /// A URI that cannot be had leaves nothing of itself in the sandbox. Where the child is killed, which
    /// dropping the future does at once, or aborts, part of what was in progress stays: it goes with the
    /// sandbox, in which the caller must not start the task.
    pub async fn fetch(
        &self,
        request: &Request,
        disk_limit: Option<u64>,
        log: File,
    ) -> Result<Fetched, FetchError> {
        let begun = Instant::now();
        let watched = self.under_way.begin(&request.sandbox);
        let failure = match self.through_child(request, disk_limit, log, &watched).await {
            Ok(None) => {
                self.succeeded.fetch_add(1, Ordering::Relaxed);
                return Ok(Fetched {
                    files: request.uris.len(),
                    bytes: watched.bytes(),
                    taken: begun.elapsed(),
                });
            }
            Ok(Some(reason)) => FetchError::Failed(reason),
            Err(source) => FetchError::Helper {
                uris: request.named(),
                source,
            },
        };
        self.failed.fetch_add(1, Ordering::Relaxed);
        Err(failure)
    }

    /// Gives the reason that the child has told, if it failed.
    async fn through_child(
        &self,
        request: &Request,
        disk_limit: Option<u64>,
        log: File,
        watched: &Watched<'_>,
    ) -> Result<Option<String>, HelperError> {
        let mut uses = match &self.cache {
            Some(cache) => uses(cache, request).await.map_err(HelperError::Cache)?,
            None => request.uris.iter().map(|_| None).collect(),
        };
        let mut child = start(&self.helper, log)?;
        let order = Order {
            request: Cow::Borrowed(request),
            disk_limit,
            settings: Cow::Borrowed(&self.settings),
            cached: uses.iter().map(|used| used.as_ref().map(told)).collect(),
        };
        hand_over(&mut child, &order).await?;
        let mut reason = None;
        if let Some(stdout) = child.stdout.take() {
            let mut lines = BufReader::new(stdout);
            while let Some(said) = next(&mut lines).await.map_err(HelperError::Wait)? {
                match said {
                    Said::Failed(why) => reason = Some(why),
                    Said::Progress { bytes, total } => watched.told(bytes, total, Instant::now()),
                    said => self.heed(said, &mut uses).await,
                }
            }
        }
        let status = child.wait().await.map_err(HelperError::Wait)?;
        match reason {
            _ if status.success() => Ok(None),
            Some(reason) => Ok(Some(reason)),
            None if status.signal() == Some(nix::libc::SIGABRT) => Err(HelperError::Aborted),
            None => Err(HelperError::Died(status)),
        }
    }

    async fn heed(&self, said: Said, uses: &mut [Option<Use>]) {
        let Some(cache) = &self.cache else { return };
        match said {
            Said::Kept { .. } => cache.hit(),
            Said::Filled {
                index,
                content,
                length,
                validators,
            } => {
                let Some(mut used) = uses.get_mut(index).and_then(Option::take) else {
                    return;
                };
                let cache = Arc::clone(cache);
                let taken = tokio::task::spawn_blocking(move || {
                    cache.take(&mut used, Entry::new(content, length, validators))
                });
                // The task has its file all the same.
                if let Ok(Err(error)) = taken.await {
                    tracing::warn!(%error, "a fetched file cannot be kept in the cache");
                }
            }
            Said::Progress { .. } | Said::Failed(_) => {}
        }
    }
}

/// What each URI has to do with the cache, waiting for others who are just fetching the same.
async fn uses(cache: &Arc<Cache>, request: &Request) -> io::Result<Vec<Option<Use>>> {
    let uid = request.user.as_ref().map(|(uid, _, _)| *uid);
    let uid = uid.unwrap_or_else(|| nix::unistd::geteuid().as_raw());
    // In the order of the keys, so that no two fetches wait for each other. One that asks twice for the same
    // has it from the cache once.
    let mut wanted = BTreeMap::new();
    for (index, uri) in request.uris.iter().enumerate().filter(|(_, uri)| uri.cache) {
        // A checksum that is none is the child's to refuse.
        if let Ok(asked) = Wanted::of(uri.value.trim_start()) {
            let uri = key(&asked, request.store.as_ref());
            let key = Key { uid, uri };
            wanted.entry(key).or_insert((index, asked.checksum));
        }
    }
    let mut uses: Vec<Option<Use>> = request.uris.iter().map(|_| None).collect();
    for (key, (index, checksum)) in wanted {
        uses[index] = Some(cache.prepare(key, checksum.as_ref()).await?);
    }
    Ok(uses)
}

/// What is kept of a URI is told apart by what becomes of it; and a task that goes to a store of its own, or as
/// somebody of its own, shares nothing of that with others.
fn key(asked: &Wanted<'_>, store: Option<&S3>) -> String {
    let kind = if asked.unpacked { "#unpacked" } else { "" };
    let scheme = asked.uri.split_once("://").map(|(scheme, _)| scheme);
    let scheme = scheme.unwrap_or_default().to_ascii_lowercase();
    let is_of_store = matches!(scheme.as_str(), "s3" | "s3a" | "s3n");
    let store = store.filter(|_| is_of_store);
    let whose = store.map_or_else(String::new, |store| format!("#{}", store.digest()));
    format!("{}{kind}{whose}", asked.uri)
}

fn told(used: &Use) -> Cached {
    Cached {
        fill: used.fill.clone(),
        kept: used.kept.as_ref().map(|kept| order::Kept {
            path: kept.path.clone(),
            validators: kept.entry.validators.clone(),
            fresh: kept.proven || kept.entry.validators.are_none(),
        }),
    }
}

/// The next line that makes sense.
async fn next(lines: &mut BufReader<ChildStdout>) -> io::Result<Option<Said>> {
    loop {
        let mut line = Vec::new();
        let mut bounded = lines.take(LINE_BYTES);
        if bounded.read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        if let Ok(said) = serde_json::from_slice(&line) {
            return Ok(Some(said));
        }
    }
}

fn start(helper: &[String], log: File) -> Result<Child, HelperError> {
    let (program, arguments) = helper.split_first().ok_or(HelperError::NoHelper)?;
    Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(proxies(|name| std::env::var_os(name)))
        // Each arena of malloc's takes from what address space the child may have.
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        // The child becomes the task's user by itself: `Command` has no supplementary groups.
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| HelperError::Start {
            program: program.clone(),
            source,
        })
}

fn proxies(variable: impl Fn(&str) -> Option<OsString>) -> Vec<(&'static str, OsString)> {
    let set = PROXIES.iter().map(|name| Some((*name, variable(name)?)));
    set.flatten().collect()
}

async fn hand_over(child: &mut Child, order: &Order<'_>) -> Result<(), HelperError> {
    let text = serde_json::to_vec(order).map_err(|e| HelperError::HandOver(e.into()))?;
    // Dropped at the end: the child reads until there is no more.
    let Some(mut stdin) = child.stdin.take() else {
        return Ok(());
    };
    match stdin.write_all(&text).await {
        // It is gone already, and its exit status says more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(HelperError::HandOver),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cached_of_a_store_is_of_one_who_asks_and_of_one_kind() {
        let own = S3 {
            endpoint: Some("http://minio".to_owned()),
            ..S3::default()
        };
        let key = |text: &str, store| key(&Wanted::of(text).unwrap(), store);
        assert_eq!(key("http://h/a.tgz", Some(&own)), "http://h/a.tgz");
        assert_eq!(key("s3://b/a.tgz", None), "s3://b/a.tgz");
        for uri in ["s3://b/a.tgz", "S3A://b/a.tgz"] {
            assert_ne!(key(uri, Some(&own)), uri);
        }
        assert_ne!(key("http://h/a.tgz#unpacked", None), "http://h/a.tgz");
    }

    #[test]
    fn only_lower_case_proxy_variables_reach_the_child() {
        let agent = [
            ("HTTP_PROXY", "evil"),
            ("https_proxy", "p"),
            ("PATH", "/bin"),
        ];
        let variable = |name: &str| {
            let found = agent.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        assert_eq!(proxies(variable), [("https_proxy", OsString::from("p"))]);
    }
}
