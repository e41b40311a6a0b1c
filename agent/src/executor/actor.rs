//! The one owner of a custom executor: it reads one set of inputs, asks the machine what they mean, and
//! carries that out. It lives until nothing is left to be told of the executor's tasks.

mod acts;

use std::collections::BTreeMap;
use std::future::pending;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use containerizer::{Stopwatch, Termination};
use failpoint::{Point, reach};
use proto::error::chain;
use proto::v1::executor::Event as Word;
use proto::v1::{AgentInfo, ExecutorInfo, FrameworkInfo, TaskInfo};
use tokio::sync::mpsc;

use super::Key;
use super::calls::Asked;
use super::connection::Connection;
use super::machine::{Event, Line, Machine, Phase, Policy};
use super::messages::{Answer, Beginning, Notice, Order, Request, Resumed};
use super::record::Record;
use crate::book::ExecutorState;
use crate::container::Container;
use crate::link::Outgoing;
use crate::paths::Run;
use crate::supervisor::{self, Written};
use crate::task;
use crate::task::awaited::{can_leave, ended, launched, woken};
use crate::task::delivery::Delivery;
use crate::task::identity::Identity;
use crate::task::launch::{Host, Launching, Outcome, Stage};
use crate::task::machine::Requester;

pub struct Actor {
    pub key: Key,
    pub run: Run,
    pub sandbox: PathBuf,
    pub agent: AgentInfo,
    pub ip: IpAddr,
    pub policy: Policy,
    pub info: ExecutorInfo,
    pub host: Arc<Host>,
    pub orders: mpsc::Receiver<Order>,
    pub requests: mpsc::Receiver<Request>,
    pub supervisor: mpsc::Sender<supervisor::Event>,
    pub outgoing: Option<Outgoing>,
}

/// An actor at work.
struct Life {
    actor: Actor,
    machine: Machine,
    /// Of tasks of which something is still to be told.
    deliveries: BTreeMap<String, Delivery>,
    record: Option<Record>,
    connection: Option<Connection>,
    launch: Option<Launching>,
    container: Option<Container>,
    /// Has ended; the containerizer keeps its record until the ends of the tasks are written down here.
    remains: Option<Container>,
    leftovers: bool,
    abandoned: bool,
    /// Acknowledgements of what is not written down yet.
    held: Vec<Word>,
    /// Another process waits for the executor.
    handed_over: Option<Written>,
    /// Of the next task that has to wait.
    next_number: u64,
}

enum Input {
    Order(Option<Order>),
    Request(Request),
    Disconnected,
    Launch(Stage),
    Ended(Box<Termination>),
    Woke,
}

impl Actor {
    pub async fn run(self, beginning: Beginning) {
        let machine = Machine::start(self.policy.clone());
        let mut life = Life {
            actor: self,
            machine,
            deliveries: BTreeMap::new(),
            record: None,
            connection: None,
            launch: None,
            container: None,
            remains: None,
            leftovers: false,
            abandoned: false,
            held: vec![],
            handed_over: None,
            next_number: 0,
        };
        life.begin(beginning).await;
        while !life.is_over().await {
            if life.handed_over.is_some()
                && can_leave(life.launch.as_ref(), life.container.as_ref()).await
                && let Some(said) = life.handed_over.take()
            {
                // Whoever asked may have given up. The executor's connection ends by this, and it looks for
                // the agent again.
                return drop(said.send(life.write_down().await));
            }
            match life.next().await {
                Input::Order(Some(Order::Leave) | None) => return,
                Input::Order(Some(order)) => life.on_order(order).await,
                Input::Request(request) => life.on_request(request).await,
                Input::Disconnected => {
                    life.connection = None;
                    life.step(Event::Disconnected).await;
                }
                Input::Launch(stage) => life.on_launch(stage).await,
                Input::Ended(termination) => life.on_ended(termination).await,
                Input::Woke => life.on_woke().await,
            }
        }
        life.close().await;
    }

    fn identity(&self, task: &str) -> Identity {
        Identity {
            key: task::Key {
                framework: self.key.framework.clone(),
                task: task.to_owned(),
            },
            agent: self.agent.id.clone().unwrap_or_default(),
            run: Some(self.run.clone()),
            nested: None,
            ip: self.ip,
            networks: self.host.networks.clone(),
        }
    }

    fn framework(&self) -> &FrameworkInfo {
        &self.policy.framework
    }
}

impl Life {
    async fn begin(&mut self, beginning: Beginning) {
        match beginning {
            Beginning::Launch(task) => {
                let mut watch = Stopwatch::start();
                self.on_task(*task).await;
                if self.machine.phase != Phase::Launching {
                    return self.step(Event::LaunchCancelled).await;
                }
                watch.lap("checkpoint");
                let launching = {
                    let host = Arc::clone(&self.actor.host);
                    Launching::begin(host, Arc::new(self.job()), watch, None)
                };
                self.launch = Some(launching);
            }
            Beginning::Resume(resumed) => {
                let Resumed {
                    machine,
                    deliveries,
                    told,
                    container,
                    rebooted,
                } = *resumed;
                let (host, run) = (&self.actor.host, &self.actor.run);
                self.record = Some(Record::going_on(host, run, told));
                self.machine = machine;
                for (id, journal, history) in deliveries {
                    let after = history.came_as.map_or(0, |number| number + 1);
                    self.next_number = self.next_number.max(after);
                    let mut delivery = self.delivery(&id);
                    delivery.resume(journal, history);
                    self.deliveries.insert(id, delivery);
                }
                self.container = container;
                if self.container.is_none() {
                    self.step(Event::Vanished { rebooted }).await;
                }
            }
        }
    }

    /// Closes the tasks of which everything is told, and says whether that were all.
    async fn is_over(&mut self) -> bool {
        let told: Vec<String> = (self.deliveries.iter())
            .filter(|(id, delivery)| delivery.is_done() && self.machine.tasks.has_ended(id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in told {
            self.machine.tasks.forget(&id);
            self.deliveries.remove(&id);
            if let Some(record) = &mut self.record {
                record.close_task(&id).await;
            }
            let key = self.actor.identity(&id).key;
            self.tell(supervisor::Event::Closed(key)).await;
        }
        self.machine.phase == Phase::Terminated && self.deliveries.is_empty()
    }

    async fn next(&mut self) -> Input {
        let deliveries = self.deliveries.values().filter_map(Delivery::wake_at);
        let wake_at = deliveries.chain(self.machine.wake_at()).min();
        tokio::select! {
            // An end that is to be waited for is not passed by, however much an executor says.
            biased;
            order = self.actor.orders.recv() => Input::Order(order),
            termination = ended(self.container.as_ref()) => Input::Ended(Box::new(termination)),
            stage = launched(self.launch.as_mut()) => Input::Launch(stage),
            () = woken(wake_at) => Input::Woke,
            // One that is quicker than the word that its launch is over waits for that.
            Some(request) = self.actor.requests.recv(), if self.launch.is_none() => {
                Input::Request(request)
            }
            () = disconnected(self.connection.as_mut()) => Input::Disconnected,
        }
    }

    async fn on_order(&mut self, order: Order) {
        match order {
            Order::Task(task) => self.on_task(*task).await,
            Order::Kill { task, policy } => self.step(Event::KillTask { task, policy }).await,
            Order::Acknowledge { task, uuid } => {
                if let Some(delivery) = self.deliveries.get_mut(&task) {
                    delivery.acknowledge(uuid).await;
                }
            }
            Order::FromFramework(data) => self.step(Event::FromFramework(data)).await,
            Order::ShutDown { by, grace } => self.step(Event::ShutDown { by, grace }).await,
            Order::Exceeds(excess) => self.step(Event::Exceeds(excess)).await,
            Order::Connected(outgoing) => {
                self.actor.outgoing = Some(outgoing.clone());
                for delivery in self.deliveries.values_mut() {
                    delivery.connected(outgoing.clone()).await;
                }
            }
            Order::Abandon { grace } => {
                self.abandoned = true;
                for delivery in self.deliveries.values_mut() {
                    delivery.abandoned = true;
                }
                let by = Requester::Agent;
                self.step(Event::ShutDown { by, grace }).await;
            }
            // `run` ends before it comes here.
            Order::Leave => {}
            // Whoever asked may have given up.
            Order::WriteDown(said) => drop(said.send(self.write_down().await)),
            Order::HandOver(said) => self.handed_over = Some(said),
        }
    }

    /// Written down before anything is done for it.
    async fn on_task(&mut self, task: TaskInfo) {
        let id = task.task_id.value.clone();
        let mut delivery = self.delivery(&id);
        let created = match self.actor.framework().checkpoint() {
            true => self.write_task(&mut delivery, &task).await,
            false => Ok(()),
        };
        self.deliveries.insert(id, delivery);
        let task = Box::new(task);
        self.step(match created {
            Ok(()) => Event::Task(task),
            Err(why) => Event::Unwritten { task, why },
        })
        .await;
    }

    async fn write_task(&mut self, delivery: &mut Delivery, task: &TaskInfo) -> Result<(), String> {
        let (host, info) = (&self.actor.host, &self.actor.info);
        if self.record.is_none() {
            let created = Record::create(host, &self.actor.run).await;
            let created = created.map_err(|error| chain(&error));
            self.record = Some(created.inspect_err(|error| delivery.complain(error))?);
        }
        delivery.create_journal(host, info, task).await?;
        // Only those that wait have an order to be kept.
        if !self.machine.listens() {
            let number = self.next_number;
            self.next_number += 1;
            delivery
                .write_down(move |journal| journal.came_as(number))
                .await;
            reach(Point::HostedTaskWaits);
        }
        Ok(())
    }

    fn delivery(&self, task: &str) -> Delivery {
        let actor = &self.actor;
        let mut delivery = Delivery::new(
            actor.identity(task),
            actor.supervisor.clone(),
            actor.outgoing.clone(),
            Arc::clone(&actor.host.complaint),
        );
        delivery.custom = Some(actor.key.executor_id());
        delivery.abandoned = self.abandoned;
        delivery
    }

    async fn on_request(&mut self, request: Request) {
        let Request {
            asked,
            connection,
            answer,
        } = request;
        let event = match (asked, connection) {
            (Asked::Subscribe { tasks, updates }, Some(connection)) => {
                // The one before ends by that.
                self.connection = Some(connection);
                reach(Point::ExecutorSubscribed);
                Event::Subscribed { tasks, updates }
            }
            _ if self.machine.line == Line::NeverUp => {
                // Whoever asked may have gone away.
                let _ = answer.send(Answer::NotSubscribed);
                return;
            }
            (Asked::Update(status), _) => {
                reach(Point::ExecutorSpoke);
                Event::Update(status)
            }
            (Asked::Message(data), _) => Event::FromExecutor(data),
            (Asked::Heartbeat | Asked::Subscribe { .. }, _) => {
                let _ = answer.send(Answer::Taken);
                return;
            }
        };
        let _ = answer.send(Answer::Taken);
        self.step(event).await;
    }

    async fn on_launch(&mut self, stage: Stage) {
        let Stage::Over(outcome) = stage else {
            return;
        };
        self.launch = None;
        // One that an earlier process began may have more than this one's launch could take back.
        if !matches!(outcome, Outcome::Launched(_)) {
            let container = self.actor.run.container.clone();
            self.actor.host.leave(container).await;
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
                why.map_or(Event::LaunchCancelled, Event::LaunchFailed)
            }
        };
        self.step(event).await;
        self.tell_state().await;
    }

    async fn on_ended(&mut self, termination: Box<Termination>) {
        for leftover in &termination.leftovers {
            tracing::warn!(executor = %self.actor.key, leftover, "container left something behind");
        }
        self.leftovers = !termination.leftovers.is_empty();
        self.remains = self.container.take();
        reach(Point::ExecutorEndHeard);
        self.actor.host.keeper.release(&self.actor.sandbox);
        self.actor.host.quotas.release(&self.actor.sandbox);
        let container = self.actor.run.container.clone();
        self.actor.host.leave(container).await;
        self.step(Event::Ended(termination)).await;
    }

    async fn on_woke(&mut self) {
        for delivery in self.deliveries.values_mut() {
            delivery.woke().await;
        }
        self.say_held();
        self.step(Event::Woke).await;
    }

    async fn step(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next {
            let (before, now) = (self.machine.phase.clone(), Instant::now());
            let effects = self.machine.step(event, now);
            let has_changed = before != self.machine.phase;
            if let (true, Some(record)) = (has_changed, &self.record) {
                // Before any of it is done: an end that has begun goes on, whoever comes next. Where it
                // cannot be written down, which is said, it goes on here.
                let _ = record.ending(&self.machine.phase, now).await;
            }
            next = self.carry_out(effects).await;
            if has_changed {
                self.tell_state().await;
            }
        }
    }

    /// All that is known is on the disk from here on, or it is said why it cannot be.
    async fn write_down(&mut self) -> Result<(), String> {
        if let Some(record) = &self.record {
            let written = record.ending(&self.machine.phase, Instant::now()).await;
            written.map_err(|error| {
                let error = chain(&error);
                format!("executor {} cannot be handed over: {error}", self.actor.key)
            })?;
        }
        for delivery in self.deliveries.values_mut() {
            delivery.catch_up().await?;
        }
        Ok(())
    }

    async fn tell_state(&mut self) {
        let state = match self.machine.phase {
            Phase::Launching | Phase::Registering { .. } | Phase::Reconnecting { .. } => {
                ExecutorState::Registering
            }
            Phase::Running => ExecutorState::Running,
            Phase::Aborting { .. } | Phase::Terminating { .. } => ExecutorState::Terminating,
            Phase::Terminated => ExecutorState::Terminated,
        };
        let notice = Notice::Changed {
            key: self.actor.key.clone(),
            state,
            container: self.container.clone(),
            leftovers: std::mem::take(&mut self.leftovers),
        };
        self.tell(supervisor::Event::Executor(Box::new(notice)))
            .await;
    }

    async fn tell(&self, event: supervisor::Event) {
        if self.actor.supervisor.send(event).await.is_err() {
            tracing::debug!(executor = %self.actor.key, "the agent has gone before its executor");
        }
    }

    async fn close(mut self) {
        self.forget_remains().await;
        super::record::close(&self.actor.host, &self.actor.run, self.record.take()).await;
        self.actor.orders.close();
        let mut late = Vec::new();
        while let Some(order) = self.actor.orders.recv().await {
            if let Order::Task(task) = order {
                late.push(*task);
            }
        }
        let notice = Notice::Closed {
            key: self.actor.key.clone(),
            framework: Box::new(self.actor.framework().clone()),
            late,
        };
        self.tell(supervisor::Event::Executor(Box::new(notice)))
            .await;
    }
}

async fn disconnected(connection: Option<&mut Connection>) {
    match connection {
        Some(connection) => connection.closed().await,
        None => pending().await,
    }
}
