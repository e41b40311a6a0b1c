//! The agent's one owner: it keeps the book, knows the task of every name, and reads one set of
//! events. What it decides about one task it leaves to that task's actor.
//!
//! It never waits for an actor, for actors wait for it.

mod draining;
mod duty;
mod executors;
pub mod groups;
mod kept;
mod orders;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use failpoint::{Point, reach};
use proto::link::{FromAgent, Register, Registered, Unregister, from_agent, to_agent};
use proto::v1::{self, TaskState};
use tokio::sync::{mpsc, oneshot, watch};

use crate::book::{Book, ExecutorState};
use crate::drain::Wish;
use crate::excess::Excess;
use crate::executor;
use crate::executor::messages::Order;
use crate::group;
use crate::link::{self, Outgoing};
use crate::paths::Run;
use crate::service::Pulse;
use crate::task::Key;
use crate::task::actor::{Actor, Beginning, Message, Progress};
use crate::task::identity::Identity;
use crate::task::launch::Host;
use crate::task::machine::Requester;
pub use draining::DrainError;
use duty::Duty;
pub use duty::Written;

/// Messages to one task that wait for it. Kills are repeated by those who sent them, updates are
/// sent again: a task that falls this far behind may miss some.
const MAILBOX: usize = 64;

/// Completed tasks that a registration tells of: as many as a master remembers of one framework.
const COMPLETED_TASKS_TOLD: usize = 1000;

#[derive(Debug)]
pub enum Event {
    Link(link::Event),
    Progress(Box<Progress>),
    /// An update of a task has left for the master, for the first time.
    Forwarded {
        key: Key,
        state: TaskState,
        uuid: Vec<u8>,
    },
    /// A task goes beyond what it may have.
    Exceeds {
        key: Key,
        excess: Excess,
    },
    /// A task's last update is acknowledged, or nobody waits for it.
    Closed(Key),
    Executor(Box<executor::messages::Notice>),
    Group(Box<group::keeper::Notice>),
    /// Somebody who says to be this executor has something to say.
    Door {
        key: executor::Key,
        answer: oneshot::Sender<Option<executor::messages::Door>>,
    },
    Snapshot(oneshot::Sender<Book>),
    /// Whether the supervisor is alive.
    Pulse(oneshot::Sender<Pulse>),
    /// Begins a drain; `None` takes one back.
    Drain {
        wish: Option<Wish>,
        done: oneshot::Sender<Result<(), DrainError>>,
    },
    /// The deadline of a drain may have come.
    DrainDue,
    Leave {
        how: Leaving,
        done: oneshot::Sender<Farewell>,
    },
    /// Begin no task, and say when no launch is under way.
    Settle(oneshot::Sender<()>),
    /// Carry out these orders, and those that were held back.
    Resume(Vec<to_agent::Message>),
    /// Write down what is only known here, and say when that is done, or why it cannot be.
    WriteDown(oneshot::Sender<Result<(), String>>),
    /// The tasks are another process's: say when nothing of them is under way here, and whether all that
    /// is known of them is written down.
    Relieve(oneshot::Sender<Result<(), String>>),
    /// What was ordered since, when the master has ended the link.
    HearOut(oneshot::Sender<Vec<to_agent::Message>>),
}

/// Whether the link still has last words to pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    OnItsWay,
    Unsaid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// Tasks of checkpointing frameworks stay.
    Stop,
    /// Every task is killed, and the master told.
    Destroy,
}

/// Why the agent has nothing more to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dismissal {
    /// The master will not have this agent.
    Refused(String),
    /// The master told it to kill everything and exit.
    Shutdown(String),
}

/// What never changes about this agent.
#[derive(Debug, Clone)]
pub struct Constants {
    /// As others reach it.
    pub address: v1::Address,
    pub ip: IpAddr,
    /// Time for tasks that are shut down.
    pub shutdown_grace: Duration,
}

pub struct Supervisor {
    pub constants: Constants,
    pub host: Arc<Host>,
    pub book: Book,
    /// Handed to every actor.
    pub events: mpsc::Sender<Event>,
    pub dismissal: watch::Sender<Option<Dismissal>>,
    pub id: watch::Sender<Option<String>>,
    tasks: HashMap<Key, Resident>,
    executors: HashMap<executor::Key, executors::Resident>,
    /// Tasks of those.
    hosted: HashMap<Key, executor::Key>,
    groups: groups::Groups,
    outgoing: Option<Outgoing>,
    /// What the master has heard of a drain.
    told_drain: Option<v1::DrainInfo>,
    owed: kept::Owed,
    leaving: Option<(Leaving, oneshot::Sender<Farewell>)>,
    duty: Duty,
}

/// A task as the supervisor reaches it.
struct Resident {
    mailbox: mpsc::Sender<Message>,
    /// It survives this process.
    is_checkpointed: bool,
}

impl Supervisor {
    pub fn new(
        constants: Constants,
        host: Arc<Host>,
        book: Book,
        events: mpsc::Sender<Event>,
        dismissal: watch::Sender<Option<Dismissal>>,
        id: watch::Sender<Option<String>>,
    ) -> Supervisor {
        Supervisor {
            constants,
            host,
            book,
            events,
            dismissal,
            id,
            tasks: HashMap::new(),
            executors: HashMap::new(),
            hosted: HashMap::new(),
            groups: groups::Groups::default(),
            outgoing: None,
            told_drain: None,
            owed: kept::Owed::default(),
            leaving: None,
            duty: Duty::Working,
        }
    }

    pub async fn run(mut self, mut inbox: mpsc::Receiver<Event>) {
        while let Some(event) = inbox.recv().await {
            match event {
                Event::Link(event) => self.on_link(event).await,
                Event::Progress(progress) => {
                    let Progress {
                        key,
                        status,
                        container,
                        leftovers,
                    } = *progress;
                    self.book.counters.container_destroy_errors += u64::from(leftovers);
                    self.book.progress(&key, &status, container);
                    self.on_member(&key, status.state());
                }
                Event::Forwarded { key, state, uuid } => self.book.forwarded(&key, state, uuid),
                Event::Closed(key) => {
                    self.tasks.remove(&key);
                    self.hosted.remove(&key);
                    self.book.close(&key);
                    self.on_member_closed(&key);
                }
                Event::Exceeds { key, excess } => self.on_excess(&key, excess),
                Event::Executor(notice) => self.on_executor(*notice).await,
                Event::Group(notice) => self.on_group(*notice),
                // While nobody here speaks for executors there is no answer.
                Event::Door { key, answer } => {
                    if self.is_the_agent() && self.leaving.is_none() {
                        // Whoever asked may have gone away.
                        let _ = answer.send(self.door(&key));
                    }
                }
                Event::Snapshot(ask) => drop(ask.send(self.book.clone())),
                Event::Pulse(ask) => drop(ask.send(self.pulse())),
                Event::Drain { wish, done } => drop(done.send(self.on_drain(wish).await)),
                Event::DrainDue => self.on_drain_due(),
                Event::Leave { how, done } => self.leave(how, done),
                Event::Settle(settled) => self.settle(settled),
                Event::Resume(first) => self.resume(first).await,
                Event::WriteDown(written) => self.write_down(written).await,
                Event::Relieve(relieved) => self.relieve(relieved),
                Event::HearOut(asker) => self.hear_out(asker),
            }
            self.tell_of_drain();
            self.has_settled();
            if self.has_left() {
                self.farewell();
                return;
            }
        }
    }

    async fn on_link(&mut self, event: link::Event) {
        match event {
            link::Event::Register(ask) if self.is_the_agent() => {
                drop(ask.send(self.registration()));
            }
            // Without an answer the link ends.
            link::Event::Register(_) => {}
            link::Event::Up {
                registered,
                outgoing,
            } => self.on_up(*registered, outgoing).await,
            link::Event::Message(message) => self.take_order(*message).await,
            link::Event::Down => {
                self.outgoing = None;
                self.book.master = None;
                self.is_heard_out();
            }
            link::Event::Refused(message) => {
                self.dismissal
                    .send_replace(Some(Dismissal::Refused(message)));
            }
        }
    }

    fn registration(&mut self) -> Register {
        self.told_drain = self.drain_info();
        use v1::agent_info::{Capability, capability::Type};
        let kinds = [
            Type::MultiRole,
            Type::HierarchicalRole,
            Type::ReservationRefinement,
        ];
        let kinds = kinds
            .into_iter()
            .chain([Type::TaskResourceLimits, Type::AgentDraining]);
        Register {
            agent: self.book.info.clone(),
            address: self.constants.address.clone(),
            version: proto::MESOS_VERSION.to_owned(),
            capabilities: kinds
                .map(|kind| Capability {
                    r#type: Some(kind as i32),
                })
                .collect(),
            frameworks: self
                .book
                .frameworks
                .values()
                .map(|f| f.info.clone())
                .collect(),
            tasks: self.book.tasks().cloned().collect(),
            executors: self.book.custom_executors(),
            checkpointed_resources: vec![],
            completed_tasks: self.book.completed_tasks(COMPLETED_TASKS_TOLD),
            drain_info: self.told_drain,
        }
    }

    async fn on_up(&mut self, registered: Registered, outgoing: Outgoing) {
        let id = registered.agent_id;
        match &self.book.info.id {
            Some(ours) if *ours != id => {
                let message = format!(
                    "the master calls this agent {} and it is {}: is this the master of another \
                     cluster?",
                    id.value, ours.value
                );
                tracing::error!(message, "registered under another id");
                self.dismissal
                    .send_replace(Some(Dismissal::Refused(message)));
                return;
            }
            Some(_) => {}
            None => {
                reach(Point::IdGiven);
                // Tried again before a task begins.
                drop(self.adopt_id(id.clone()).await);
            }
        }
        reach(Point::Registered);
        tracing::info!(
            agent = id.value,
            master = registered.master.id,
            "registered"
        );
        self.id.send_replace(Some(id.value));
        self.book.master = Some(registered.master);
        self.outgoing = Some(outgoing.clone());
        for resident in self.tasks.values() {
            resident.tell(Message::Connected(outgoing.clone()));
        }
        self.connect_executors(&outgoing);
    }

    fn kill_all(&self) {
        let grace = self.constants.shutdown_grace;
        self.tasks.values().for_each(|r| {
            r.tell(Message::Kill {
                grace: Some(grace),
                by: Requester::Agent,
            })
        });
        let order = || Order::ShutDown {
            by: Requester::Agent,
            grace: Some(self.host.variables.shutdown_grace),
        };
        self.tell_executors(|_| true, order);
    }

    /// Gives a task its actor.
    pub fn start(
        &mut self,
        key: Key,
        run: Option<Run>,
        is_checkpointed: bool,
        beginning: Beginning,
    ) {
        self.start_in(key, (run, None), is_checkpointed, beginning);
    }

    /// The same for one whose container is `nested` in that of the run.
    pub fn start_in(
        &mut self,
        key: Key,
        (run, nested): (Option<Run>, Option<String>),
        is_checkpointed: bool,
        beginning: Beginning,
    ) {
        let (mailbox, inbox) = mpsc::channel(MAILBOX);
        let actor = Actor {
            identity: Identity {
                key: key.clone(),
                agent: self.book.info.id.clone().unwrap_or_default(),
                run,
                nested,
                ip: self.constants.ip,
                networks: self.host.networks.clone(),
            },
            host: Arc::clone(&self.host),
            mailbox: inbox,
            supervisor: self.events.clone(),
            outgoing: self.outgoing.clone(),
        };
        tokio::spawn(actor.run(beginning));
        self.tasks.insert(
            key,
            Resident {
                mailbox,
                is_checkpointed,
            },
        );
    }

    fn leave(&mut self, how: Leaving, done: oneshot::Sender<Farewell>) {
        self.executors_leave(how);
        self.groups_leave(how);
        match how {
            Leaving::Stop => self.tasks.retain(|_, resident| {
                let message = match resident.is_checkpointed {
                    true => Message::Leave,
                    // Nobody would find it again.
                    false => Message::Abandon {
                        grace: Duration::ZERO,
                    },
                };
                resident.tell(message);
                !resident.is_checkpointed
            }),
            Leaving::Destroy => self.kill_all(),
        }
        self.leaving = Some((how, done));
    }

    /// Of a task, or of an executor that has a sandbox for its tasks.
    fn on_excess(&self, key: &Key, excess: Excess) {
        reach(Point::OverDisk);
        let executor = orders::host_of(key);
        if self.executors.contains_key(&executor) {
            self.tell_executor(&executor, Order::Exceeds(excess));
        } else if self.groups.has(&executor) {
            self.tell_members(&executor, || Message::Exceeds(Box::new(excess.clone())));
        } else if let Some(resident) = self.tasks.get(key) {
            resident.tell(Message::Exceeds(Box::new(excess)));
        }
    }

    fn pulse(&self) -> Pulse {
        Pulse {
            agent: self.book.info.id.as_ref().map(|id| id.value.clone()),
            is_registered: self.book.master.is_some(),
            tasks: self.book.tasks_left(),
            drains: self.book.drain.is_some(),
        }
    }

    fn has_left(&self) -> bool {
        match &self.leaving {
            None => false,
            Some((Leaving::Stop, _)) => {
                self.tasks.is_empty() && self.executors.is_empty() && self.groups.is_empty()
            }
            Some((Leaving::Destroy, _)) => self
                .book
                .executors()
                .all(|(_, executor)| executor.state == ExecutorState::Terminated),
        }
    }

    fn farewell(&mut self) {
        let Some((how, done)) = self.leaving.take() else {
            return;
        };
        let message = FromAgent {
            message: Some(from_agent::Message::Unregister(Unregister {})),
        };
        let farewell = match (how, &self.outgoing) {
            (Leaving::Destroy, Some(outgoing)) if outgoing.try_send(message).is_ok() => {
                Farewell::OnItsWay
            }
            (Leaving::Destroy | Leaving::Stop, _) => Farewell::Unsaid,
        };
        // Whoever asked may have given up.
        let _ = done.send(farewell);
    }
}

impl Resident {
    fn tell(&self, message: Message) {
        if let Err(error) = self.mailbox.try_send(message) {
            tracing::debug!(%error, "a task does not take its messages");
        }
    }
}
