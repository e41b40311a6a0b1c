//! A socket that the service manager has opened for the agent: sd_listen_fds(3), without its library. It
//! goes on to listen while the agent is restarted, so that clients wait instead of being refused.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};

use endpoint::ListenError;
use tokio::net::TcpListener;

use crate::flags::Flags;
use crate::notify::variable;

/// Where the first one is.
const FIRST: RawFd = 3;

#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    #[error(
        "LISTEN_FDS is {0:?}: the agent listens on one socket, so its .socket unit must have one \
         ListenStream"
    )]
    Count(String),
    #[error("cannot listen on the socket that LISTEN_FDS tells of: it must be one for TCP")]
    Socket(#[source] io::Error),
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// Listens on that socket, or where the flags say.
pub async fn listen(flags: &Flags) -> Result<(TcpListener, SocketAddr), ActivationError> {
    let text = |name| variable(name).unwrap_or_default();
    let is_ours = text("LISTEN_PID") == std::process::id().to_string();
    let Some(number) = handed_over(is_ours, &text("LISTEN_FDS"))? else {
        return Ok(endpoint::listen(flags.ip, flags.port, flags.insecure).await?);
    };
    let socket = take(number).map_err(ActivationError::Socket)?;
    let (listener, bound) = endpoint::inherit(socket).map_err(ActivationError::Socket)?;
    if !bound.ip().is_loopback() && !flags.insecure {
        return Err(ListenError::Exposed(bound.ip()).into());
    }
    tracing::info!(address = %bound, "listens on the socket of the service manager, not on --ip and --port");
    Ok((listener, bound))
}

/// Pure: which descriptor. What is for another process was inherited from it.
fn handed_over(is_ours: bool, count: &str) -> Result<Option<RawFd>, ActivationError> {
    match (is_ours, count) {
        (false, _) | (true, "" | "0") => Ok(None),
        (true, "1") => Ok(Some(FIRST)),
        (true, _) => Err(ActivationError::Count(count.to_owned())),
    }
}

/// Nothing that the agent starts may have it.
fn take(number: RawFd) -> io::Result<OwnedFd> {
    let socket = containerizer::inherited(number)?;
    nix::unistd::close(number)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_socket_is_taken_and_only_by_whom_it_is_for() {
        let number = |is_ours, count| handed_over(is_ours, count).map_err(|it| it.to_string());
        assert_eq!(number(true, "1"), Ok(Some(3)));
        for (is_ours, count) in [(false, "1"), (true, ""), (true, "0"), (false, "two")] {
            assert_eq!(number(is_ours, count), Ok(None), "{count}");
        }
        for count in ["2", "-1", "one"] {
            assert!(
                number(true, count)
                    .unwrap_err()
                    .contains("one ListenStream")
            );
        }
    }
}
