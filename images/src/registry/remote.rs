//! An archive that no registry has: whatever is at a URL. Nobody has said what it is, so it is what comes.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::time::Duration;

use fetcher::{Forbidden, RefusedRedirect};
use reqwest::StatusCode;

use super::Registries;
use super::ask::cause;
use crate::name::Remote;

/// Each from the beginning: without a digest, parts of two answers may be of two things.
const ATTEMPTS: u32 = 4;

#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error("the server answered {0}")]
    Status(StatusCode),
    #[error("a redirect is not followed")]
    Redirect(#[source] RefusedRedirect),
    #[error("its server may not be asked")]
    Forbidden(#[source] Forbidden),
    #[error("cannot connect to its server")]
    Connect(#[source] reqwest::Error),
    #[error("nothing came for {} s", .0.as_secs_f32())]
    Stalled(Duration),
    #[error("the server broke off")]
    Broken(#[source] reqwest::Error),
    #[error("it has more than {0} bytes, which is what there is room for")]
    TooLarge(u64),
    #[error("cannot write what came")]
    Write(#[source] io::Error),
}

impl RemoteError {
    /// Whether it may be different the next time.
    fn passes(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Stalled(_) | Self::Broken(_) => true,
            Self::Status(status) => status.is_server_error(),
            _ => false,
        }
    }
}

impl Registries {
    /// `most`: bytes. What is in the file already is written over.
    pub async fn archive(
        &self,
        archive: &Remote,
        into: &mut File,
        most: u64,
    ) -> Result<(), RemoteError> {
        let mut pause = self.settings.pause;
        for attempt in 1.. {
            match self.archive_once(archive, into, most).await {
                Err(error) if error.passes() && attempt < ATTEMPTS => {
                    tracing::info!(
                        error = fetcher::chain(&error),
                        "an archive is asked for again"
                    );
                }
                done => return done,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    async fn archive_once(
        &self,
        archive: &Remote,
        into: &mut File,
        most: u64,
    ) -> Result<(), RemoteError> {
        let url = archive.url();
        let host = url.host_str().unwrap_or_default();
        let policy = &self.settings.policy;
        let allowed = policy.scheme(url.scheme()).and_then(|()| policy.host(host));
        allowed.map_err(RemoteError::Forbidden)?;
        let asked = self.client.get(url.clone()).send().await;
        let mut answer = asked.map_err(|error| self.not_got(error))?;
        if answer.status() != StatusCode::OK {
            return Err(RemoteError::Status(answer.status()));
        }
        if answer.content_length().is_some_and(|length| length > most) {
            return Err(RemoteError::TooLarge(most));
        }
        let emptied = into.set_len(0).and_then(|()| into.rewind());
        emptied.map_err(RemoteError::Write)?;
        let mut length = 0;
        while let Some(piece) = answer.chunk().await.map_err(|error| self.not_got(error))? {
            length += piece.len() as u64;
            if length > most {
                return Err(RemoteError::TooLarge(most));
            }
            into.write_all(&piece).map_err(RemoteError::Write)?;
        }
        Ok(())
    }

    fn not_got(&self, error: reqwest::Error) -> RemoteError {
        // What else is in it may be for its server alone.
        let error = error.without_url();
        if let Some(source) = cause(&error).cloned() {
            return RemoteError::Redirect(source);
        }
        if let Some(source) = cause(&error).cloned() {
            return RemoteError::Forbidden(source);
        }
        match () {
            // Before "timeout": a connection that takes too long is both.
            () if error.is_connect() => RemoteError::Connect(error),
            () if error.is_timeout() => RemoteError::Stalled(self.settings.stall_timeout),
            () => RemoteError::Broken(error),
        }
    }
}
