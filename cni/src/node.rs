//! The named networks of a node, and the containers in them.

mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use failpoint::{Point, reach};
use serde_json::{Map, Value};
use state::BadRecord;

use crate::chain::{Failure, Plugins};
use crate::directory::{self, Found};
use crate::journal::{Attachment, Journal, JournalError, Record};
use crate::namespace;
use crate::network::{Network, is_name};
use crate::outcome::{Outcome, understood};
use crate::plan::{Place, PortMapping, Runtime};
use crate::run::is_outlasted;

/// Where an operator's things are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `None` when there are no networks but those that containers have already.
    pub networks: Option<PathBuf>,
    pub plugins: Vec<PathBuf>,
    /// What is written down of containers.
    pub journal: PathBuf,
    /// Of one run of a plugin.
    pub limit: Duration,
}

/// One network that a container is to join.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    pub network: String,
    /// As the container is to call its link: eth0.
    pub interface: String,
    pub runtime: Runtime,
    /// For plugins that know who runs them.
    pub arguments: Map<String, Value>,
}

#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error("cannot read {}, where networks are described (--network_cni_config_dir)", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    #[error("network {0:?} is not described any more")]
    Unknown(String),
    #[error(
        "network {network:?} has no plugin with the capability {capability}, which the container needs: add one \
         to its list, such as portmap for portMappings"
    )]
    Incapable {
        network: String,
        capability: &'static str,
    },
    #[error("container {0:?} cannot be told to plugins by that name")]
    Container(String),
    #[error("container {0} has networks already")]
    Attached(String),
    #[error("port {port}/{protocol} of this host is that of container {container}")]
    PortTaken {
        port: u16,
        protocol: String,
        container: String,
    },
    #[error("cannot write down a container's networks")]
    Journal(#[from] JournalError),
    #[error("cannot give a container's network namespace a name, {}", .0.display())]
    Namespace(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Plugin(#[from] Failure),
    #[error("network {network:?}: its last plugin's answer makes no sense")]
    Outcome {
        network: String,
        source: crate::outcome::BadOutcome,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error("somebody is at work with its networks")]
    Busy,
    #[error("{count} calls of plugins have failed, the first of them")]
    Plugins {
        count: usize,
        #[source]
        first: Box<Failure>,
    },
    #[error("cannot take away the name of its network namespace")]
    Namespace(#[source] io::Error),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What is written down of a container's networks, and cannot be read.
#[derive(Debug)]
pub struct Damaged {
    pub container: String,
    pub why: BadRecord,
    /// There is a copy of it.
    pub is_known: bool,
}

#[derive(Debug)]
pub struct Node {
    settings: Settings,
    plugins: Plugins,
    journal: Journal,
    books: Mutex<Books>,
    damaged: Vec<Damaged>,
    /// Told when somebody is not at work any more, with a container or with a network.
    done: Condvar,
}

#[derive(Debug, Default)]
struct Books {
    records: BTreeMap<String, Arc<Record>>,
    /// Containers that somebody is at work with: of one, no two plugins may be called at once (CNI 1.1, section 2).
    busy: BTreeMap<String, Doing>,
    /// Containers of an earlier process, at which a plugin that it has started may still be at work.
    earlier: BTreeSet<String>,
    /// Networks whose plugins are asked what they remember: whom one is to connect waits for that.
    collecting: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Doing {
    Changing,
    /// Which goes on no longer than it must once somebody waits for its end.
    Checking {
        is_awaited: bool,
    },
}

/// Somebody is at work with a container until this is dropped.
struct Work<'a> {
    node: &'a Node,
    container: &'a str,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.node.books().busy.remove(self.container);
        self.node.done.notify_all();
    }
}

impl Node {
    /// With what containers of an earlier process have. Runs no plugin.
    pub fn recover(settings: Settings) -> Result<Self, JournalError> {
        let journal = Journal::new(&settings.journal);
        let mut books = Books::default();
        let mut damaged = Vec::new();
        for container in journal.containers()? {
            let read = journal.read(&container)?;
            let is_known = read.record.is_some();
            damaged.extend(read.damaged.into_iter().map(|why| Damaged {
                container: container.clone(),
                why,
                is_known,
            }));
            // Of one that was only begun there is none.
            let record = read.record.unwrap_or_default();
            books.earlier.insert(container.clone());
            books.records.insert(container, Arc::new(record));
        }
        Ok(Self {
            plugins: Plugins {
                directories: settings.plugins.clone(),
                limit: settings.limit,
            },
            settings,
            journal,
            books: Mutex::new(books),
            damaged,
            done: Condvar::new(),
        })
    }

    /// What could not be read, told once: whoever starts is to judge that, and to set it aside.
    pub fn take_damaged(&mut self) -> Vec<Damaged> {
        std::mem::take(&mut self.damaged)
    }

    /// As they are described now.
    pub fn networks(&self) -> Result<Found, AttachError> {
        let Some(directory) = &self.settings.networks else {
            return Ok(Found::default());
        };
        let failed = |error| AttachError::Directory(directory.clone(), error);
        directory::read(directory).map_err(failed)
    }

    /// Where files of a container lie.
    pub fn place(&self, container: &str) -> PathBuf {
        self.journal.place(container)
    }

    /// Where its network namespace is mounted as long as it has any.
    pub fn namespace(&self, container: &str) -> PathBuf {
        self.journal.namespace(container)
    }

    pub fn containers(&self) -> Vec<String> {
        self.books().records.keys().cloned().collect()
    }

    /// `None` of a container that has no networks here. Runs nothing.
    pub fn record(&self, container: &str) -> Option<Arc<Record>> {
        self.books().records.get(container).cloned()
    }

    /// Connects a container that is to be with all that it wishes for. On error nothing of it is there, or it
    /// is written down and `release` takes it away. Blocks.
    pub fn attach(
        &self,
        container: &str,
        namespace: BorrowedFd<'_>,
        wishes: Vec<Wish>,
    ) -> Result<Vec<Outcome>, AttachError> {
        if !is_name(container) {
            return Err(AttachError::Container(container.to_owned()));
        }
        let mut networks = match wishes.is_empty() {
            true => BTreeMap::new(),
            false => self.networks()?.networks,
        };
        let attachments = wishes
            .into_iter()
            .map(|wish| attachment(&mut networks, wish));
        let record = Record {
            attachments: attachments.collect::<Result<_, _>>()?,
        };
        let work = self.begin(container, &record)?;
        let attached = self.attach_all(container, namespace, record);
        if attached.is_err()
            && let Err(error) = self.take_away(container)
        {
            tracing::warn!(
                container,
                error = chain(&error),
                "a container that could not be connected left something"
            );
        }
        drop(work);
        attached
    }

    /// Nobody else may have the container, nor a port of the host that it is to have.
    fn begin<'a>(&'a self, container: &'a str, record: &Record) -> Result<Work<'a>, AttachError> {
        let books = self.books();
        let of_record = |name: &String| record.is_in(name);
        let books = self
            .done
            .wait_while(books, |it| it.collecting.iter().any(of_record));
        // No panic leaves them half changed.
        let mut books = books.unwrap_or_else(PoisonError::into_inner);
        if books.records.contains_key(container) {
            return Err(AttachError::Attached(container.to_owned()));
        }
        for port in ports(record) {
            let is_holder = |other: &Record| ports(other).any(|it| is_same(it, port));
            if let Some((holder, _)) = books.records.iter().find(|(_, it)| is_holder(it)) {
                return Err(AttachError::PortTaken {
                    port: port.host_port,
                    protocol: port.protocol.clone(),
                    container: holder.clone(),
                });
            }
        }
        books.busy.insert(container.to_owned(), Doing::Changing);
        books
            .records
            .insert(container.to_owned(), Arc::new(record.clone()));
        drop(books);
        Ok(Work {
            node: self,
            container,
        })
    }

    fn attach_all(
        &self,
        container: &str,
        namespace: BorrowedFd<'_>,
        mut record: Record,
    ) -> Result<Vec<Outcome>, AttachError> {
        // Before any of it is done: the next process is to know of it.
        self.journal.write(container, &record)?;
        let file = self.journal.namespace(container);
        if !record.attachments.is_empty() {
            let pinned = namespace::pin(namespace, &file);
            pinned.map_err(|source| AttachError::Namespace(file.clone(), source))?;
            reach(Point::NamespacePinned);
        }
        let told = self.journal.told(container);
        let mut outcomes = Vec::new();
        for number in 0..record.attachments.len() {
            let Some(attachment) = record.attachments.get_mut(number) else {
                continue;
            };
            let place = place(container, Some(&file), &told, attachment);
            let result = self.plugins.add(&attachment.network, &place)?;
            reach(Point::NetworkAdded);
            let outcome = understood(&result, attachment.network.version);
            outcomes.push(outcome.map_err(|source| AttachError::Outcome {
                network: attachment.network.name.clone(),
                source,
            })?);
            attachment.result = Some(result);
            self.journal.write(container, &record)?;
            let known = Arc::new(record.clone());
            self.books().records.insert(container.to_owned(), known);
        }
        Ok(outcomes)
    }

    /// Of a container that is no more, or never came to be. What cannot be taken away stays written down, and
    /// is to be tried again. Blocks.
    pub fn release(&self, container: &str) -> Result<(), ReleaseError> {
        let mut books = self.books();
        loop {
            if !books.records.contains_key(container) {
                return Ok(());
            }
            match books.busy.get_mut(container) {
                None => break,
                Some(Doing::Changing) => return Err(ReleaseError::Busy),
                Some(Doing::Checking { is_awaited }) => *is_awaited = true,
            }
            // No panic leaves them half changed.
            let waited = self.done.wait(books);
            books = waited.unwrap_or_else(PoisonError::into_inner);
        }
        books.busy.insert(container.to_owned(), Doing::Changing);
        drop(books);
        let _work = Work {
            node: self,
            container,
        };
        self.take_away(container)
    }

    fn take_away(&self, container: &str) -> Result<(), ReleaseError> {
        self.outlast(container);
        let record = self.record(container).unwrap_or_default();
        let (file, told) = (
            self.journal.namespace(container),
            self.journal.told(container),
        );
        let namespace = namespace::is_pinned(&file).then_some(file.as_path());
        let attachments = record.attachments.iter().rev();
        let mut failures = attachments.flat_map(|it| {
            let place = place(container, namespace, &told, it);
            self.plugins.del(&it.network, &place, it.result.as_ref())
        });
        if let Some(first) = failures.next() {
            // All of them are to have been asked.
            let (count, first) = (1 + failures.count(), Box::new(first));
            return Err(ReleaseError::Plugins { count, first });
        }
        reach(Point::NetworksDeleted);
        namespace::unpin(&file).map_err(ReleaseError::Namespace)?;
        reach(Point::NamespaceUnpinned);
        self.journal.remove(container)?;
        reach(Point::NetworksForgotten);
        self.books().records.remove(container);
        Ok(())
    }

    /// Asks plugins whether a container that lives has what they gave it; none of one that somebody else is at work
    /// with. Blocks.
    pub fn check(&self, container: &str) -> Result<(), Failure> {
        let record = {
            let mut books = self.books();
            let Some(record) = books.records.get(container).cloned() else {
                return Ok(());
            };
            if books.busy.contains_key(container) {
                return Ok(());
            }
            let checking = Doing::Checking { is_awaited: false };
            books.busy.insert(container.to_owned(), checking);
            record
        };
        let _work = Work {
            node: self,
            container,
        };
        self.outlast(container);
        let (file, told) = (
            self.journal.namespace(container),
            self.journal.told(container),
        );
        for attachment in &record.attachments {
            let doing = self.books().busy.get(container).copied();
            if doing == Some(Doing::Checking { is_awaited: true }) {
                break;
            }
            let place = place(container, Some(&file), &told, attachment);
            if let Some(result) = &attachment.result {
                self.plugins.check(&attachment.network, &place, result)?;
            }
        }
        Ok(())
    }

    /// Waits for plugins that an earlier process has started: what one of them does would come after what undoes it.
    fn outlast(&self, container: &str) {
        if !self.books().earlier.remove(container) {
            return;
        }
        let deadline = Instant::now() + self.settings.limit;
        if !is_outlasted(&self.journal.told(container), deadline) {
            tracing::warn!(
                container,
                "a plugin that an earlier agent has started has not ended, and is not waited for any more"
            );
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // No panic leaves them half changed.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place<'a>(
    container: &'a str,
    namespace: Option<&'a Path>,
    told: &'a Path,
    of: &'a Attachment,
) -> Place<'a> {
    Place {
        told,
        container,
        interface: &of.interface,
        namespace,
        runtime: &of.runtime,
        arguments: &of.arguments,
    }
}

fn attachment(
    networks: &mut BTreeMap<String, Network>,
    wish: Wish,
) -> Result<Attachment, AttachError> {
    let Wish {
        network,
        interface,
        runtime,
        arguments,
    } = wish;
    let Some(network) = networks.get(&network).cloned() else {
        return Err(AttachError::Unknown(network));
    };
    // Without them the container would be there, and not do what it is for.
    let needs = [
        ("portMappings", !runtime.port_mappings.is_empty()),
        ("bandwidth", runtime.bandwidth.is_some()),
        ("mac", runtime.mac.is_some()),
    ];
    let lacks = |(capability, is_needed): &(&str, bool)| *is_needed && !network.takes(capability);
    if let Some((capability, _)) = needs.into_iter().find(lacks) {
        return Err(AttachError::Incapable {
            network: network.name,
            capability,
        });
    }
    Ok(Attachment {
        network,
        interface,
        runtime,
        arguments,
        result: None,
    })
}

fn ports(record: &Record) -> impl Iterator<Item = &PortMapping> {
    let attachments = record.attachments.iter();
    attachments.flat_map(|attachment| &attachment.runtime.port_mappings)
}

fn is_same(one: &PortMapping, other: &PortMapping) -> bool {
    one.host_port == other.host_port && one.protocol == other.protocol
}

/// An error and what led to it.
fn chain(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    let all: Vec<_> = all.map(ToString::to_string).collect();
    all.join(": ")
}
