//! Starting and stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use endpoint::{ListenError, NoAddress};
use proto::address::Master;
use proto::error::chain;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::engine::Engine;
use crate::flags::Flags;
use crate::http::{self, About};
use crate::master::{self, Identity};
use crate::service::{Clock, Service, Wiring};
use crate::store::{Store, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    NoAddress(#[from] NoAddress),
    #[error(
        "--local_port_min={min} is greater than --local_port_max={max}: no service port could be \
         chosen"
    )]
    NoServicePorts { min: u16, max: u16 },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot make an HTTP client for the master at {master}")]
    Client {
        master: Master,
        source: reqwest::Error,
    },
}

/// A running scheduler. Tasks go on when it stops.
pub struct Handle {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    engine: JoinHandle<()>,
    server: JoinHandle<()>,
    link: JoinHandle<()>,
}

/// Waiting events and calls; both are small, and more than a cluster says in an instant.
const QUEUE: usize = 1024;
/// How long requests that are being answered may hold up the end.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

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
    let store = Arc::new(Store::open(&flags.work_dir)?);
    let snapshot = store.load()?;

    let clock = Clock::start();
    let (framework_id, known_id) = watch::channel(snapshot.framework_id.clone());
    let engine = Engine::new(flags.engine(), rand::random(), snapshot, clock.now());
    let (events, incoming) = mpsc::channel(QUEUE);
    let (calls, outgoing) = mpsc::channel(QUEUE);
    let wiring = Wiring {
        store,
        events: incoming,
        calls,
        framework_id,
    };
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
    let asked_to_stop = async move {
        // An error means that the handle was dropped: then nobody can ask us to stop.
        if stopped.wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let server = endpoint::serve(listener, http::router(service, about), asked_to_stop);
    tracing::info!(%address, "scheduler listening");
    Ok(Handle {
        address,
        stop,
        engine: tokio::spawn(async move {
            if let Err(error) = owner.await {
                tracing::error!(error = chain(&error), "scheduler stopped");
            }
        }),
        server: tokio::spawn(server),
        link: tokio::spawn(link),
    })
}

impl Handle {
    pub fn address(&self) -> SocketAddr {
        self.address
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
        let _ = self.engine.await;
        let _ = self.link.await;
    }
}
