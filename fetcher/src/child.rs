//! The child: becomes the task's user, then fetches.

mod cached;
mod fetching;
mod links;
mod placing;

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Uid, User, geteuid, setgroups, setresgid, setresuid};
use reqwest::Certificate;

use crate::archive::Limits;
use crate::beneath::Beneath;
use crate::budget::Budget;
use crate::confine::{Trade, cage, confine, leave_keyring, limit_files};
use crate::download::{Held, Http, Patience, S3, Tls, credentials};
use crate::log::Log;
use crate::netrc::Netrc;
use crate::order::{Order, Said};
use crate::plan::{Source, plan};
use crate::progress::Meter;
use crate::{Policy, Request, Settings, Uri, chain};
use cached::opened;
use fetching::{Fetching, FetchingError};

/// Longest reason that is told.
const REASON_CHARS: usize = 4096;
/// Before a server is asked again.
const PAUSE: Duration = Duration::from_millis(500);
/// Largest request: thousands of URIs.
const REQUEST_BYTES: u64 = 8 << 20;

#[derive(Debug, thiserror::Error)]
enum ChildError {
    #[error("cannot read the fetch request")]
    Read(#[source] io::Error),
    #[error("the fetch request is not valid")]
    Parse(#[source] serde_json::Error),
    #[error("cannot become uid {uid}, gid {gid}: the agent must run as root to fetch for a user")]
    Become {
        uid: u32,
        gid: u32,
        source: io::Error,
    },
    #[error("cannot prepare the fetcher")]
    Prepare(#[source] io::Error),
    #[error("cannot give up what a fetch does not need")]
    Cage(#[source] io::Error),
    #[error("cannot prepare the HTTP client")]
    Client(#[source] reqwest::Error),
    #[error("cannot open the sandbox {path}")]
    Sandbox { path: String, source: io::Error },
    #[error("cannot read the certificate authorities in {file} (this agent's --fetcher_ca_file)")]
    Authorities {
        file: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot read {file}, which this agent's flags name")]
    File { file: String, source: io::Error },
    #[error(
        "{file} has no profile {profile} with both keys (this agent's --fetcher_s3_credentials_file and \
         --fetcher_s3_profile)"
    )]
    Profile { file: String, profile: String },
    #[error("cannot prepare TLS")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot open a file of the fetcher's cache")]
    Cache(#[source] io::Error),
    #[error(transparent)]
    Fetching(#[from] FetchingError),
    /// Of what says nothing of a URI itself.
    #[error("failed to fetch {uris}")]
    Request {
        uris: String,
        source: Box<ChildError>,
    },
}

impl ChildError {
    fn about(self, request: &Request) -> Self {
        match self {
            Self::Fetching(FetchingError::Refused(_) | FetchingError::Item { .. }) => self,
            other => Self::Request {
                uris: request.named(),
                source: Box::new(other),
            },
        }
    }
}

/// Body of the child: reads a `Request` as JSON from stdin, writes its log to stderr. Returns the
/// exit code.
///
/// What the agent has to know goes to stdout, line by line; on failure the reason is the last.
pub fn child_main() -> i32 {
    let log = Log::new(io::stderr());
    match run(log.clone()) {
        Ok(()) => 0,
        Err(error) => {
            let text = chain(&error);
            log.line(&capitalized(&text));
            let text: String = text.chars().take(REASON_CHARS).collect();
            say(&Log::new(io::stdout()), &Said::Failed(text));
            1
        }
    }
}

fn run(log: Log) -> Result<(), ChildError> {
    confine().map_err(ChildError::Prepare)?;
    let mut text = Vec::new();
    let mut input = io::stdin().lock().take(REQUEST_BYTES);
    input.read_to_end(&mut text).map_err(ChildError::Read)?;
    let order: Order<'_> = serde_json::from_slice(&text).map_err(ChildError::Parse)?;
    let request = order.request.clone().into_owned();
    fetch(order, log).map_err(|error| error.about(&request))
}

fn fetch(order: Order<'_>, log: Log) -> Result<(), ChildError> {
    let request = order.request.into_owned();
    let settings = order.settings.into_owned();
    // Before becoming the user, who may have no way down to its sandbox.
    let sandbox = open_sandbox(&request)?;
    let authorities = read_if_any(settings.ca_file.as_deref())?;
    let tls = Tls::new(&authorities).map_err(|error| ChildError::Tls(error.into()))?;
    let authorities = certificates(&settings, &authorities)?;
    let netrc = read_if_any(settings.netrc_file.as_deref())?;
    let netrc = Netrc::parse(&String::from_utf8_lossy(&netrc));
    let store = store(&request, &settings)?;
    // Nor may it have anything to do with the cache.
    let cached = opened(order.cached, &sandbox, &request).map_err(ChildError::Cache)?;
    let user = User::from_uid(
        request
            .user
            .as_ref()
            .map_or(geteuid(), |user| Uid::from_raw(user.0)),
    );
    let user = user.ok().flatten().map(|user| user.name);
    // From here on its rights decide what may be read and written.
    become_user(&request)?;
    nix::sys::prctl::set_no_new_privs().map_err(|e| ChildError::Prepare(e.into()))?;
    leave_keyring().map_err(ChildError::Prepare)?;
    let free = sandbox.free_bytes().map_err(ChildError::Prepare)?;
    let budget = Budget::new(order.disk_limit, free);
    limit_files(budget.limit()).map_err(ChildError::Prepare)?;
    // Root's tasks may have every file of the host. What has to do with servers has no right to them.
    let held = held(&request, &settings.policy).map_err(ChildError::Prepare)?;
    cage(sandbox.as_fd(), Trade::Fetching).map_err(ChildError::Cage)?;
    std::thread::Builder::new()
        .name("parent-watch".to_owned())
        .spawn(exit_with_parent)
        .map_err(ChildError::Prepare)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // They resolve names, and one unpacks; each costs address space.
        .max_blocking_threads(4)
        .build()
        .map_err(ChildError::Prepare)?;
    let policy = settings.policy;
    let patience = Patience {
        stall: settings.stall_timeout,
        pause: PAUSE,
    };
    let mut http =
        Http::new(policy.clone(), patience, &authorities, tls).map_err(ChildError::Client)?;
    http.store = store;
    http.user = user;
    http.held = held;
    http.name_services = settings.name_services;
    http.ftp.netrc = netrc.clone();
    http.netrc = netrc;
    let fetching = Fetching {
        sandbox: Arc::new(sandbox),
        http,
        limits: Limits::default(),
        budget,
        log,
        tell: Log::new(io::stdout()),
        meter: Meter::new(request.uris.len()),
    };
    let fetched = fetching.all(&request, cached, &policy, settings.time_limit);
    let fetched = runtime.block_on(fetched);
    // A thread that unpacks goes with the process.
    runtime.shutdown_background();
    Ok(fetched?)
}

/// How a store is asked, and as whom: as the task says, else the agent's environment, else its file.
fn store(request: &Request, settings: &Settings) -> Result<S3, ChildError> {
    let mut all = settings.s3.clone();
    let own = request.store.clone().unwrap_or_default();
    let is_of_store = |uri: &Uri| {
        uri.value
            .trim_start()
            .to_ascii_lowercase()
            .starts_with("s3")
    };
    let asks = request.uris.iter().any(is_of_store);
    if let (true, None, None, Some(file)) = (
        asks,
        &own.credentials,
        &all.credentials,
        &settings.s3_credentials_file,
    ) {
        let text = read_if_any(Some(file))?;
        let found = credentials(&String::from_utf8_lossy(&text), &settings.s3_profile);
        let found = found.ok_or_else(|| ChildError::Profile {
            file: file.display().to_string(),
            profile: settings.s3_profile.clone(),
        })?;
        all.credentials = Some(found);
    }
    Ok(own.or(all))
}

fn read_if_any(file: Option<&Path>) -> Result<Vec<u8>, ChildError> {
    let read = file.map(|file| {
        let failed = |source| ChildError::File {
            file: file.display().to_string(),
            source,
        };
        std::fs::read(file).map_err(failed)
    });
    read.unwrap_or(Ok(Vec::new()))
}

fn certificates(settings: &Settings, text: &[u8]) -> Result<Vec<Certificate>, ChildError> {
    let Some(file) = &settings.ca_file else {
        return Ok(Vec::new());
    };
    let failed = |error: reqwest::Error| ChildError::Authorities {
        file: file.display().to_string(),
        source: error.into(),
    };
    Certificate::from_pem_bundle(text).map_err(failed)
}

fn open_sandbox(request: &Request) -> Result<Beneath, ChildError> {
    Beneath::open(&request.sandbox).map_err(|source| ChildError::Sandbox {
        path: request.sandbox.display().to_string(),
        source,
    })
}

fn become_user(request: &Request) -> Result<(), ChildError> {
    let Some((uid, gid, groups)) = &request.user else {
        return Ok(());
    };
    if *uid == geteuid().as_raw() && !geteuid().is_root() {
        return Ok(());
    }
    let change = || -> nix::Result<()> {
        let all: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        let (user, group) = (Uid::from_raw(*uid), Gid::from_raw(*gid));
        // The uid last: without it there is no right to change the groups.
        setgroups(&all)?;
        setresgid(group, group, group)?;
        setresuid(user, user, user)
    };
    change().map_err(|errno| ChildError::Become {
        uid: *uid,
        gid: *gid,
        source: errno.into(),
    })
}

/// What is wrong with a URI is said later.
fn held(request: &Request, policy: &Policy) -> io::Result<Held> {
    let items = plan(request, policy).unwrap_or_default();
    let paths = items.iter().filter_map(|item| match &item.source {
        Source::File(path) => Some(path.as_path()),
        Source::Http(_) | Source::Ftp(_) | Source::S3(_) | Source::Hdfs(_) => None,
    });
    Held::open(paths)
}

/// Ends the process when nobody reads its stdout any more: the agent died, and the next one counts
/// this fetch as failed.
pub fn exit_with_parent() {
    let stdout = io::stdout();
    // No events asked for: only the error condition wakes us.
    let mut watched = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    while poll(&mut watched, PollTimeout::NONE).is_ok_and(|ready| ready == 0) {}
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
    if watched[0]
        .revents()
        .is_some_and(|seen| seen.intersects(gone))
    {
        std::process::exit(1);
    }
}

fn say(tell: &Log, said: &Said) {
    if let Ok(text) = serde_json::to_string(said) {
        tell.line(&text);
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + chars.as_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
