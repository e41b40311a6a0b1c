//! The agent's side: starts the child, hands it the request, waits for the outcome.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::confine::MEMORY_BYTES;
use crate::order::Order;
use crate::{Request, Settings};

/// Longest reason taken from the child: it handles bytes from elsewhere.
const REASON_BYTES: u64 = 4096;

/// Variables of the agent that reach the child; its environment is empty otherwise. Only in lower
/// case: CGI programs find a request's "Proxy" header in HTTP_PROXY.
const PROXIES: &[&str] = &["http_proxy", "https_proxy", "all_proxy", "no_proxy"];

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("no fetch helper was named")]
    NoHelper,
    #[error("cannot start the fetch helper {program}")]
    Start { program: String, source: io::Error },
    #[error("cannot hand the request to the fetch helper")]
    HandOver(#[source] io::Error),
    #[error("cannot wait for the fetch helper")]
    Wait(#[source] io::Error),
    /// The child's own words: the URI, what failed and how to mend it.
    #[error("{0}")]
    Failed(String),
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

/// What a fetch is held to.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Bytes that everything fetched and unpacked may take together.
    pub disk_limit: Option<u64>,
    pub settings: &'a Settings,
}

/// Fetches everything or fails at the first URI that cannot be had; each step is a line in `log`
/// (the sandbox's stderr). `helper` is the program and arguments that end up in `child_main`.
///
/// A URI that cannot be had leaves nothing of itself in the sandbox. Where the child is killed, which
/// dropping the future does at once, or aborts, part of the one in progress stays: it goes with the
/// sandbox, in which the caller must not start the task.
pub async fn fetch(
    helper: &[String],
    request: &Request,
    terms: &Terms<'_>,
    log: File,
) -> Result<(), FetchError> {
    let mut child = start(helper, log)?;
    let order = Order {
        request: Cow::Borrowed(request),
        disk_limit: terms.disk_limit,
        settings: Cow::Borrowed(terms.settings),
    };
    hand_over(&mut child, &order).await?;
    let mut reason = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = stdout.take(REASON_BYTES);
        stdout
            .read_to_end(&mut reason)
            .await
            .map_err(FetchError::Wait)?;
    }
    let status = child.wait().await.map_err(FetchError::Wait)?;
    if status.success() {
        return Ok(());
    }
    match String::from_utf8_lossy(&reason).trim() {
        "" if status.signal() == Some(nix::libc::SIGABRT) => Err(FetchError::Aborted),
        "" => Err(FetchError::Died(status)),
        reason => Err(FetchError::Failed(reason.to_owned())),
    }
}

fn start(helper: &[String], log: File) -> Result<Child, FetchError> {
    let (program, arguments) = helper.split_first().ok_or(FetchError::NoHelper)?;
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
        .map_err(|source| FetchError::Start {
            program: program.clone(),
            source,
        })
}

fn proxies(variable: impl Fn(&str) -> Option<OsString>) -> Vec<(&'static str, OsString)> {
    let set = PROXIES.iter().map(|name| Some((*name, variable(name)?)));
    set.flatten().collect()
}

async fn hand_over(child: &mut Child, order: &Order<'_>) -> Result<(), FetchError> {
    let text = serde_json::to_vec(order).map_err(|e| FetchError::HandOver(e.into()))?;
    // Dropped at the end: the child reads until there is no more.
    let Some(mut stdin) = child.stdin.take() else {
        return Ok(());
    };
    match stdin.write_all(&text).await {
        // It is gone already, and its exit status says more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(FetchError::HandOver),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
