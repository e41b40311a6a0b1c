//! The networks of tasks: the host's, and the node's bridge, which a task joins by its name.
//!
//! What a task asks for is read by `wish`, purely; `connect` does it, for one launch; `watch` looks after what
//! is there.

mod connect;
mod dns;
mod flags;
mod watch;
pub mod wish;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use isolators::network::File;
use network::{Node, Port, Protocol, Settings};
use proto::v1;

pub use connect::{ConnectError, Connected};
pub use dns::BadDns;
pub use flags::NetworkFlags;
pub use watch::{Watching, watch};

use crate::paths;

/// All that tasks of this agent may join.
#[derive(Debug, Clone)]
pub struct Networks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: Node,
    /// Of the bridge, as tasks call it.
    name: String,
    table: String,
    dns: Option<network::Dns>,
    /// Containers whose launch is under way: nothing of them need be there yet.
    launching: Mutex<BTreeSet<String>>,
    /// Another process looks after it from now on.
    left: AtomicBool,
}

#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("the flags of the agent's bridge are not valid")]
    Settings(#[from] network::BadSettings),
    #[error("bad --default_container_dns")]
    Dns(#[from] BadDns),
    #[error("cannot read which addresses containers have")]
    Journal(#[from] network::JournalError),
}

/// Where programs look things up, and the file of a container's lease that is shown there.
const FILES: [(&str, &str); 3] = [
    ("/etc/hosts", "hosts"),
    ("/etc/hostname", "hostname"),
    ("/etc/resolv.conf", "resolv.conf"),
];

impl Networks {
    /// With what containers of an earlier agent have. Touches nothing of the host's network.
    pub fn open(flags: &NetworkFlags, runtime_dir: &Path) -> Result<Self, NetworkError> {
        let settings = Settings::try_from(flags)?;
        let table = settings.bridge.clone();
        let directory = paths::network(runtime_dir);
        Ok(Self(Arc::new(Inner {
            name: flags.bridge_network.clone(),
            dns: dns::read(flags)?,
            node: Node::recover(settings, &directory)?,
            table,
            launching: Mutex::default(),
            left: AtomicBool::new(false),
        })))
    }

    /// The bridge's, as tasks call it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// That a container is shown instead of its own.
    pub fn files(&self, container: &str) -> Vec<File> {
        let place = self.0.node.place(container);
        let file = |(target, name): &(&str, &str)| File {
            source: place.join(name),
            target: target.into(),
        };
        FILES.iter().map(file).collect()
    }

    /// What others are told of a container's addresses; `None` where it has none of its own.
    pub fn infos(&self, container: &str) -> Option<Vec<v1::NetworkInfo>> {
        let lease = self.0.node.lease(container)?;
        let mappings = lease
            .ports
            .iter()
            .map(|port| v1::network_info::PortMapping {
                host_port: port.host.into(),
                container_port: port.container.into(),
                protocol: Some(port.protocol.to_string()),
            });
        Some(vec![v1::NetworkInfo {
            name: Some(self.0.name.clone()),
            ip_addresses: lease.addresses.iter().map(|ip| address(*ip)).collect(),
            port_mappings: mappings.collect(),
            ..Default::default()
        }])
    }

    /// Leaves it to another process: what that does must not be undone here.
    pub fn leave(&self) {
        self.0.left.store(true, Ordering::SeqCst);
    }

    fn is_left(&self) -> bool {
        self.0.left.load(Ordering::SeqCst)
    }

    /// Of a container that is no more. Blocks.
    pub fn release(&self, container: &str) {
        let ports = self.ports(container);
        match self.0.node.release(container) {
            Ok(()) => self.forget_talks(ports),
            Err(error) => {
                let error = proto::error::chain(&error);
                tracing::warn!(
                    container,
                    error,
                    "a container's addresses and ports stay taken"
                );
            }
        }
    }

    fn ports(&self, container: &str) -> Vec<Port> {
        let lease = self.0.node.lease(container);
        lease.map(|lease| lease.ports).unwrap_or_default()
    }

    /// Beside all else: it takes the kernel long.
    fn forget_talks(&self, ports: Vec<Port>) {
        if ports.iter().any(|port| port.protocol == Protocol::Udp) {
            let networks = self.clone();
            thread::spawn(move || networks.0.node.forget_talks(&ports));
        }
    }

    /// Of containers that are no more, and that nobody has released. Blocks.
    pub fn release_all_but(&self, is_there: impl Fn(&str) -> bool) {
        // In this order: who is being launched then has its lease later.
        let leased = self.0.node.containers();
        let launching = self.launching().clone();
        for container in leased {
            if !launching.contains(&container) && !is_there(&container) {
                self.release(&container);
            }
        }
    }

    fn launching(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // No panic leaves a set half changed.
        let launching = self.0.launching.lock();
        launching.unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn address(ip: IpAddr) -> v1::network_info::IpAddress {
    let protocol = match ip {
        IpAddr::V4(_) => v1::network_info::Protocol::IPv4,
        IpAddr::V6(_) => v1::network_info::Protocol::IPv6,
    };
    v1::network_info::IpAddress {
        protocol: Some(protocol as i32),
        ip_address: Some(ip.to_string()),
    }
}
