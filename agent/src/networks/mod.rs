//! The networks of tasks: the host's, the node's bridge, and those that an operator describes for plugins (CNI);
//! a task joins all but the first by their names.
//!
//! What a task asks for is read by `wish`, purely; `connect` does it, for one launch; `watch` looks after what
//! is there.

mod connect;
pub mod dns;
mod flags;
mod upkeep;
mod watch;
pub mod wish;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use isolators::network::File;
use network::{Damaged, Lease, Node, Port, Protocol, Settings};
use proto::v1;

pub use connect::{ConnectError, Connected, are_free};
pub use dns::BadDns;
use dns::DefaultDns;
pub use flags::NetworkFlags;
pub use watch::{Watching, watch};

use crate::{checkpoint, paths};
use wish::{NONE, Own};

/// All that tasks of this agent may join.
#[derive(Debug, Clone)]
pub struct Networks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: Node,
    named: cni::Node,
    /// Of the bridge, as tasks call it.
    name: String,
    table: String,
    dns: DefaultDns,
    /// Containers whose launch is under way: nothing of them need be there yet.
    launching: Mutex<BTreeSet<String>>,
    /// Named networks that would connect nobody, and why.
    unready: Mutex<BTreeMap<String, String>>,
    /// Another process looks after it from now on.
    left: AtomicBool,
    /// How many containers have something that nobody has written down legibly.
    losses: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("the flags of the agent's bridge are not valid")]
    Settings(#[from] network::BadSettings),
    #[error("bad --default_container_dns")]
    Dns(#[from] BadDns),
    #[error("cannot read which addresses containers have")]
    Journal(#[from] network::JournalError),
    #[error(
        "the addresses of container {container} cannot be told: put that right, or start with --strict=false, which \
         sets aside what is damaged and leaves the container what the kernel has for it"
    )]
    Lease {
        container: String,
        source: state::BadRecord,
    },
    #[error(
        "the networks of container {container} cannot be told: put that right, or start with --strict=false, which \
         sets aside what is damaged and goes by its copy, where there is one"
    )]
    Attachments {
        container: String,
        source: state::BadRecord,
    },
    #[error("cannot read which networks containers are in")]
    Named(#[from] cni::JournalError),
}

/// Where programs look things up, and the file of a container's lease that is shown there.
const FILES: [(&str, &str); 3] = [
    ("/etc/hosts", "hosts"),
    ("/etc/hostname", "hostname"),
    ("/etc/resolv.conf", "resolv.conf"),
];

impl Networks {
    /// With what containers of an earlier agent have. Touches nothing of the host's network. What is written down of
    /// them and cannot be read is an error where the agent is `strict`, and otherwise set aside.
    pub fn open(
        flags: &NetworkFlags,
        runtime_dir: &Path,
        work_dir: &Path,
        strict: bool,
    ) -> Result<Self, NetworkError> {
        let settings = Settings::try_from(flags)?;
        let table = settings.bridge.clone();
        let directory = paths::network(runtime_dir);
        let mut node = Node::recover(settings, &directory)?;
        let damaged = node.take_damaged();
        let mut named = cni::Node::recover(flags.named(runtime_dir, work_dir))?;
        let of_named = named.take_damaged();
        let losses = damaged.len() + of_named.len();
        for Damaged { container, why } in damaged {
            if strict {
                let source = why;
                return Err(NetworkError::Lease { container, source });
            }
            set_aside(
                &container,
                &why,
                "what the container has is as the kernel has it",
            );
        }
        for cni::Damaged {
            container,
            why,
            is_known,
        } in of_named
        {
            if strict {
                let source = why;
                return Err(NetworkError::Attachments { container, source });
            }
            let so = match is_known {
                true => "there is a copy of it",
                false => "no plugin will be told of the container's end",
            };
            set_aside(&container, &why, so);
        }
        Ok(Self(Arc::new(Inner {
            name: flags.bridge_network.clone(),
            dns: dns::read(flags)?,
            node,
            named,
            table,
            launching: Mutex::default(),
            unready: Mutex::default(),
            left: AtomicBool::new(false),
            losses,
        })))
    }

    /// How much of what containers have could not be read at the start.
    pub fn losses(&self) -> usize {
        self.0.losses
    }

    /// The bridge's, as tasks call it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// That a container is shown instead of its own.
    pub fn files(&self, container: &str, own: &Own) -> Vec<File> {
        let place = self.place(container, own);
        let file = |(target, name): &(&str, &str)| File {
            source: place.join(name),
            target: target.into(),
        };
        FILES.iter().map(file).collect()
    }

    fn place(&self, container: &str, own: &Own) -> PathBuf {
        match own.bridge {
            Some(_) => self.0.node.place(container),
            None => self.0.named.place(container),
        }
    }

    /// What others are told of a container's addresses; `None` where it has none of its own.
    pub fn infos(&self, container: &str) -> Option<Vec<v1::NetworkInfo>> {
        let nameless = || {
            let has = self.0.node.is_nameless(container);
            has.then(|| v1::NetworkInfo {
                name: Some(self.0.name.clone()),
                ..Default::default()
            })
        };
        let lease = self.0.node.lease(container);
        let bridged = lease.map(|it| self.bridged(&it)).or_else(nameless);
        let named = self.0.named.record(container);
        if bridged.is_none() && named.is_none() {
            return None;
        }
        let attachments = named.iter().flat_map(|it| &it.attachments);
        let mut infos: Vec<_> = bridged
            .into_iter()
            .chain(attachments.map(of_named))
            .collect();
        if infos.is_empty() {
            infos.push(v1::NetworkInfo {
                name: Some(NONE.to_owned()),
                ..Default::default()
            });
        }
        Some(infos)
    }

    fn bridged(&self, lease: &Lease) -> v1::NetworkInfo {
        let mappings = lease
            .ports
            .iter()
            .map(|port| v1::network_info::PortMapping {
                host_port: port.host.into(),
                container_port: port.container.into(),
                protocol: Some(port.protocol.to_string()),
            });
        v1::NetworkInfo {
            name: Some(self.0.name.clone()),
            ip_addresses: lease.addresses.iter().map(|ip| address(*ip)).collect(),
            port_mappings: mappings.collect(),
            ..Default::default()
        }
    }

    /// Whether programs of somebody else take part in the launch of it.
    pub fn run_plugins(&self, task: &v1::TaskInfo) -> bool {
        wish::runs_plugins(task, &self.0.name)
    }

    /// How many packets were refused to each container that has a network of its own. Reads the kernel's
    /// counters.
    pub fn denied(&self) -> BTreeMap<String, u64> {
        self.0.node.denied().unwrap_or_else(|error| {
            let error = proto::error::chain(&error);
            tracing::debug!(error, "cannot read what containers were refused");
            BTreeMap::new()
        })
    }

    /// Leaves it to another process: what that does must not be undone here.
    pub fn leave(&self) {
        self.0.left.store(true, Ordering::SeqCst);
    }

    fn is_left(&self) -> bool {
        self.0.left.load(Ordering::SeqCst)
    }

    /// Of a container that is no more. Blocks, for plugins too.
    pub fn release(&self, container: &str) {
        self.release_bridged(container);
        self.release_named(container);
    }

    /// The same for who cannot wait: plugins have a thread of their own.
    fn take_back(&self, container: &str) {
        self.release_bridged(container);
        if self.0.named.record(container).is_some() {
            let (networks, container) = (self.clone(), container.to_owned());
            thread::spawn(move || networks.release_named(&container));
        }
    }

    fn release_bridged(&self, container: &str) {
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

    /// What fails is tried again, by `watch`.
    fn release_named(&self, container: &str) {
        match self.0.named.release(container) {
            // Whoever is at work with it sees to it.
            Ok(()) | Err(cni::ReleaseError::Busy) => {}
            Err(error) => {
                let error = proto::error::chain(&error);
                tracing::warn!(
                    container,
                    error,
                    "what a container had of its networks is still there"
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

    /// Of containers that are no more, and that nobody has released, what they have of the bridge. Blocks.
    pub fn release_all_bridged_but(&self, is_there: impl Fn(&str) -> bool) {
        // In this order: who is being launched then has its lease later.
        let leased = self.0.node.containers();
        self.gone(leased, is_there)
            .iter()
            .for_each(|it| self.release_bridged(it));
    }

    /// The same of networks that plugins connect with, who are asked of the others whether they still do.
    /// Blocks, for all of them.
    pub fn look_after_named(&self, is_there: impl Fn(&str) -> bool, checks: bool) {
        let all = self.0.named.containers();
        let gone = self.gone(all.clone(), is_there);
        gone.iter().for_each(|it| self.release_named(it));
        for container in all.iter().filter(|it| checks && !gone.contains(it)) {
            let checked = self.0.named.check(container);
            // One that has ended meanwhile is connected with nothing.
            if let Err(error) = checked
                && self.0.named.record(container).is_some()
            {
                let error = proto::error::chain(&error);
                tracing::warn!(
                    container,
                    error,
                    "a container may not be connected any more"
                );
            }
        }
    }

    fn gone(&self, mut all: Vec<String>, is_there: impl Fn(&str) -> bool) -> Vec<String> {
        let launching = self.launching().clone();
        all.retain(|container| !launching.contains(container) && !is_there(container));
        all
    }

    fn launching(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // No panic leaves a set half changed.
        let launching = self.0.launching.lock();
        launching.unwrap_or_else(PoisonError::into_inner)
    }
}

/// What cannot be moved stays where it is, and is lost all the same.
fn set_aside(container: &str, why: &state::BadRecord, so: &str) {
    let error = proto::error::chain(why);
    match checkpoint::set_aside(why.file()) {
        Ok(aside) => {
            let aside = aside.display();
            tracing::error!(container, error, %aside, "lost what is written down of a network: {so}");
        }
        Err(failure) => {
            let failure = proto::error::chain(&failure);
            tracing::error!(
                container,
                error,
                failure,
                "cannot set aside what is damaged"
            );
        }
    }
}

fn of_named(attachment: &cni::Attachment) -> v1::NetworkInfo {
    let asked = wish::asked(&attachment.arguments);
    let outcome = attachment.outcome().unwrap_or_default();
    let addresses = outcome.addresses.iter().map(|it| address(it.ip));
    v1::NetworkInfo {
        name: Some(attachment.network.name.clone()),
        ip_addresses: addresses.collect(),
        ..asked.unwrap_or_default()
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
