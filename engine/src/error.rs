//! Why an engine did not do what it was asked.

use std::path::PathBuf;
use std::time::Duration;

use crate::version::{LEAST, Version};

/// `what` is what was asked for, as in "create container mesos-1".
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(
        "cannot reach a Docker Engine at {} to {what}: see that its daemon runs, or give the agent another \
         --docker_socket",
        .socket.display()
    )]
    Unreachable {
        what: String,
        socket: PathBuf,
        source: reqwest::Error,
    },
    #[error(
        "the Docker Engine at {} did not {what} within {after:?}: see what its daemon waits for",
        .socket.display()
    )]
    Slow {
        what: String,
        socket: PathBuf,
        after: Duration,
    },
    #[error("the Docker Engine would not {what}: {message}")]
    Refused {
        what: String,
        /// Of HTTP; `None` of an answer that had begun well.
        status: Option<u16>,
        message: String,
    },
    #[error("the Docker Engine broke off before it did {what}")]
    Broken {
        what: String,
        source: reqwest::Error,
    },
    #[error("the Docker Engine's answer to {what} cannot be understood")]
    Nonsense {
        what: String,
        source: serde_json::Error,
    },
    #[error("the Docker Engine's answer to {what} is longer than {limit} bytes")]
    TooLong { what: String, limit: usize },
    #[error("the Docker Engine's stream of {what} is none of its own making: {why}")]
    BadStream { what: String, why: &'static str },
    #[error(
        "the Docker Engine at {} speaks version {speaks} of its API, and {LEAST} is needed: upgrade it",
        .socket.display()
    )]
    TooOld { socket: PathBuf, speaks: Version },
    #[error("cannot set up a client for the Docker Engine")]
    Client(#[source] reqwest::Error),
}

impl EngineError {
    /// There is no such container, image or exec.
    pub fn is_not_found(&self) -> bool {
        self.has_status(404)
    }

    /// The name is taken, or the container is in another state than it must be.
    pub fn is_conflict(&self) -> bool {
        self.has_status(409)
    }

    /// It may well work later: nothing says that it did not happen, though.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Slow { .. } | Self::Broken { .. }
        ) || self.has_status(503)
    }

    fn has_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Refused { status: Some(status), .. } if *status == wanted)
    }
}
