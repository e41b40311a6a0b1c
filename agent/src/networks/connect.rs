//! A container's network, made before the container: what it is to have is written down, then done.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use containerizer::audit::{Scope, foreign_listeners};
use containerizer::{Containerizer, Network};
use network::{AttachError, Dns, Lease, Namespace, Port, Protocol, Rates, files};
use tokio::task::JoinHandle;

use super::{Inner, Networks};

const HOST_RESOLV_CONF: &[&str] = &[
    // What its stub, which listens on the host's loopback, would ask.
    "/run/systemd/resolve/resolv.conf",
    "/etc/resolv.conf",
];

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(
        "port {port}/{protocol} of this host is in use by {process}: end that, or keep it off the ports that \
         this agent offers"
    )]
    InUse {
        port: u16,
        protocol: Protocol,
        process: String,
    },
    #[error("cannot tell whether port {0} of this host is in use")]
    Probe(u16, #[source] io::Error),
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error("cannot make a network namespace")]
    Namespace(#[source] io::Error),
    #[error("cannot write {}, which the container is to see", .0.display())]
    File(PathBuf, #[source] io::Error),
}

/// A container that is to be has its network. Whoever drops this before `keep` takes it back.
#[derive(Debug)]
pub struct Connected {
    networks: Networks,
    container: String,
    network: Option<Network>,
    is_kept: bool,
}

impl Connected {
    /// For the launch.
    pub fn take(&mut self) -> Option<Network> {
        self.network.take()
    }

    /// The container may be there from now on.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.network = None;
        if !self.is_kept {
            self.networks.release(&self.container);
        }
        self.networks.launching().remove(&self.container);
    }
}

impl Networks {
    /// What becomes of it when nobody waits for it is dropped, and by that undone.
    pub fn connecting(
        &self,
        containerizer: &Containerizer,
        container: &str,
        ports: Vec<Port>,
        rates: Rates,
        hostname: String,
    ) -> JoinHandle<Result<Connected, ConnectError>> {
        let (networks, containerizer) = (self.clone(), containerizer.clone());
        let container = container.to_owned();
        let connect =
            move || networks.connect(&containerizer, &container, &ports, rates, &hostname);
        tokio::task::spawn_blocking(connect)
    }

    fn connect(
        &self,
        containerizer: &Containerizer,
        container: &str,
        ports: &[Port],
        rates: Rates,
        hostname: &str,
    ) -> Result<Connected, ConnectError> {
        self.launching().insert(container.to_owned());
        let mut connected = Connected {
            networks: self.clone(),
            container: container.to_owned(),
            network: None,
            is_kept: false,
        };
        for port in ports {
            let in_use = port.is_in_use();
            if in_use.map_err(|source| ConnectError::Probe(port.host, source))? {
                return Err(in_use_by(port));
            }
        }
        let Inner { node, dns, .. } = &*self.0;
        let lease = node.reserve(container, ports)?;
        self.write_files(container, &lease, hostname, dns.as_ref())?;
        let network = containerizer.network().map_err(ConnectError::Namespace)?;
        let route = network.route.try_clone().map_err(ConnectError::Namespace)?;
        let namespace = network.namespace.as_fd();
        let inside = Namespace {
            namespace,
            route,
            rates,
        };
        node.attach(&lease, inside)?;
        connected.network = Some(network);
        self.forget_talks(ports.to_vec());
        Ok(connected)
    }

    fn write_files(
        &self,
        container: &str,
        lease: &Lease,
        hostname: &str,
        dns: Option<&Dns>,
    ) -> Result<(), ConnectError> {
        let place = self.0.node.place(container);
        let dns = dns.cloned().unwrap_or_else(hosts_dns);
        for (name, text) in [
            ("hosts", files::hosts(hostname, &lease.addresses)),
            ("hostname", format!("{hostname}\n")),
            ("resolv.conf", dns.resolv_conf()),
        ] {
            let file = place.join(name);
            fs::write(&file, text).map_err(|source| ConnectError::File(file, source))?;
        }
        Ok(())
    }
}

/// The first that knows a server which a container can reach.
fn hosts_dns() -> Dns {
    let texts = HOST_RESOLV_CONF.iter().map(fs::read_to_string);
    let mut all = texts.flatten().map(|text| Dns::of_host(&text));
    let known = all.find(|dns| !dns.nameservers.is_empty());
    known.unwrap_or_default()
}

/// Every process is looked at, which is why it is only done now.
fn in_use_by(port: &Port) -> ConnectError {
    let scope = Scope {
        runtime_dir: PathBuf::new(),
        cgroups_hierarchy: PathBuf::new(),
        // No process is below it: one of a task counts, too.
        cgroups_root: "/".to_owned(),
        directories: Vec::new(),
    };
    let listeners = foreign_listeners(&scope, |number| number == port.host);
    let protocol = port.protocol.to_string();
    let holder = listeners
        .iter()
        .find(|it| it.protocol.to_string() == protocol);
    let process = holder.map(|it| {
        let (pid, name) = (it.process.process.pid, &it.process.name);
        format!("process {pid} ({name})")
    });
    ConnectError::InUse {
        port: port.host,
        protocol: port.protocol,
        process: process
            .unwrap_or_else(|| "the kernel, or a process that cannot be seen".to_owned()),
    }
}
