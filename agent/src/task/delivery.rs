//! The updates of one task on their way: written down, told to the supervisor, and sent to the master, each
//! until it is acknowledged.

use std::sync::Arc;
use std::time::Instant;

use containerizer::Container;
use failpoint::{Point, reach};
use proto::link::{FromAgent, StatusUpdate, from_agent};
use proto::v1::{self, TaskStatus};
use tokio::sync::mpsc;

use super::actor::Progress;
use super::identity::Identity;
use super::journal::{History, TaskJournal};
use super::launch::Host;
use super::updates::Stream;
use crate::checkpoint::CheckpointError;
use crate::link::Outgoing;
use crate::supervisor;

#[derive(Debug)]
pub struct Delivery {
    pub identity: Identity,
    /// Of an executor that the framework brought: the master wants to know.
    pub custom: Option<v1::ExecutorId>,
    supervisor: mpsc::Sender<supervisor::Event>,
    outgoing: Option<Outgoing>,
    stream: Stream,
    /// The update that was sent last.
    forwarded: Vec<u8>,
    journal: Option<TaskJournal>,
    /// Nobody wants updates.
    pub abandoned: bool,
}

impl Delivery {
    pub fn new(
        identity: Identity,
        supervisor: mpsc::Sender<supervisor::Event>,
        outgoing: Option<Outgoing>,
    ) -> Delivery {
        Delivery {
            identity,
            custom: None,
            supervisor,
            outgoing,
            stream: Stream::default(),
            forwarded: vec![],
            journal: None,
            abandoned: false,
        }
    }

    /// Goes on with what an earlier process of this agent has not come to tell.
    pub fn resume(&mut self, journal: TaskJournal, history: History) {
        self.journal = Some(journal);
        for status in history.updates.into_iter().skip(history.acknowledged) {
            self.stream.push(status, Instant::now());
        }
    }

    /// Writes a task down, before anything is done for it.
    pub async fn create_journal(
        &mut self,
        host: &Arc<Host>,
        executor: &v1::ExecutorInfo,
        task: &v1::TaskInfo,
    ) {
        let Some(run) = self.identity.run.clone() else {
            return;
        };
        let (host, executor, task) = (Arc::clone(host), executor.clone(), task.clone());
        let created = tokio::task::spawn_blocking(move || {
            TaskJournal::create(&host.paths, &run, &executor, &task)
        });
        match created.await {
            Ok(Ok(journal)) => self.journal = Some(journal),
            Ok(Err(error)) => self.complain(&error),
            Err(error) => self.complain(&error),
        }
    }

    /// Its framework checkpoints: it is found again after a restart.
    pub fn is_checkpointed(&self) -> bool {
        self.journal.is_some()
    }

    /// Nothing is left to be told.
    pub fn is_done(&self) -> bool {
        self.abandoned || self.stream.is_empty()
    }

    /// When `woke` should be called.
    pub fn wake_at(&self) -> Option<Instant> {
        self.stream.wake_at()
    }

    /// What to send again, when the time has come.
    pub async fn woke(&mut self) {
        let again = self.stream.woke(Instant::now()).cloned();
        self.send(again).await;
    }

    /// There is a (new) master.
    pub async fn connected(&mut self, outgoing: Outgoing) {
        self.outgoing = Some(outgoing);
        let head = self.stream.connected(Instant::now()).cloned();
        self.send(head).await;
    }

    /// Says whether that was the one that was sent last.
    pub async fn acknowledge(&mut self, uuid: Vec<u8>) -> bool {
        match self.stream.acknowledge(&uuid, Instant::now()) {
            Ok(next) => {
                let next = next.cloned();
                self.send(next).await;
                reach(Point::Acknowledged);
                self.write_down(move |journal| journal.acknowledged(&uuid))
                    .await;
                true
            }
            Err(error) => {
                tracing::debug!(task = %self.identity.key, %error, "acknowledgement dropped");
                false
            }
        }
    }

    /// Writes an update down: from here on it is told, whatever happens to this process.
    pub async fn note(&mut self, status: &TaskStatus) {
        tracing::info!(
            task = %self.identity.key,
            state = status.state().as_str_name(),
            message = status.message(),
            "task status"
        );
        if !self.abandoned {
            let record = status.clone();
            self.write_down(move |journal| journal.update(&record))
                .await;
        }
    }

    /// Tells the supervisor of an update that was written down, and sends it when it is its turn.
    pub async fn announce(
        &mut self,
        status: TaskStatus,
        container: Option<Container>,
        leftovers: bool,
    ) {
        let progress = Progress {
            key: self.identity.key.clone(),
            status: status.clone(),
            container,
            leftovers,
        };
        self.tell(supervisor::Event::Progress(Box::new(progress)))
            .await;
        if !self.abandoned {
            let now = self.stream.push(status, Instant::now()).cloned();
            self.send(now).await;
        }
    }

    async fn send(&mut self, status: Option<TaskStatus>) {
        let (Some(status), Some(outgoing)) = (status, &self.outgoing) else {
            return;
        };
        let (state, uuid) = (status.state(), status.uuid().to_vec());
        let update = StatusUpdate {
            framework_id: self.identity.key.framework_id(),
            executor_id: self.custom.clone(),
            latest_state: self.stream.latest().unwrap_or(state) as i32,
            status,
        };
        let message = FromAgent {
            message: Some(from_agent::Message::Update(update)),
        };
        // The link has gone: the stream keeps the update for the next one.
        if outgoing.send(message).await.is_err() {
            self.outgoing = None;
            return;
        }
        reach(Point::UpdateSent);
        if self.forwarded != uuid {
            self.forwarded.clone_from(&uuid);
            let key = self.identity.key.clone();
            self.tell(supervisor::Event::Forwarded { key, state, uuid })
                .await;
        }
    }

    pub async fn tell(&self, event: supervisor::Event) {
        if self.supervisor.send(event).await.is_err() {
            tracing::debug!(task = %self.identity.key, "the agent has gone before its task");
        }
    }

    pub async fn write_down<F>(&mut self, write: F)
    where
        F: FnOnce(&mut TaskJournal) -> Result<(), CheckpointError> + Send + 'static,
    {
        let Some(mut journal) = self.journal.take() else {
            return;
        };
        let written = tokio::task::spawn_blocking(move || {
            let outcome = write(&mut journal);
            (journal, outcome)
        });
        match written.await {
            Ok((journal, outcome)) => {
                self.journal = Some(journal);
                outcome.unwrap_or_else(|error| self.complain(&error));
            }
            Err(error) => self.complain(&error),
        }
    }

    /// A full disk costs the task its recovery, not its life or its updates.
    pub fn complain(&self, error: &dyn std::error::Error) {
        let error = proto::error::chain(error);
        tracing::error!(task = %self.identity.key, error, "cannot checkpoint a task");
    }
}
