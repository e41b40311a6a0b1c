//! The updates of one task on their way: written down, told to the supervisor, and sent to the master, each
//! until it is acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use failpoint::{Point, reach};
use proto::error::chain;
use proto::link::{FromAgent, StatusUpdate, from_agent};
use proto::v1::{self, TaskStatus};
use tokio::sync::mpsc;

use super::actor::Progress;
use super::identity::Identity;
use super::journal::{History, TaskJournal};
use super::launch::Host;
use super::updates::Stream;
use crate::checkpoint::CheckpointError;
use crate::complaint::{Complaint, Untold};
use crate::container::Container;
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
    /// When what could not be written down is tried again.
    retry: Option<Instant>,
    /// Of all tasks of this agent.
    complaint: Arc<Complaint>,
    /// Nobody wants updates.
    pub abandoned: bool,
}

/// Updates that may wait while nobody takes them, and still more come.
const BACKLOG: usize = 64;

/// Between two tries to write down what could not be.
const AGAIN: Duration = Duration::from_secs(1);

impl Delivery {
    pub fn new(
        identity: Identity,
        supervisor: mpsc::Sender<supervisor::Event>,
        outgoing: Option<Outgoing>,
        complaint: Arc<Complaint>,
    ) -> Delivery {
        Delivery {
            identity,
            custom: None,
            supervisor,
            outgoing,
            stream: Stream::default(),
            forwarded: vec![],
            journal: None,
            retry: None,
            complaint,
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

    /// Writes a task down, before anything is done for it. One that cannot be is not to begin: no restart
    /// would know of it.
    pub async fn create_journal(
        &mut self,
        host: &Arc<Host>,
        executor: &v1::ExecutorInfo,
        task: &v1::TaskInfo,
    ) -> Result<(), String> {
        let Some(run) = self.identity.run.clone() else {
            return Ok(());
        };
        let create = || TaskJournal::create(&host.paths, &run, executor, task);
        match host.desk.write(create).await {
            Ok(journal) => {
                self.journal = Some(journal);
                Ok(())
            }
            Err(error) => {
                let error = chain(&error);
                self.complain(&error);
                Err(error)
            }
        }
    }

    /// The task is written down after all, with all that was told of it.
    pub fn go_on_in(&mut self, journal: TaskJournal) {
        self.journal = Some(journal);
    }

    /// It is found again after a restart.
    pub fn is_checkpointed(&self) -> bool {
        self.journal.is_some()
    }

    /// Nothing is left to be told, or to be written down.
    pub fn is_done(&self) -> bool {
        self.abandoned || (self.stream.is_empty() && !self.is_behind())
    }

    /// Something could not be written down yet, and somebody wants it to be.
    pub fn is_behind(&self) -> bool {
        self.retry.is_some() && !self.abandoned
    }

    /// So many updates have come about that what only repeats the last of them is left out.
    pub fn is_backed_up(&self) -> bool {
        self.stream.len() >= BACKLOG
    }

    /// When `woke` should be called.
    pub fn wake_at(&self) -> Option<Instant> {
        let retry = self.retry.filter(|_| !self.abandoned);
        retry.into_iter().chain(self.stream.wake_at()).min()
    }

    /// What to send again, and to write down again, when the time has come.
    pub async fn woke(&mut self) {
        if self.retry.is_some_and(|at| at <= Instant::now()) {
            self.write_down(TaskJournal::catch_up).await;
        }
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

    /// Writes down what could not be yet; the error is why it cannot be still.
    pub async fn catch_up(&mut self) -> Result<(), String> {
        match self.is_behind() {
            true => self.try_to_write(TaskJournal::catch_up).await,
            false => Ok(()),
        }
        .map_err(|why| self.unhanded(&why))
    }

    /// Why a task cannot be another process's.
    pub fn unhanded(&self, why: &str) -> String {
        format!("task {} cannot be handed over: {why}", self.identity.key)
    }

    /// What cannot be written is said, and written later.
    pub async fn write_down<F>(&mut self, write: F)
    where
        F: FnOnce(&mut TaskJournal) -> Result<(), CheckpointError> + Send + 'static,
    {
        let _ = self.try_to_write(write).await;
    }

    async fn try_to_write<F>(&mut self, write: F) -> Result<(), String>
    where
        F: FnOnce(&mut TaskJournal) -> Result<(), CheckpointError> + Send + 'static,
    {
        let Some(mut journal) = self.journal.take() else {
            return Ok(());
        };
        let written = tokio::task::spawn_blocking(move || {
            let outcome = write(&mut journal);
            (journal, outcome)
        });
        let outcome = match written.await {
            Ok((journal, outcome)) => {
                self.retry = journal.is_behind().then(|| Instant::now() + AGAIN);
                self.journal = Some(journal);
                outcome.map_err(|error| chain(&error))
            }
            Err(error) => Err(chain(&error)),
        };
        match &outcome {
            Err(error) => self.complain(error),
            Ok(()) => {
                if let Some(Untold(untold)) = self.complaint.settle() {
                    tracing::info!(untold, "tasks are written down again");
                }
            }
        }
        outcome
    }

    /// A full disk, or one that fails, costs a task that runs the writing down of its updates for as long as it is so, not its
    /// life, and not the updates.
    pub fn complain(&self, error: &str) {
        let task = &self.identity.key;
        match self.complaint.renew(Instant::now()) {
            Some(Untold(untold)) => tracing::error!(
                %task, error, untold,
                "cannot write down what becomes of a task: tried again, and no more said of other tasks for a \
                 minute"
            ),
            None => tracing::debug!(%task, error, "cannot write down what becomes of a task"),
        }
    }
}
