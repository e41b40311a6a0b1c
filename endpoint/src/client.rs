//! How our own parts call each other.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use proto::address::{BadMaster, Master, host_and_port};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Well below the time after which [`crate::serve()`] closes idle connections: nothing is sent on a
/// connection that the other side is closing just then.
const IDLE: Duration = Duration::from_secs(10);

/// Finds a peer that vanished without a word, on a stream that is silent for long.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A client for the links inside the cluster: no proxy between, no redirects followed behind our
/// back, small messages sent at once. Set a timeout for each request; a stream has none.
pub fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .tcp_keepalive(KEEP_ALIVE)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(1)
}

/// Why it is not known where the master is.
#[derive(Debug, thiserror::Error)]
pub enum NoMaster {
    #[error("cannot read the master's address from {}", .file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("there is no master's address in {}", .file.display())]
    NoAddress { file: PathBuf, source: BadMaster },
}

/// Where the master is now, as `host:port`. Ask at each attempt: it may have moved.
pub async fn locate(master: &Master) -> Result<String, NoMaster> {
    let file = match master {
        Master::At(address) => return Ok(address.clone()),
        Master::In(file) => file.clone(),
    };
    match tokio::fs::read_to_string(&file).await {
        Ok(text) => host_and_port(&text).map_err(|source| NoMaster::NoAddress { file, source }),
        Err(source) => Err(NoMaster::Unreadable { file, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_master_is_found_where_its_file_says_now() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("master");
        let master = Master::In(file.clone());
        let error = locate(&master).await.unwrap_err().to_string();
        assert!(error.ends_with(&file.display().to_string()), "{error}");
        for address in ["10.0.0.1:5050", "10.0.0.2:5050"] {
            std::fs::write(&file, format!("{address}\n")).unwrap();
            assert_eq!(locate(&master).await.unwrap(), address);
        }
        std::fs::write(&file, "soon").unwrap();
        let error = locate(&master).await.unwrap_err();
        assert!(proto::error::chain(&error).contains("host:port"), "{error}");
    }
}
