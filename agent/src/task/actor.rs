//! The one owner of a task: it reads one set of events, asks the machine and the stream what they
//! mean, and carries that out. It lives until the task's last update is acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use containerizer::{Stopwatch, Termination};
use failpoint::{Point, reach};
use proto::error::chain;
use proto::v1::{self, TaskStatus};
use tokio::sync::mpsc;

use super::Key;
use super::awaited::{can_leave, ended, found, launched, woken};
use super::delivery::Delivery;
use super::ending::Report;
use super::identity::Identity;
use super::journal::{History, TaskJournal};
use super::killing::Killing;
use super::launch::{Host, Job, Launching, Outcome, Stage, Written};
use super::machine::{Effect, Event, Machine, Phase, Policy, Requester};
use super::unwritten::{self, Unwritten};
use crate::checkpoint::{self, CheckpointError, Durability};
use crate::checks::{Checks, Finding, Place};
use crate::clock::Clock;
use crate::container::Container;
use crate::excess::Excess;
use crate::link::Outgoing;
use crate::supervisor::{self, Written as Said};
use crate::{docker, sandbox};

/// What others may tell a task. Small, for a mailbox has room for many from the first on.
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
    /// It goes beyond what it may have.
    Exceeds(Box<Excess>),
    /// The agent goes away and the task stays.
    Leave,
    /// Write down what is only known here.
    WriteDown(Said),
    /// The task goes on with another process: the actor ends when nothing of it is under way here.
    HandOver(Said),
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
        job: Arc<Job>,
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
    pub checks: Option<Box<Checks>>,
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
    host: Arc<Host>,
    mailbox: mpsc::Receiver<Message>,
    machine: Machine,
    delivery: Delivery,
    /// Of a launch that an earlier process began.
    cut: Option<Report>,
    launch: Option<Launching>,
    container: Option<Container>,
    /// Has ended; the containerizer keeps its record until the end is written down here.
    remains: Option<Container>,
    /// It did not go entirely, and the supervisor is to know.
    leftovers: bool,
    /// Another process waits for the task.
    handed_over: Option<Said>,
    /// Of a framework that does not checkpoint.
    unwritten: Option<Box<Unwritten>>,
    /// `None` for a task that asks for none.
    checks: Option<Box<Checks>>,
}

enum Input {
    Message(Option<Message>),
    Launch(Stage),
    Ended(Box<Termination>),
    Found(Finding),
    Woke,
}

impl Actor {
    pub async fn run(self, beginning: Beginning) {
        let complaint = Arc::clone(&self.host.complaint);
        // A group's executor is one that the framework knows.
        let known = self
            .identity
            .nested
            .as_ref()
            .and(self.identity.run.as_ref());
        let custom = known.map(|run| v1::ExecutorId {
            value: run.executor.clone(),
        });
        let mut delivery = Delivery::new(self.identity, self.supervisor, self.outgoing, complaint);
        delivery.custom = custom;
        let mut life = Life {
            host: self.host,
            mailbox: self.mailbox,
            delivery,
            machine: Machine {
                policy: NO_POLICY,
                phase: Phase::Ended,
                excess: None,
            },
            cut: None,
            launch: None,
            container: None,
            remains: None,
            leftovers: false,
            handed_over: None,
            unwritten: None,
            checks: None,
        };
        // Boxed is what it does: a task waits nearly always, and there may be a thousand of them.
        Box::pin(life.begin(beginning)).await;
        while !life.is_over() {
            if life.handed_over.is_some()
                && can_leave(life.launch.as_ref(), life.container.as_ref()).await
                && let Some(said) = life.handed_over.take()
            {
                // Whoever asked may have given up.
                return drop(said.send(life.write_down().await));
            }
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
                self.checks = Checks::of(&job.task);
                let watch = Stopwatch::start();
                let host = Arc::clone(&self.host);
                if !job.framework.checkpoint() {
                    self.unwritten = Some(Box::new(Unwritten::new((*job).clone())));
                    self.launch = Some(Launching::begin(host, job, watch, None));
                    return;
                }
                let (tell, written) = Written::pending();
                let launching = Launching::begin(host, Arc::clone(&job), watch, Some(written));
                self.launch = Some(launching);
                let created = self
                    .delivery
                    .create_journal(&self.host, &job.executor, &job.task)
                    .await;
                // Nobody hears it when the launch has failed meanwhile.
                let _ = tell.send(created);
            }
            Beginning::Refuse(report) => self.report(report).await,
            Beginning::Resume(resumed) => {
                self.machine = Machine {
                    policy: resumed.policy,
                    phase: resumed.phase,
                    excess: (resumed.history.killing.as_ref())
                        .and_then(|killing| killing.excess.clone()),
                };
                self.delivery.resume(resumed.journal, resumed.history);
                self.container = resumed.container;
                self.checks = resumed.checks;
                self.look_after_checks();
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
        self.machine.phase == Phase::Ended && self.delivery.is_done()
    }

    async fn write_down(&mut self) -> Result<(), String> {
        unwritten::write_down(&mut self.unwritten, &mut self.delivery, &self.host).await
    }

    async fn next(&mut self) -> Input {
        let wake_at = match (self.machine.wake_at(), self.delivery.wake_at()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        tokio::select! {
            message = self.mailbox.recv() => Input::Message(message),
            stage = launched(self.launch.as_mut()) => Input::Launch(stage),
            termination = ended(self.container.as_ref()) => Input::Ended(Box::new(termination)),
            finding = found(self.checks.as_deref_mut()) => Input::Found(finding),
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
            Input::Found(finding) => self.on_found(finding).await,
            Input::Woke => self.on_woke().await,
        }
    }

    async fn on_message(&mut self, message: Message) {
        match message {
            Message::Kill { grace, by } => self.step(Event::Kill { grace, by }).await,
            Message::Abandon { grace } => {
                self.delivery.abandoned = true;
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
            Message::Exceeds(excess) => self.step(Event::Exceeds(*excess)).await,
            Message::Acknowledge { uuid } => {
                if self.delivery.acknowledge(uuid).await {
                    self.unwritten.iter_mut().for_each(|it| it.acknowledged());
                }
            }
            Message::Connected(outgoing) => self.delivery.connected(outgoing).await,
            // `run` ends before it comes here.
            Message::Leave => {}
            // Whoever asked may have given up.
            Message::WriteDown(said) => drop(said.send(self.write_down().await)),
            Message::HandOver(said) => self.handed_over = Some(said),
        }
    }

    async fn on_launch(&mut self, stage: Stage) {
        let outcome = match stage {
            // What nobody has asked for yet says no less when the next one comes.
            Stage::Fetching(_) if self.delivery.is_backed_up() => return,
            Stage::Fetching(said) => return self.step(Event::Fetching(said)).await,
            Stage::Fetched(said) => return self.step(Event::Fetched(said)).await,
            Stage::Over(outcome) => outcome,
        };
        self.launch = None;
        // One that an earlier process began may have more than this one's launch could take back.
        if !matches!(outcome, Outcome::Launched(_))
            && let Some(run) = &self.delivery.identity.run
        {
            let container = self.delivery.identity.container(run).to_owned();
            self.host.leave(container).await;
        }
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
            tracing::warn!(task = %self.delivery.identity.key, leftover, "container left something behind");
        }
        self.leftovers = !termination.leftovers.is_empty();
        self.remains = self.container.take();
        reach(Point::EndHeard);
        if let Some(run) = &self.delivery.identity.run {
            let (host, identity) = (&self.host, &self.delivery.identity);
            let sandbox = identity.sandbox(&host.paths, run);
            host.keeper.release(&sandbox);
            host.quotas.release(&sandbox);
            host.leave(identity.container(run).to_owned()).await;
        }
        self.step(Event::Ended(termination)).await;
    }

    /// Tells what a check has found, and ends the task if that is what follows.
    async fn on_found(&mut self, finding: Finding) {
        let Some(checks) = &mut self.checks else {
            return;
        };
        let report = checks.note(&finding);
        // Nobody takes updates, and a task may stay unhealthy for ever.
        if !(self.delivery.is_backed_up() && finding.only_repeats()) {
            self.report(report).await;
        }
        if finding.ends_the_task() {
            let by = Requester::HealthCheck;
            self.step(Event::Kill { grace: None, by }).await;
        }
    }

    /// Checks are made exactly while the task runs.
    fn look_after_checks(&mut self) {
        match (&mut self.checks, &self.machine.phase, &self.container) {
            (None, ..) => {}
            (Some(checks), Phase::Running { .. }, Some(container)) => {
                checks.begin(&Place::Container(container.clone()));
            }
            (Some(checks), ..) => checks.stop(),
        }
    }

    async fn on_woke(&mut self) {
        self.delivery.woke().await;
        self.forget_remains().await;
        self.step(Event::Woke).await;
    }

    async fn step(&mut self, event: Event) {
        let (before, now) = (self.machine.phase.clone(), Instant::now());
        let effects = self.machine.step(event, now);
        self.look_after_checks();
        let begun = Killing::begun(&before, &self.machine.phase, now, Clock::read());
        if let Some(mut killing) = begun {
            killing.excess.clone_from(&self.machine.excess);
            self.unwritten
                .iter_mut()
                .for_each(|it| it.killing(&killing));
            // Before any of it is done: a kill that has begun goes on, whoever comes next.
            self.delivery
                .write_down(move |journal| journal.killing(killing))
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
    async fn report(&mut self, mut report: Report) {
        self.checks.iter().for_each(|it| it.complete(&mut report));
        let container = self.container.as_ref().or(self.remains.as_ref());
        let report = match container {
            Some(Container::Docker(_)) => docker::in_dockers_words(report),
            Some(Container::Native(_)) | None => report,
        };
        let pid = self.container.as_ref().map(Container::pid);
        let mut status = self.delivery.identity.status(report, pid);
        container.iter().for_each(|it| it.describe(&mut status));
        self.delivery.note(&status).await;
        self.unwritten.iter_mut().for_each(|it| it.updated(&status));
        reach(Point::UpdateWritten);
        self.forget_remains().await;
        let leftovers = std::mem::take(&mut self.leftovers);
        self.delivery
            .announce(status, self.container.clone(), leftovers)
            .await;
    }

    /// Once its end is written down, which a full disk may put off.
    async fn forget_remains(&mut self) {
        if self.delivery.is_behind() {
            return;
        }
        if let Some(remains) = self.remains.take() {
            let forgotten = tokio::task::spawn_blocking(move || remains.forget()).await;
            forgotten.unwrap_or_else(|error| self.delivery.complain(&chain(&error)));
        }
    }

    async fn close(&mut self) {
        self.forget_remains().await;
        // That of a group is over when all of its tasks are.
        if let (Some(run), None) = (
            self.delivery.identity.run.clone(),
            &self.delivery.identity.nested,
        ) {
            let host = Arc::clone(&self.host);
            let is_checkpointed = self.delivery.is_checkpointed();
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
                Ok(Err(error)) => self.delivery.complain(&chain(&error)),
                Err(error) => self.delivery.complain(&chain(&error)),
            }
        }
        reach(Point::Closed);
        let closed = supervisor::Event::Closed(self.delivery.identity.key.clone());
        self.delivery.tell(closed).await;
    }
}
