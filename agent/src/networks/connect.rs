//! A container's network, made before the container: what it is to have is written down, then done.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use containerizer::audit::{Scope, foreign_listeners};
use containerizer::{Containerizer, Network};
use failpoint::{Point, reach};
use network::{AttachError, Dns, Namespace, Port, Protocol, Wants, files};
use tokio::task::JoinHandle;

use super::dns::of_plugin;
use super::wish::Own;
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
    #[error(
        "network {name:?} is not known to this agent, which has {known}: name one of those, or none"
    )]
    Unknown { name: String, known: String },
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error(transparent)]
    Named(#[from] cni::AttachError),
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
            self.networks.take_back(&self.container);
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
        own: Own,
    ) -> JoinHandle<Result<Connected, ConnectError>> {
        let (networks, containerizer) = (self.clone(), containerizer.clone());
        let container = container.to_owned();
        let connect = move || networks.connect(&containerizer, &container, &own);
        tokio::task::spawn_blocking(connect)
    }

    fn connect(
        &self,
        containerizer: &Containerizer,
        container: &str,
        own: &Own,
    ) -> Result<Connected, ConnectError> {
        self.launching().insert(container.to_owned());
        let mut connected = Connected {
            networks: self.clone(),
            container: container.to_owned(),
            network: None,
            is_kept: false,
        };
        self.know(&own.named)?;
        if let Some(port) = first_in_use(&own.ports())? {
            return Err(in_use_by(&port));
        }
        let network = containerizer.network().map_err(ConnectError::Namespace)?;
        let mut found = match &own.bridge {
            Some(bridge) => {
                let dns = self.0.dns.of(&self.0.name);
                let egress = bridge.egress.clone().map(|policy| {
                    let dns = dns.clone().unwrap_or_else(hosts_dns);
                    policy.with_servers(&dns.but(own.dns.clone()).nameservers)
                });
                let wants = Wants {
                    ports: bridge.ports.clone(),
                    egress,
                };
                let lease = self.0.node.reserve(container, &wants)?;
                let route = network.route.try_clone().map_err(ConnectError::Namespace)?;
                let inside = Namespace {
                    namespace: network.namespace.as_fd(),
                    route,
                    rates: bridge.rates,
                };
                self.0.node.attach(&lease, inside)?;
                self.forget_talks(wants.ports);
                Found {
                    addresses: lease.addresses,
                    dns,
                }
            }
            None => Found::default(),
        };
        // One that leads nowhere is written down, too.
        if own.bridge.is_none() || !own.named.is_empty() {
            self.attach(container, network.namespace.as_fd(), own, &mut found)?;
        }
        self.write_files(container, own, found)?;
        reach(Point::LookupsWritten);
        connected.network = Some(network);
        Ok(connected)
    }

    fn attach(
        &self,
        container: &str,
        namespace: BorrowedFd<'_>,
        own: &Own,
        found: &mut Found,
    ) -> Result<(), ConnectError> {
        let Inner { named, dns, .. } = &*self.0;
        let mut wishes = own.named.clone();
        for wish in &mut wishes {
            let said = dns.of(&wish.network);
            wish.runtime.dns = said.map(|dns| cni::RuntimeDns {
                servers: dns.nameservers,
                searches: dns.search,
                options: dns.options,
            });
        }
        let outcomes = named.attach(container, namespace, wishes)?;
        let addresses = outcomes.iter().flat_map(|it| &it.addresses);
        found.addresses.extend(addresses.map(|it| it.ip));
        let of_plugins = || outcomes.iter().find_map(|it| of_plugin(&it.dns));
        let of_flags = || own.named.iter().find_map(|it| dns.of(&it.network));
        found.dns = found.dns.take().or_else(of_plugins).or_else(of_flags);
        Ok(())
    }

    /// Says what there is, and why a file may describe none of them.
    fn know(&self, wishes: &[cni::Wish]) -> Result<(), ConnectError> {
        if wishes.is_empty() {
            return Ok(());
        }
        let found = self.0.named.networks()?;
        let is_unknown = |it: &&cni::Wish| !found.networks.contains_key(&it.network);
        let Some(unknown) = wishes.iter().find(is_unknown) else {
            return Ok(());
        };
        let names = found.networks.keys().map(|name| format!("{name:?}"));
        let bridge = format!("{:?}", self.0.name);
        let names = std::iter::once(bridge).chain(names);
        let known = names.collect::<Vec<_>>().join(", ");
        let faults = found.faults.iter().map(|fault| proto::error::chain(fault));
        let known = faults.fold(known, |known, fault| format!("{known} ({fault})"));
        Err(ConnectError::Unknown {
            name: unknown.network.clone(),
            known,
        })
    }

    fn write_files(&self, container: &str, own: &Own, found: Found) -> Result<(), ConnectError> {
        let place = self.place(container, own);
        let dns = found.dns.unwrap_or_else(hosts_dns);
        let dns = dns.but(own.dns.clone());
        for (name, text) in [
            ("hosts", files::hosts(&own.hostname, &found.addresses)),
            ("hostname", format!("{}\n", own.hostname)),
            ("resolv.conf", dns.resolv_conf()),
        ] {
            let file = place.join(name);
            fs::write(&file, text).map_err(|source| ConnectError::File(file, source))?;
        }
        Ok(())
    }
}

/// What a container gets to know of its networks.
#[derive(Default)]
struct Found {
    addresses: Vec<IpAddr>,
    dns: Option<Dns>,
}

fn hosts_dns() -> Dns {
    first_known(HOST_RESOLV_CONF).unwrap_or_else(|| {
        tracing::warn!(
            "no name server of this host can be reached from a network of a task's own, which knows no names: name one \
             with --default_container_dns"
        );
        Dns::default()
    })
}

/// The first that knows a server which a container can reach.
fn first_known(files: &[impl AsRef<Path>]) -> Option<Dns> {
    let texts = files.iter().map(fs::read_to_string);
    let mut all = texts.flatten().map(|text| Dns::of_host(&text));
    all.find(|dns| !dns.nameservers.is_empty())
}

/// Of a task with the host's network: nobody else listens where it is to.
pub async fn are_free(ports: &[Port]) -> Result<(), ConnectError> {
    let Some(port) = first_in_use(ports)? else {
        return Ok(());
    };
    // That takes its time.
    let told = tokio::task::spawn_blocking(move || in_use_by(&port)).await;
    Err(told.unwrap_or_else(|_interrupted| in_use(&port, None)))
}

fn first_in_use(ports: &[Port]) -> Result<Option<Port>, ConnectError> {
    for port in ports {
        let in_use = port.is_in_use();
        if in_use.map_err(|source| ConnectError::Probe(port.host, source))? {
            return Ok(Some(*port));
        }
    }
    Ok(None)
}

/// Every process is looked at, which is why it is only done now.
fn in_use_by(port: &Port) -> ConnectError {
    let scope = Scope {
        runtime_dir: PathBuf::new(),
        cgroups_hierarchy: PathBuf::new(),
        // No process is below it: one of a task counts, too.
        cgroups_root: "/".to_owned(),
        directories: Vec::new(),
        oci_root: PathBuf::new(),
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
    in_use(port, process)
}

fn in_use(port: &Port, process: Option<String>) -> ConnectError {
    ConnectError::InUse {
        port: port.host,
        protocol: port.protocol,
        process: process
            .unwrap_or_else(|| "the kernel, or a process that cannot be seen".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_hosts_files_the_first_counts_that_knows_a_server_for_others_than_itself() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let file = directory.path().join(name);
            fs::write(&file, text).unwrap();
            file
        };
        let stub = file("stub", "nameserver 127.0.0.53\noptions edns0\n");
        let one = file("one", "nameserver 192.0.2.53\nsearch example\n");
        let other = file("other", "nameserver 192.0.2.54\n");
        let missing = directory.path().join("missing");
        let found = first_known(&[missing, stub.clone(), one, other]).unwrap();
        assert_eq!(found.nameservers, ["192.0.2.53"]);
        assert_eq!(found.search, ["example"]);
        assert_eq!(first_known(&[stub]), None);
    }
}
