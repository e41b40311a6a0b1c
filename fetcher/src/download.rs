//! One item's bytes into an open file.

mod ask;
mod ftp;
mod hdfs;
mod held;
mod http;
mod local;
mod persist;
mod resolver;
mod s3;
mod sink;
mod webhdfs;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{StatusCode, Url};

use crate::budget::OverLimit;
use crate::cache::Validators;
use crate::checksum::WrongContent;
use crate::log::Log;
use crate::plan::Source;
use crate::policy::Forbidden;
use crate::redirect::RefusedRedirect;

use ask::{Ask, Of};
pub use ftp::reply::{Line, extended_port, line, port};
pub use ftp::{BadPlace, Place, Tls};
pub use held::Held;
pub use http::Http;
pub use persist::Patience;
pub use resolver::Resolver;
pub use s3::{Object, S3, S3Credentials, credentials};
pub use sink::Sink;
pub use webhdfs::{HdfsFile, exception};

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
    BadUrl(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("it may not be fetched from")]
    Forbidden(#[from] Forbidden),
    #[error(
        "cannot connect to the server: check that host and port are right and can be reached from \
         this agent"
    )]
    Connect(#[source] reqwest::Error),
    #[error(
        "cannot connect to the server: check that host and port are right and can be reached from \
         this agent"
    )]
    NoConnection(#[source] io::Error),
    #[error(
        "the server's certificate is not one that this agent trusts: renew it, or tell the agent who \
         signed it (--fetcher_ca_file)"
    )]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the server answered {code} {said:?}")]
    Ftp { code: u16, said: String },
    #[error("the server does not answer as one of FTP")]
    NotFtp,
    #[error("the name node answered {exception}: {message}")]
    Hadoop { exception: String, message: String },
    #[error("the name node is on standby")]
    Standby,
    #[error("the server does not answer as a name node of HDFS: check its port for HTTP")]
    NotHadoop,
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
    #[error("the server broke off")]
    BrokenOff(#[source] io::Error),
    #[error("the server sent another part of the file than it was asked for")]
    WrongPart,
    #[error(transparent)]
    Content(#[from] WrongContent),
    #[error("cannot write into the sandbox")]
    Write(#[source] io::Error),
}

impl DownloadError {
    /// Whether it may be different the next time.
    pub fn passes(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::NoConnection(_)
            | Self::Stalled(_)
            | Self::Broken(_)
            | Self::BrokenOff(_)
            | Self::Standby
            | Self::WrongPart => true,
            // "Transient negative", and 550 is not.
            Self::Ftp { code, .. } => (400..500).contains(code),
            Self::Status(status) => {
                let slow = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                let never = [StatusCode::NOT_IMPLEMENTED];
                slow.contains(status) || status.is_server_error() && !never.contains(status)
            }
            Self::Missing { .. }
            | Self::Open { .. }
            | Self::NotAFile { .. }
            | Self::Copy { .. }
            | Self::BadUrl(_)
            | Self::Certificate(_)
            | Self::NotFtp
            | Self::NotHadoop
            | Self::Hadoop { .. }
            | Self::Forbidden(_)
            | Self::Redirect(_)
            | Self::TooLarge(_)
            | Self::Content(_)
            | Self::Write(_) => false,
        }
    }
}

impl DownloadError {
    /// Whether another server of the same service may do better.
    fn is_of_this_server(&self) -> bool {
        match self {
            Self::Standby | Self::Connect(_) | Self::Stalled(_) | Self::Broken(_) => true,
            Self::Status(status) => status.is_server_error(),
            _ => false,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// And what tells later whether it is still the same.
    Content(Validators),
    /// What is known of it still holds.
    NotModified,
}

/// Fetches it, unless it is still as `known`.
pub async fn download(
    source: &Source,
    http: &Http,
    known: Option<&Validators>,
    log: &Log,
    into: &mut Sink,
) -> Result<Came, DownloadError> {
    match source {
        Source::File(path) => local::copy(path, &http.held, known, into).await,
        Source::Http(url) => {
            let url = Url::parse(url).map_err(|error| DownloadError::BadUrl(error.into()))?;
            http.get(&Ask::plain(url), known, log, into).await
        }
        Source::Ftp(place) => http.ftp.get(place, known, log, into).await,
        Source::S3(object) => {
            let url = http.store.url(object).map_err(DownloadError::BadUrl)?;
            let ask = Ask {
                url,
                of: Of::Store(&http.store),
            };
            http.get(&ask, known, log, into).await
        }
        Source::Hdfs(file) => {
            let nodes = file.urls(http.user.as_deref(), &http.name_services);
            let nodes = nodes.map_err(DownloadError::BadUrl)?;
            http.get_hdfs(&nodes, known, log, into).await
        }
    }
}
