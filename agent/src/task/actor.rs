//! The one owner of a task: it reads one set of events, asks the machine and the stream what they
//! mean, and carries that out. It lives until the task's last update is acknowledged.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use containerizer::{Container, Stopwatch, Termination};
use failpoint::{Point, reach};
use proto::link::{FromAgent, StatusUpdate, from_agent};
use proto::v1::TaskStatus;
use tokio::sync::mpsc;

use super::Key;
use super::ending::Report;
use super::identity::Identity;
use super::journal::{History, TaskJournal};
use super::killing::Killing;
use super::launch::{Host, Job, Launching, Outcome, Stage};
use super::machine::{Effect, Event, Machine, Phase, Policy, Requester};
use super::updates::Stream;
use crate::checkpoint::{self, CheckpointError, Durability};
use crate::link::Outgoing;
use crate::quota::Overrun;
use crate::{sandbox, supervisor};

/// What others may tell a task.
#[derive(Debug)]
pub enum Message {
    Kill {
        grace: Option<Duration>,
        by: Requester,
    },
    Acknowledge {
        uuid: Vec<u8>,
    },
    /// There is a (new) master.
    Connected(Outgoing),
    /// Kill it; nobody wants to hear of it any more.
    Abandon {
        grace: Duration,
    },
    /// Kill it, for the agent is drained.
    Drain {
        max_grace: Option<Duration>,
    },
    /// Its sandbox takes too much of the disk.
    OverDisk(Overrun),
    /// The agent goes away and the task stays.
    Leave,
}

/// What the actor tells the supervisor: the task's newest status, and its container while it lives.
#[derive(Debug)]
pub struct Progress {
    pub key: Key,
    pub status: TaskStatus,
    pub container: Option<Container>,
    /// The container has ended and something of it is left.
    pub leftovers: bool,
}

/// How an actor comes to its task.
#[derive(Debug)]
pub enum Beginning {
    Launch {
        job: Box<Job>,
        policy: Policy,
    },
    /// The task ends before it began.
    Refuse(Report),
    /// An earlier process of this agent ran it.
    Resume(Box<Resumed>),
}

#[derive(Debug)]
pub struct Resumed {
    pub policy: Policy,
    pub phase: Phase,
    pub journal: TaskJournal,
    pub history: History,
    pub container: Option<Container>,
    /// What became of it meanwhile.
    pub report: Option<Report>,
    /// What to say when its container turns out to have ended before the command ran.
    pub cut: Report,
}

pub struct Actor {
    pub identity: Identity,
    pub host: Arc<Host>,
    pub mailbox: mpsc::Receiver<Message>,
    pub supervisor: mpsc::Sender<supervisor::Event>,
    pub outgoing: Option<Outgoing>,
}

/// An actor at work.
struct Life {
    actor: Actor,
    machine: Machine,
    stream: Stream,
    /// The update that was sent last.
    forwarded: Vec<u8>,
    journal: Option<TaskJournal>,
    /// Of a launch that an earlier process began.
    cut: Option<Report>,
    launch: Option<Launching>,
    container: Option<Container>,
    /// Has ended; the containerizer keeps its record until the end is written down here.
    remains: Option<Container>,
    /// It did not go entirely, and the supervisor is to know.
    leftovers: bool,
    /// Nobody wants updates.
    abandoned: bool,
}

enum Input {
    Message(Option<Message>),
    Launch(Stage),
    Ended(Box<Termination>),
    Woke,
}

impl Actor {
    pub async fn run(self, beginning: Beginning) {
        let mut life = Life {
            actor: self,
            machine: Machine {
                policy: NO_POLICY,
                phase: Phase::Ended,
                overrun: None,
            },
            stream: Stream::default(),
            forwarded: vec![],
            journal: None,
            cut: None,
            launch: None,
            container: None,
            remains: None,
            leftovers: false,
            abandoned: false,
        };
        // Boxed is what it does: a task waits nearly always, and there may be a thousand of them.
        Box::pin(life.begin(beginning)).await;
        while !life.is_over() {
            match life.next().await {
                Input::Message(Some(Message::Leave) | None) => return,
                input => Box::pin(life.on(input)).await,
            }
        }
        Box::pin(life.close()).await;
    }
}

/// For a machine that has ended and so follows none.
const NO_POLICY: Policy = Policy {
    grace: Duration::ZERO,
    reports_killing: false,
    max_completion_time: None,
};

impl Life {
    async fn begin(&mut self, beginning: Beginning) {
        match beginning {
            Beginning::Launch { job, policy } => {
                self.machine = Machine::start(policy);
                let mut watch = Stopwatch::start();
                if job.framework.checkpoint() {
                    self.create_journal(&job).await;
                    watch.lap("checkpoint");
                }
                self.launch = Some(Launching::begin(Arc::clone(&self.actor.host), job, watch));
            }
            Beginning::Refuse(report) => self.report(report).await,
            Beginning::Resume(resumed) => {
                self.machine = Machine {
                    policy: resumed.policy,
                    phase: resumed.phase,
                    overrun: resumed.history.killing.and_then(|killing| killing.overrun),
                };
                self.journal = Some(resumed.journal);
                self.container = resumed.container;
                for status in resumed
                    .history
                    .updates
                    .into_iter()
                    .skip(resumed.history.acknowledged)
                {
                    self.stream.push(status, Instant::now());
                }
                // The earlier process may not have come to say it.
                if matches!(self.machine.phase, Phase::Killing { .. }) {
                    self.carry_out(vec![Effect::Terminate]).await;
                }
                // Whether the command runs only the earlier process has heard.
                if self.machine.phase == Phase::Launching {
                    self.launch = self.container.take().map(Launching::resume);
                    self.cut = Some(resumed.cut);
                }
                if let Some(report) = resumed.report {
                    self.report(report).await;
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.machine.phase == Phase::Ended && (self.abandoned || self.stream.is_empty())
    }

    async fn next(&mut self) -> Input {
        let wake_at = match (self.machine.wake_at(), self.stream.wake_at()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        tokio::select! {
            message = self.actor.mailbox.recv() => Input::Message(message),
            stage = launched(self.launch.as_mut()) => Input::Launch(stage),
            termination = ended(self.container.as_ref()) => Input::Ended(Box::new(termination)),
            () = woken(wake_at) => Input::Woke,
        }
    }

    async fn on(&mut self, input: Input) {
        match input {
            Input::Message(Some(message)) => self.on_message(message).await,
            // `run` ends before it comes here.
            Input::Message(None) => {}
            Input::Launch(stage) => self.on_launch(stage).await,
            Input::Ended(termination) => self.on_ended(termination).await,
            Input::Woke => self.on_woke().await,
        }
    }

    async fn on_message(&mut self, message: Message) {
        match message {
            Message::Kill { grace, by } => self.step(Event::Kill { grace, by }).await,
            Message::Abandon { grace } => {
                self.abandoned = true;
                let grace = Some(grace);
                let by = Requester::Agent;
                self.step(Event::Kill { grace, by }).await;
            }
            Message::Drain { max_grace } => {
                let own = self.machine.policy.grace;
                let grace = Some(max_grace.map_or(own, |max| own.min(max)));
                let by = Requester::Drain;
                self.step(Event::Kill { grace, by }).await;
            }
            Message::OverDisk(overrun) => self.step(Event::OverDisk(overrun)).await,
            Message::Acknowledge { uuid } => self.on_acknowledge(uuid).await,
            Message::Connected(outgoing) => {
                self.actor.outgoing = Some(outgoing);
                let head = self.stream.connected(Instant::now()).cloned();
                self.send(head).await;
            }
            // `run` ends before it comes here.
            Message::Leave => {}
        }
    }

    async fn on_acknowledge(&mut self, uuid: Vec<u8>) {
        match self.stream.acknowledge(&uuid, Instant::now()) {
            Ok(next) => {
                let next = next.cloned();
                self.send(next).await;
                reach(Point::Acknowledged);
                self.write_down(move |journal| journal.acknowledged(&uuid))
                    .await;
            }
            Err(error) => {
                tracing::debug!(task = %self.actor.identity.key, %error, "acknowledgement dropped");
            }
        }
    }

    async fn on_launch(&mut self, stage: Stage) {
        let Stage::Over(outcome) = stage else {
            return self.step(Event::Fetched).await;
        };
        self.launch = None;
        let event = match outcome {
            Outcome::Launched(container) => {
                self.container = Some(container);
                Event::Launched
            }
            Outcome::Failed(why) => Event::LaunchFailed(why),
            Outcome::Cancelled => Event::LaunchCancelled,
            Outcome::Unbegun(container, why) => {
                self.remains = Some(container);
                match (&self.machine.phase, why, self.cut.take()) {
                    (Phase::Aborting { .. }, ..) => Event::LaunchCancelled,
                    (_, None, Some(cut)) => {
                        self.machine.phase = Phase::Ended;
                        return self.report(cut).await;
                    }
                    (_, why, _) => Event::LaunchFailed(why.unwrap_or_default()),
                }
            }
        };
        self.step(event).await;
    }

    async fn on_ended(&mut self, termination: Box<Termination>) {
        for leftover in &termination.leftovers {
            tracing::warn!(task = %self.actor.identity.key, leftover, "container left something behind");
        }
        self.leftovers = !termination.leftovers.is_empty();
        self.remains = self.container.take();
        reach(Point::EndHeard);
        if let Some(run) = &self.actor.identity.run {
            let host = &self.actor.host;
            let sandbox = host.paths.sandbox(run);
            host.keeper.release(&sandbox);
            host.quotas.release(&sandbox);
        }
        self.step(Event::Ended(termination)).await;
    }

    async fn on_woke(&mut self) {
        let now = Instant::now();
        let again = self.stream.woke(now).cloned();
        self.send(again).await;
        self.step(Event::Woke).await;
    }

    async fn step(&mut self, event: Event) {
        let (before, now) = (self.machine.phase.clone(), Instant::now());
        let effects = self.machine.step(event, now);
        let begun = Killing::begun(&before, &self.machine.phase, now, SystemTime::now());
        if let Some(mut killing) = begun {
            killing.overrun.clone_from(&self.machine.overrun);
            // Before any of it is done: a kill that has begun goes on, whoever comes next.
            self.write_down(move |journal| journal.killing(killing))
                .await;
            reach(Point::KillWritten);
        }
        self.carry_out(effects).await;
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Report(report) => self.report(report).await,
                Effect::CancelLaunch => {
                    if let Some(launch) = &mut self.launch {
                        launch.call_off();
                    }
                    reach(Point::LaunchCalledOff);
                }
                Effect::Terminate => {
                    self.container.iter().for_each(Container::terminate);
                    reach(Point::Terminated);
                }
                Effect::Kill => {
                    self.container.iter().for_each(Container::kill);
                    reach(Point::Killed);
                }
            }
        }
    }

    /// Writes an update down, tells the supervisor, and sends it when it is its turn.
    async fn report(&mut self, report: Report) {
        let pid = self.container.as_ref().map(Container::pid);
        let status = self.actor.identity.status(report, pid);
        tracing::info!(
            task = %self.actor.identity.key,
            state = status.state().as_str_name(),
            message = status.message(),
            "task status"
        );
        if !self.abandoned {
            let record = status.clone();
            self.write_down(move |journal| journal.update(&record))
                .await;
        }
        reach(Point::UpdateWritten);
        if let Some(remains) = self.remains.take() {
            let forgotten = tokio::task::spawn_blocking(move || remains.forget()).await;
            forgotten.unwrap_or_else(|error| self.complain(&error));
        }
        let progress = Progress {
            key: self.actor.identity.key.clone(),
            status: status.clone(),
            container: self.container.clone(),
            leftovers: std::mem::take(&mut self.leftovers),
        };
        self.tell(supervisor::Event::Progress(Box::new(progress)))
            .await;
        if !self.abandoned {
            let now = self.stream.push(status, Instant::now()).cloned();
            self.send(now).await;
        }
    }

    async fn send(&mut self, status: Option<TaskStatus>) {
        let (Some(status), Some(outgoing)) = (status, &self.actor.outgoing) else {
            return;
        };
        let (state, uuid) = (status.state(), status.uuid().to_vec());
        let update = StatusUpdate {
            framework_id: self.actor.identity.key.framework_id(),
            executor_id: None,
            latest_state: self.stream.latest().unwrap_or(state) as i32,
            status,
        };
        let message = FromAgent {
            message: Some(from_agent::Message::Update(update)),
        };
        // The link has gone: the stream keeps the update for the next one.
        if outgoing.send(message).await.is_err() {
            self.actor.outgoing = None;
            return;
        }
        reach(Point::UpdateSent);
        if self.forwarded != uuid {
            self.forwarded.clone_from(&uuid);
            let key = self.actor.identity.key.clone();
            self.tell(supervisor::Event::Forwarded { key, state, uuid })
                .await;
        }
    }

    async fn tell(&self, event: supervisor::Event) {
        if self.actor.supervisor.send(event).await.is_err() {
            tracing::debug!(task = %self.actor.identity.key, "the agent has gone before its task");
        }
    }

    async fn create_journal(&mut self, job: &Job) {
        let host = Arc::clone(&self.actor.host);
        let job = job.clone();
        let created = tokio::task::spawn_blocking(move || {
            TaskJournal::create(&host.paths, &job.run, &job.executor, &job.task)
        });
        match created.await {
            Ok(Ok(journal)) => self.journal = Some(journal),
            Ok(Err(error)) => self.complain(&error),
            Err(error) => self.complain(&error),
        }
    }

    async fn write_down<F>(&mut self, write: F)
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
    fn complain(&self, error: &dyn std::error::Error) {
        let error = proto::error::chain(error);
        tracing::error!(task = %self.actor.identity.key, error, "cannot checkpoint a task");
    }

    async fn close(&mut self) {
        if let Some(run) = self.actor.identity.run.clone() {
            let host = Arc::clone(&self.actor.host);
            let is_checkpointed = self.journal.take().is_some();
            let marked = tokio::task::spawn_blocking(move || {
                // Garbage collection counts from the end of the run.
                sandbox::touch(&host.paths.sandbox(&run));
                reach(Point::SandboxAged);
                if is_checkpointed {
                    checkpoint::replace(&host.paths.sentinel(&run), b"", Durability::Process)?;
                }
                Ok::<(), CheckpointError>(())
            });
            match marked.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.complain(&error),
                Err(error) => self.complain(&error),
            }
        }
        reach(Point::Closed);
        self.tell(supervisor::Event::Closed(self.actor.identity.key.clone()))
            .await;
    }
}

async fn launched(launch: Option<&mut Launching>) -> Stage {
    match launch {
        Some(launch) => launch.stage().await,
        None => pending().await,
    }
}

async fn ended(container: Option<&Container>) -> Termination {
    match container {
        Some(container) => container.wait().await,
        None => pending().await,
    }
}

async fn woken(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}
