//! Starting and stopping.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use endpoint::{ListenError, NoAddress};
use proto::address::Master;
use proto::error::chain;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::checkups;
use crate::engine::Engine;
use crate::events::Listeners;
use crate::flags::Flags;
use crate::http::{self, About};
use crate::master::{self, Identity};
use crate::service::{Clock, Service, Wiring};
use crate::store::{Store, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "{0} (--http_address) can be reached by other machines and nothing here asks for \
         credentials: choose a loopback address, or add --insecure"
    )]
    Exposed(IpAddr),
    #[error(
        "cannot listen on {address}: is another program using it? choose another --http_address \
         or --http_port"
    )]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
    #[error(transparent)]
    NoAddress(#[from] NoAddress),
    #[error(
        "--local_port_min={min} is greater than --local_port_max={max}: no service port could be \
         chosen"
    )]
    NoServicePorts { min: u16, max: u16 },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot make an HTTP client for health checks")]
    Checkups(#[source] reqwest::Error),
    #[error("cannot make an HTTP client for the master at {master}")]
    Client {
        master: Master,
        source: reqwest::Error,
    },
}

/// Told with the flags of our listener: --ip and --port may be those of a master beside us.
impl From<ListenError> for StartError {
    fn from(error: ListenError) -> StartError {
        match error {
            ListenError::Exposed(ip) => StartError::Exposed(ip),
            ListenError::Bind { address, source } => StartError::Bind { address, source },
        }
    }
}

/// Why a scheduler ended without having been asked to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FailureReason {
    #[error("the store failed")]
    Store(#[from] Arc<StoreError>),
    #[error("{part} panicked (the log says where)")]
    Panicked { part: &'static str },
}

/// A running scheduler. Tasks go on when it stops.
pub struct Handle {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    failure: watch::Receiver<Option<FailureReason>>,
    engine: JoinHandle<()>,
    server: JoinHandle<()>,
    link: JoinHandle<()>,
}

/// Waiting events and calls; both are small, and more than a cluster says in an instant.
const QUEUE: usize = 1024;
/// How long requests that are being answered may hold up the end.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long the engine may take after that. It waits for a master that answers slowly; what it
/// has promised is stored before.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Listens, opens the store, and keeps subscribing with the master, which need not be there yet.
pub async fn start(flags: Flags) -> Result<Handle, StartError> {
    if flags.local_port_min > flags.local_port_max {
        let (min, max) = (flags.local_port_min, flags.local_port_max);
        return Err(StartError::NoServicePorts { min, max });
    }
    let (listener, address) = endpoint::listen(flags.ip, flags.http_port, flags.insecure).await?;
    let hostname = match &flags.hostname {
        Some(name) => name.clone(),
        None => endpoint::advertised(address, None, None, "hostname")?
            .ip()
            .to_string(),
    };
    let client = endpoint::client()
        .build()
        .map_err(|source| StartError::Client {
            master: flags.master.clone(),
            source,
        })?;
    let checkup_client = checkups::client().map_err(StartError::Checkups)?;
    let (store, snapshot) = Store::recover(&flags.work_dir).await?;

    let clock = Clock::start();
    let (framework_id, known_id) = watch::channel(snapshot.framework_id.clone());
    let engine = Engine::new(flags.engine(), rand::random(), snapshot, clock.now());
    let (events, incoming) = mpsc::channel(QUEUE);
    // Of each check there is one at a time.
    let (checkups, asked) = mpsc::unbounded_channel();
    let listeners = Listeners::default();
    let (calls, outgoing) = mpsc::channel(QUEUE);
    let wiring = Wiring {
        store: Arc::new(store),
        events: incoming,
        calls,
        framework_id,
        checkups,
        listeners: listeners.clone(),
    };
    let most = flags.max_concurrent_marathon_health_checks as usize;
    tokio::spawn(checkups::make(checkup_client, asked, events.clone(), most));
    let (service, owner) = Service::new(engine, clock, wiring);
    let identity = Identity {
        name: flags.framework_name.clone(),
        user: flags.mesos_user.clone(),
        role: flags.mesos_role.clone(),
        hostname: hostname.clone(),
        webui_url: format!("http://{hostname}:{}", address.port()),
        failover_timeout: Duration::from_secs(flags.failover_timeout),
    };
    let master = flags.master.clone();
    let link = master::stay_subscribed(client, master, identity, known_id, events, outgoing);
    let about = About {
        flags,
        hostname,
        port: address.port(),
    };
    let (stop, mut stopped) = watch::channel(false);
    let heard = listeners.clone();
    let asked_to_stop = async move {
        // An error means that the handle was dropped: then nobody can ask us to stop.
        if stopped.wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
        heard.close();
    };
    let router = http::router(service, listeners, about);
    let server = endpoint::serve(listener, router, asked_to_stop);
    tracing::info!(%address, "scheduler listening");
    let (report, failure) = watch::channel(None);
    let watched = |part| PanicReport {
        part,
        report: report.clone(),
    };
    let (of_engine, of_server, of_link) = (
        watched("the engine"),
        watched("the HTTP server"),
        watched("the connection to the master"),
    );
    Ok(Handle {
        address,
        stop,
        failure,
        engine: tokio::spawn(async move {
            let _of_engine = of_engine;
            if let Err(error) = owner.await {
                tracing::error!(error = chain(&error), "the scheduler cannot go on");
                report.send_replace(Some(FailureReason::Store(Arc::new(error))));
            }
        }),
        server: tokio::spawn(async move {
            let _of_server = of_server;
            server.await;
        }),
        link: tokio::spawn(async move {
            let _of_link = of_link;
            link.await;
        }),
    })
}

/// Lives as long as a part of the scheduler, and tells when that ends by a panic. Parts that end
/// otherwise were asked to, or follow one that has told.
struct PanicReport {
    part: &'static str,
    report: watch::Sender<Option<FailureReason>>,
}

impl Drop for PanicReport {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let part = self.part;
            self.report
                .send_replace(Some(FailureReason::Panicked { part }));
        }
    }
}

impl Handle {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the scheduler to end by itself. It does when its store fails, on a full disk for
    /// one: then nothing may follow from what could not be stored, and it has to be started anew.
    pub async fn failed(&self) -> FailureReason {
        let mut failure = self.failure.clone();
        let reported = failure.wait_for(Option::is_some).await;
        match reported.ok().and_then(|reason| reason.clone()) {
            Some(reason) => reason,
            // All parts have ended, and none failed.
            None => std::future::pending().await,
        }
    }

    /// Answers what was asked, stores what was decided, and leaves the master, which keeps the
    /// tasks for the fail-over timeout.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let mut server = self.server;
        if tokio::time::timeout(LAST_ANSWERS, &mut server)
            .await
            .is_err()
        {
            server.abort();
            // Only its end frees the doors to the engine.
            let _ = server.await;
        }
        // With the last door the engine ends, and with the engine the link.
        let deadline = Instant::now() + LAST_WRITES;
        for (part, mut task) in [("engine", self.engine), ("link", self.link)] {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                tracing::warn!(part, within = ?LAST_WRITES, "did not end; it is cut off");
                task.abort();
                let _ = task.await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    async fn refused(words: &[String]) -> StartError {
        let words = std::iter::once("scheduler").chain(words.iter().map(String::as_str));
        let flags = Line::try_parse_from(words).map(|line| line.flags).unwrap();
        start(flags).await.err().unwrap()
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_had_names_the_flags_to_change() {
        let (_other, taken) = endpoint::listen([127, 0, 0, 1].into(), 0, false)
            .await
            .unwrap();
        for (word, flags) in [
            (
                format!("--http_port={}", taken.port()),
                "--http_address or --http_port",
            ),
            (
                "--http_address=0.0.0.0".to_owned(),
                "0.0.0.0 (--http_address)",
            ),
        ] {
            let error = refused(&[word]).await.to_string();
            assert!(error.contains(flags) && !error.contains("--ip"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_part_that_panics_is_reported() {
        let (report, mut failure) = watch::channel(None);
        let part = "the engine";
        let watched = PanicReport { part, report };
        let task = tokio::spawn(async move {
            let _watched = watched;
            panic!("as the test wants it");
        });
        assert!(task.await.is_err());
        let reason = failure.wait_for(Option::is_some).await.unwrap().clone();
        assert!(matches!(reason, Some(FailureReason::Panicked { part: told }) if told == part));
    }
}
