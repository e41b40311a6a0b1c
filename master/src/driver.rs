//! The task that owns the cluster: takes commands one by one, and performs what `step` says.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use endpoint::{Records, Writer, backlog};
use prost::Message as _;
use proto::media::Encoding;
use proto::v1::scheduler;
use proto::{link, recordio};
use tokio::sync::{mpsc, oneshot, watch};

use crate::cluster::{Cluster, Effect, Event, LinkId, Now, Refusal, StreamId, Write};
use crate::registry::{Registry, RegistryError};

/// Commands that may wait for the owner; more wait at their senders.
const MAX_COMMANDS: usize = 1024;
/// How long one write of the registry may take.
const STORE_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection that ended, from either side.
#[derive(Debug, Clone, Copy)]
pub enum End {
    Stream(StreamId),
    Link(LinkId),
}

impl From<End> for Event {
    fn from(end: End) -> Self {
        match end {
            End::Stream(stream) => Self::StreamClosed { stream },
            End::Link(link) => Self::LinkClosed { link },
        }
    }
}

type Look = Box<dyn FnOnce(&Cluster, Now) + Send>;

enum Command {
    Subscribe {
        id: StreamId,
        encoding: Encoding,
        event: Event,
        opened: oneshot::Sender<Records>,
    },
    OpenLink {
        id: LinkId,
        event: Event,
        opened: oneshot::Sender<Records>,
    },
    Step {
        event: Event,
        done: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Nobody waits for the outcome.
    Note(End),
    Look(Look),
}

/// The master is stopping, or has failed.
#[derive(Debug, thiserror::Error)]
#[error("the master is shutting down")]
pub struct Stopped;

/// How everyone else reaches the owner.
#[derive(Clone)]
pub struct Owner(mpsc::Sender<Command>);

impl Owner {
    pub async fn subscribe(
        &self,
        id: StreamId,
        encoding: Encoding,
        event: Event,
    ) -> Result<Records, Stopped> {
        let (opened, records) = oneshot::channel();
        self.send(Command::Subscribe {
            id,
            encoding,
            event,
            opened,
        })
        .await?;
        records.await.map_err(|_gone| Stopped)
    }

    pub async fn open_link(&self, id: LinkId, event: Event) -> Result<Records, Stopped> {
        let (opened, records) = oneshot::channel();
        self.send(Command::OpenLink { id, event, opened }).await?;
        records.await.map_err(|_gone| Stopped)
    }

    pub async fn step(&self, event: Event) -> Result<Result<(), Refusal>, Stopped> {
        let (done, outcome) = oneshot::channel();
        self.send(Command::Step { event, done }).await?;
        outcome.await.map_err(|_gone| Stopped)
    }

    /// Tells that a connection has ended.
    pub async fn note(&self, end: End) {
        // A master that is stopping has no use for it.
        let _ = self.send(Command::Note(end)).await;
    }

    /// Computes something from the cluster as it is now.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Cluster, Now) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (seen, result) = oneshot::channel();
        let look: Look = Box::new(move |cluster, now| {
            // The one who asked may have gone away.
            let _ = seen.send(look(cluster, now));
        });
        self.send(Command::Look(look)).await?;
        result.await.map_err(|_gone| Stopped)
    }

    async fn send(&self, command: Command) -> Result<(), Stopped> {
        self.0.send(command).await.map_err(|_closed| Stopped)
    }
}

/// Why the owner ended by itself. A promise that cannot be kept is not made.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("the registry took longer than {STORE_TIMEOUT:?} for one write: is its disk in order?")]
    StoreTimeout,
    #[error("a write of the registry broke off")]
    StorePanicked,
    #[error("the master broke off")]
    Panicked,
}

pub struct Driver {
    cluster: Cluster,
    registry: Arc<Registry>,
    commands: mpsc::Receiver<Command>,
    streams: HashMap<StreamId, (Encoding, Writer)>,
    links: HashMap<LinkId, Writer>,
    started: Instant,
}

impl Driver {
    pub fn new(cluster: Cluster, registry: Registry) -> (Self, Owner) {
        let (sender, commands) = mpsc::channel(MAX_COMMANDS);
        let driver = Self {
            cluster,
            registry: Arc::new(registry),
            commands,
            streams: HashMap::new(),
            links: HashMap::new(),
            started: Instant::now(),
        };
        (driver, Owner(sender))
    }

    /// Until `stop` changes, or the registry fails. Streams end with it.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), DriverError> {
        loop {
            let deadline = self.cluster.next_deadline();
            // A deadline beyond what the clock can count never comes.
            let at = deadline.and_then(|up| self.started.checked_add(up));
            let due = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = stop.changed() => return Ok(()),
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command).await?,
                    None => return Ok(()),
                },
                () = due => drop(self.step(Event::Tick).await?),
            }
        }
    }

    async fn obey(&mut self, command: Command) -> Result<(), DriverError> {
        match command {
            Command::Subscribe {
                id,
                encoding,
                event,
                opened,
            } => {
                let (writer, records) = backlog();
                self.streams.insert(id, (encoding, writer));
                // If the caller has gone, the end of its stream is noted soon after.
                let _ = opened.send(records);
                self.step(event).await?;
            }
            Command::OpenLink { id, event, opened } => {
                let (writer, records) = backlog();
                self.links.insert(id, writer);
                let _ = opened.send(records);
                self.step(event).await?;
            }
            Command::Step { event, done } => {
                let refused = self.step(event).await?;
                let _ = done.send(refused.map_or(Ok(()), Err));
            }
            Command::Note(end) => {
                match end {
                    End::Stream(stream) => drop(self.streams.remove(&stream)),
                    End::Link(link) => drop(self.links.remove(&link)),
                }
                self.step(end.into()).await?;
            }
            Command::Look(look) => look(&self.cluster, self.now()),
        }
        Ok(())
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Now {
            up: self.started.elapsed(),
            wall: wall.unwrap_or_default().as_secs_f64(),
        }
    }

    /// The reason, when the cluster did not take the event. Readers that are cut off on the way
    /// have ended: waiting for their connections to notice would leave them their offers.
    async fn step(&mut self, event: Event) -> Result<Option<Refusal>, DriverError> {
        let mut refused = None;
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for effect in self.cluster.step(event, self.now()) {
                let cut_off = match effect {
                    Effect::Store(writes) => {
                        self.store(writes).await?;
                        None
                    }
                    Effect::ToAgent { link, message } => {
                        let message = link::ToAgent {
                            message: Some(*message),
                        };
                        self.write_order(link, &message)
                    }
                    Effect::CloseLink(link) => {
                        self.links.remove(&link);
                        None
                    }
                    Effect::ToFramework { stream, event } => self.write_event(stream, &event),
                    Effect::CloseStream(stream) => {
                        self.streams.remove(&stream);
                        None
                    }
                    Effect::Refuse(refusal) => {
                        refused = Some(refusal);
                        None
                    }
                };
                events.extend(cut_off.map(Event::from));
            }
        }
        Ok(refused)
    }

    async fn store(&self, writes: Vec<Write>) -> Result<(), DriverError> {
        if matches!(*self.registry, Registry::InMemory) {
            return Ok(());
        }
        let registry = Arc::clone(&self.registry);
        let write = tokio::task::spawn_blocking(move || registry.write(&writes));
        let written = tokio::time::timeout(STORE_TIMEOUT, write).await;
        let written = written.map_err(|_elapsed| DriverError::StoreTimeout)?;
        Ok(written.map_err(|_panicked| DriverError::StorePanicked)??)
    }

    /// The end of the stream, if its reader is too far behind.
    fn write_event(&mut self, stream: StreamId, event: &scheduler::Event) -> Option<End> {
        let (encoding, writer) = self.streams.get(&stream)?;
        let record = recordio::encode(&encoding.encode(event));
        writer.push(record.into()).err()?;
        tracing::warn!(%stream, "scheduler does not read its stream, which is closed");
        self.streams.remove(&stream);
        Some(End::Stream(stream))
    }

    /// The end of the link, if its reader is too far behind.
    fn write_order(&mut self, link: LinkId, message: &link::ToAgent) -> Option<End> {
        let writer = self.links.get(&link)?;
        let record = recordio::encode(&message.encode_to_vec());
        writer.push(record.into()).err()?;
        tracing::warn!(%link, "agent does not read its link, which is closed");
        self.links.remove(&link);
        Some(End::Link(link))
    }
}
