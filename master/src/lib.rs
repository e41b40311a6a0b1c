//! The master: which agents there are, what is free on them, who is offered it, and what runs.
//!
//! `cluster` is the whole of it as one pure state machine. Around it are thin shells: `driver` is
//! the task that owns the machine and performs its effects, `http` turns requests into its events
//! and its effects into streams, `registry` keeps the list of agents on disk, and `view` shows it to
//! people and tools.
//!
//! Invariants: a registry write is durable before anybody is told of what it promises; tasks and
//! frameworks are never stored here, since agents and schedulers bring them back after a restart;
//! the master runs nothing itself.
#![forbid(unsafe_code)]

mod cluster;
mod driver;
mod flags;
mod http;
mod registry;
mod view;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use endpoint::{ListenError, NoAddress};
use proto::v1::{self, master_info::capability::Type as Capability};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use cluster::{Cluster, Config, Remembered};
use driver::Driver;
pub use driver::DriverError;
pub use flags::{Flags, RegistryKind};
use http::Context;
use registry::Registry;
pub use registry::RegistryError;
use view::About;

/// How long open connections may take to end when the master stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    NoAddress(#[from] NoAddress),
    #[error("cannot use the registry")]
    Registry(#[from] RegistryError),
}

/// A running master. Dropping the handle leaves it running.
pub struct Handle {
    address: SocketAddr,
    master_id: String,
    stop: watch::Sender<bool>,
    driver: JoinHandle<Result<(), DriverError>>,
    server: JoinHandle<()>,
}

impl Handle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn master_id(&self) -> &str {
        &self.master_id
    }

    /// Waits for the master to end by itself, which it only does when its registry fails.
    pub async fn failed(&mut self) -> Result<(), DriverError> {
        match (&mut self.driver).await {
            Ok(outcome) => outcome,
            Err(_panicked) => Err(DriverError::Panicked),
        }
    }

    /// Ends all streams and stops listening. Agents keep running what they run.
    pub async fn stop(mut self) {
        // Nobody listens any more if it has failed already.
        let _ = self.stop.send(true);
        if tokio::time::timeout(STOP_TIMEOUT, &mut self.server)
            .await
            .is_err()
        {
            self.server.abort();
        }
        if !self.driver.is_finished() {
            self.driver.abort();
        }
    }
}

pub async fn start(flags: Flags) -> Result<Handle, StartError> {
    let (listener, address) = endpoint::listen(flags.ip, flags.port, flags.insecure).await?;
    let master = master_info(&flags, address)?;

    let (registry, registered) = Registry::recover(flags.registry, &flags.work_dir).await?;

    let about = about(&flags, &master);
    let master_id = master.id.clone();
    tracing::info!(master = master_id, %address, agents = registered.admitted.len(), "master started");
    let (driver, owner) = Driver::new(Cluster::new(config(flags, master), registered), registry);
    let (stop, stopping) = watch::channel(false);
    let router = http::router(Context {
        owner,
        about: Arc::new(about),
    });
    let mut server_stop = stopping.clone();
    let server = tokio::spawn(endpoint::serve(listener, router, async move {
        // An error means that the handle is gone, and then the master runs on.
        if server_stop.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }));
    let ended = stop.clone();
    let driver = tokio::spawn(async move {
        let outcome = driver.run(stopping).await;
        if let Err(error) = &outcome {
            tracing::error!(%error, "the master cannot go on");
        }
        // Without the owner, no request can be answered.
        let _ = ended.send(true);
        outcome
    });
    Ok(Handle {
        address,
        master_id,
        stop,
        driver,
        server,
    })
}

fn master_info(flags: &Flags, address: SocketAddr) -> Result<v1::MasterInfo, NoAddress> {
    let (ip, port) = (flags.advertise_ip, flags.advertise_port);
    let advertised = endpoint::advertised(address, ip, port, "advertise_ip")?;
    let (ip, port) = (advertised.ip(), advertised.port());
    let hostname = flags.hostname.clone().unwrap_or_else(|| ip.to_string());
    let capability = |kind: Capability| v1::master_info::Capability {
        r#type: Some(kind.into()),
    };
    Ok(v1::MasterInfo {
        id: uuid::Uuid::new_v4().to_string(),
        // The first octet is the lowest byte. There is no such number for IPv6: `address` has it.
        ip: match ip {
            IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
            IpAddr::V6(_) => 0,
        },
        port: port.into(),
        pid: Some(format!("master@{advertised}")),
        hostname: Some(hostname.clone()),
        version: Some(proto::MESOS_VERSION.to_owned()),
        address: Some(v1::Address {
            hostname: Some(hostname),
            ip: Some(ip.to_string()),
            port: port.into(),
        }),
        domain: None,
        capabilities: vec![capability(Capability::AgentUpdate)],
    })
}

fn about(flags: &Flags, master: &v1::MasterInfo) -> About {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    About {
        flags: flags.shown(),
        cluster: flags.cluster.clone(),
        endpoint: format!("{}:{}", master.hostname(), master.port),
        start_time: since_epoch.unwrap_or_default().as_secs_f64(),
    }
}

fn config(flags: Flags, master: v1::MasterInfo) -> Config {
    Config {
        master,
        agent_ping_timeout: flags.agent_ping_timeout,
        max_agent_ping_timeouts: flags.max_agent_ping_timeouts,
        agent_reregister_timeout: flags.agent_reregister_timeout,
        allocation_interval: flags.allocation_interval,
        min_allocatable: flags.min_allocatable_resources,
        offer_timeout: flags.offer_timeout,
        root_submissions: flags.root_submissions,
        remembered: Remembered {
            frameworks: flags.max_completed_frameworks,
            completed_tasks: flags.max_completed_tasks_per_framework,
            unreachable_tasks: flags.max_unreachable_tasks_per_framework,
        },
        seed: rand::random(),
    }
}
