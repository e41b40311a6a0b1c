//! The agent's side: starts the child, hands it the request, waits for the outcome.

use std::fs::File;
use std::io;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::Request;

/// Longest reason taken from the child: it handles bytes from elsewhere.
const REASON_BYTES: u64 = 4096;

/// Variables of the agent that reach the child; its environment is empty otherwise.
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
    #[error("the fetch helper ended with {0} and gave no reason: see stderr in the sandbox")]
    Died(ExitStatus),
}

/// Fetches everything or fails at the first URI that cannot be had; each step is a line in `log`
/// (the sandbox's stderr). `helper` is the program and arguments that end up in `child_main`.
/// Dropping the future ends the child.
pub async fn fetch(helper: &[String], request: &Request, log: File) -> Result<(), FetchError> {
    let mut child = start(helper, log)?;
    hand_over(&mut child, request).await?;
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
        "" => Err(FetchError::Died(status)),
        reason => Err(FetchError::Failed(reason.to_owned())),
    }
}

fn start(helper: &[String], log: File) -> Result<Child, FetchError> {
    let (program, arguments) = helper.split_first().ok_or(FetchError::NoHelper)?;
    let proxies = PROXIES
        .iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)));
    Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(proxies)
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

async fn hand_over(child: &mut Child, request: &Request) -> Result<(), FetchError> {
    let text = serde_json::to_vec(request).map_err(|e| FetchError::HandOver(e.into()))?;
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
