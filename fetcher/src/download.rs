//! One item's bytes into an open file of the sandbox.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;
use reqwest::StatusCode;

use crate::budget::{Budget, OverLimit};
use crate::plan::Source;
use crate::redirect::{self, RefusedRedirect};

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error(
        "{path} does not exist on the agent's host: put it there, or serve it by http to all agents"
    )]
    Missing { path: PathBuf },
    #[error("cannot read {path}: check that the task's user may read it")]
    Open { path: PathBuf, source: io::Error },
    #[error("{path} is not a regular file: fetch single files, or pack a directory as .tar.gz")]
    NotAFile { path: PathBuf },
    #[error("copying {path} failed")]
    Copy { path: PathBuf, source: io::Error },
    #[error("not a URL that can be asked for")]
    BadUrl(#[source] reqwest::Error),
    #[error(
        "cannot connect to the server: check that host and port are right and can be reached from \
         this agent"
    )]
    Connect(#[source] reqwest::Error),
    #[error("a redirect is not followed")]
    Redirect(#[source] RefusedRedirect),
    #[error("the file is too large")]
    TooLarge(#[from] OverLimit),
    #[error("the server answered {0}: check that the URI is right and the file is there")]
    Status(StatusCode),
    #[error("nothing came from the server for {} s", .0.as_secs_f32())]
    Stalled(Duration),
    #[error("the server broke off")]
    Broken(#[source] reqwest::Error),
    #[error("cannot write into the sandbox")]
    Write(#[source] io::Error),
}

/// A client that obeys the proxy variables of the environment. `stall` bounds each wait for bytes.
pub fn client(stall: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(stall)
        .redirect(redirect::policy())
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
}

pub async fn download(
    source: &Source,
    client: &reqwest::Client,
    stall: Duration,
    budget: &mut Budget,
    into: &mut File,
) -> Result<(), DownloadError> {
    match source {
        Source::File(path) => copy(path, budget, into),
        Source::Http(url) => get(url, client, stall, budget, into).await,
    }
}

fn copy(path: &Path, budget: &mut Budget, into: &mut File) -> Result<(), DownloadError> {
    // O_NONBLOCK: opening a fifo would wait for a writer.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path);
    let from = opened.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => DownloadError::Missing { path: path.into() },
        _ => DownloadError::Open {
            path: path.into(),
            source,
        },
    })?;
    let failed = |source| DownloadError::Copy {
        path: path.into(),
        source,
    };
    let metadata = from.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(DownloadError::NotAFile { path: path.into() });
    }
    budget.check(metadata.len())?;
    // It may grow meanwhile: one byte too many shows that it did.
    let most = budget.left().saturating_add(1);
    let copied = io::copy(&mut from.take(most), into).map_err(failed)?;
    Ok(budget.take(copied)?)
}

async fn get(
    url: &str,
    client: &reqwest::Client,
    stall: Duration,
    budget: &mut Budget,
    into: &mut File,
) -> Result<(), DownloadError> {
    let failed = |error: reqwest::Error| {
        // The URI stands in front of every message already.
        let error = error.without_url();
        if let Some(refused) = redirect::refused(&error) {
            return DownloadError::Redirect(refused);
        }
        match () {
            // Before "timeout": a connection that takes too long is both.
            () if error.is_connect() => DownloadError::Connect(error),
            () if error.is_timeout() => DownloadError::Stalled(stall),
            () if error.is_builder() => DownloadError::BadUrl(error),
            () => DownloadError::Broken(error),
        }
    };
    let mut answer = client.get(url).send().await.map_err(failed)?;
    if answer.status() != StatusCode::OK {
        return Err(DownloadError::Status(answer.status()));
    }
    // Mostly announced; counted all the same.
    budget.check(answer.content_length().unwrap_or(0))?;
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        budget.take(chunk.len() as u64)?;
        into.write_all(&chunk).map_err(DownloadError::Write)?;
    }
    Ok(())
}
