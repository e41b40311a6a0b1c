//! The child: becomes the task's user, then fetches one URI after the other.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};
use serde_json::json;

use crate::archive::{ArchiveError, Limits, decompress, unpack};
use crate::beneath::{Beneath, WriteError};
use crate::budget::Budget;
use crate::confine::{confine, leave_keyring, limit_files};
use crate::download::{DownloadError, client, download};
use crate::order::Order;
use crate::plan::{Item, Refused, Then, plan};
use crate::{Request, chain};

/// Longest wait for bytes from a server, as Mesos' --fetcher_stall_timeout.
const STALL: Duration = Duration::from_secs(60);
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
    #[error("cannot prepare the HTTP client")]
    Client(#[source] reqwest::Error),
    #[error("cannot open the sandbox {path}")]
    Sandbox { path: String, source: io::Error },
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("failed to fetch '{uri}'")]
    Item { uri: String, source: ItemError },
}

#[derive(Debug, thiserror::Error)]
enum ItemError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error("cannot unpack it")]
    Unpack(#[from] ArchiveError),
}

/// Body of the child: reads a `Request` as JSON from stdin, writes its log to stderr. Returns the
/// exit code.
///
/// On failure the reason also goes to stdout, one line, for the parent's error.
pub fn child_main() -> i32 {
    let mut log = io::stderr();
    match run(&mut log) {
        Ok(()) => 0,
        Err(error) => {
            let text = chain(&error);
            line(&mut log, &capitalized(&text));
            let _nobody_listens = writeln!(io::stdout(), "{text}");
            1
        }
    }
}

fn run(log: &mut dyn Write) -> Result<(), ChildError> {
    confine().map_err(ChildError::Prepare)?;
    let mut text = Vec::new();
    let mut input = io::stdin().lock().take(REQUEST_BYTES);
    input.read_to_end(&mut text).map_err(ChildError::Read)?;
    let order: Order<'_> = serde_json::from_slice(&text).map_err(ChildError::Parse)?;
    let request = order.request.into_owned();
    // Before becoming the user, who may have no way down to its sandbox.
    let sandbox = open_sandbox(&request)?;
    // From here on its rights decide what may be read and written.
    become_user(&request)?;
    nix::sys::prctl::set_no_new_privs().map_err(|e| ChildError::Prepare(e.into()))?;
    leave_keyring().map_err(ChildError::Prepare)?;
    let free = sandbox.free_bytes().map_err(ChildError::Prepare)?;
    let budget = Budget::new(order.disk_limit, free);
    limit_files(budget.limit()).map_err(ChildError::Prepare)?;
    std::thread::Builder::new()
        .name("parent-watch".to_owned())
        .spawn(exit_with_parent)
        .map_err(ChildError::Prepare)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // They only resolve names, and each costs address space.
        .max_blocking_threads(2)
        .build()
        .map_err(ChildError::Prepare)?;
    let mut fetching = Fetching {
        sandbox: &sandbox,
        client: client(STALL).build().map_err(ChildError::Client)?,
        stall: STALL,
        limits: Limits::default(),
        budget,
        log,
    };
    runtime.block_on(fetching.all(&request))
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

/// Ends the process when nobody reads its stdout any more: the agent died, and the next one counts
/// this fetch as failed.
fn exit_with_parent() {
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

/// One request under way.
struct Fetching<'a> {
    sandbox: &'a Beneath,
    client: reqwest::Client,
    stall: Duration,
    limits: Limits,
    budget: Budget,
    log: &'a mut dyn Write,
}

impl Fetching<'_> {
    async fn all(&mut self, request: &Request) -> Result<(), ChildError> {
        self.line(&format!("Fetcher Info: {}", info(request)));
        for item in &plan(request)? {
            let (uri, path) = (&item.uri, request.sandbox.join(item.target.as_path()));
            let path = path.display();
            self.line(&format!("Fetching URI '{uri}'"));
            self.line("Fetching directly into the sandbox directory");
            self.line(&format!("Downloading resource from '{uri}' to '{path}'"));
            self.one(item).await.map_err(|source| ChildError::Item {
                uri: uri.clone(),
                source,
            })?;
            self.line(&format!("Fetched '{uri}' to '{path}'"));
        }
        let directory = request.sandbox.display();
        self.line(&format!("Successfully fetched all URIs into '{directory}'"));
        Ok(())
    }

    async fn one(&mut self, item: &Item) -> Result<(), ItemError> {
        let mode = match item.then {
            Then::MakeExecutable => 0o755,
            Then::Keep | Then::KeepWithWarning | Then::Unpack(_) | Then::Decompress(..) => 0o644,
        };
        let (sandbox, target) = (self.sandbox, &item.target);
        let mut batch = sandbox.batch();
        let mut file = batch.file(target, mode)?;
        let budget = &mut self.budget;
        download(&item.source, &self.client, self.stall, budget, &mut file).await?;
        drop(file);
        match &item.then {
            Then::Keep | Then::MakeExecutable => {}
            Then::KeepWithWarning => self.line(&format!(
                "Copying instead of extracting resource from URI with 'extract' flag, because it \
                 does not seem to be an archive: {}",
                item.uri
            )),
            Then::Unpack(format) => {
                self.line(&format!("Extracting '{target}' into the sandbox directory"));
                unpack(sandbox, target, *format, self.limits, &mut self.budget)?;
            }
            Then::Decompress(codec, to) => {
                self.line(&format!("Decompressing '{target}' to '{to}'"));
                decompress(sandbox, *codec, target, to, self.limits, &mut self.budget)?;
            }
        }
        // Last, so that an archive that does not unpack goes away too.
        batch.commit();
        Ok(())
    }

    fn line(&mut self, text: &str) {
        line(self.log, text);
    }
}

/// The request in the form that readers of Mesos' logs know.
fn info(request: &Request) -> serde_json::Value {
    let items: Vec<_> = request
        .uris
        .iter()
        .map(|uri| json!({ "action": "BYPASS_CACHE", "uri": uri }))
        .collect();
    json!({
        "sandbox_directory": request.sandbox,
        "items": items,
        "uid": request.user.as_ref().map(|(uid, _, _)| uid),
        "frameworks_home": request.frameworks_home,
    })
}

/// A log that cannot be written must not fail the fetch.
fn line(log: &mut dyn Write, text: &str) {
    let _full_disk = log.write_all(format!("{text}\n").as_bytes());
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
