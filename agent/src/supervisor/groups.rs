//! Executors of task groups, as the supervisor reaches them. Their tasks are reached as any other.

mod beginning;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use proto::error::chain;
use proto::link::{ExitedExecutor, FromAgent, from_agent};
use proto::task::is_terminal;
use proto::v1::{TaskInfo, TaskState};
use tokio::sync::mpsc;

pub use self::beginning::Known;
use super::{Leaving, Supervisor};
use crate::book::ExecutorState;
use crate::executor::Key;
use crate::group::keeper::{Notice, Order};
use crate::group::machine::{Effect, Event, Machine, Phase};
use crate::group::member::Promise;
use crate::group::record;
use crate::networks::wish::Own;
use crate::paths::Run;
use crate::task;
use crate::task::actor::Message;
use crate::task::machine::Requester;

/// Orders to one keeper that wait for it.
const ORDERS: usize = 1024;

#[derive(Debug, Default)]
pub struct Groups {
    executors: HashMap<Key, Resident>,
    /// The executors of their tasks.
    tasks: HashMap<task::Key, Key>,
}

#[derive(Debug)]
struct Resident {
    machine: Machine,
    orders: mpsc::Sender<Order>,
    run: Run,
    record: record::Groups,
    network: Option<Arc<Own>>,
    /// Those that have not ended.
    live: BTreeMap<String, TaskInfo>,
    /// How many there are of which not all is told.
    open: usize,
    is_checkpointed: bool,
}

impl Groups {
    pub fn has(&self, key: &Key) -> bool {
        self.executors.contains_key(key)
    }

    pub fn is_empty(&self) -> bool {
        self.executors.is_empty()
    }
}

impl Resident {
    fn tell(&self, order: Order) {
        let Err(error) = self.orders.try_send(order) else {
            return;
        };
        tracing::warn!(%error, "the keeper of a task group does not take its orders");
        if let Order::Admit(_, promise) = error.into_inner() {
            promise.keep(Err("its executor does not keep up, or has ended".to_owned()));
        }
    }

    /// Its container is to have what they need.
    fn fit(&self) {
        self.tell(Order::Fit(self.tasks()));
    }

    /// The same before one more group of them begins.
    fn admit(&self, promise: Promise) {
        self.tell(Order::Admit(self.tasks(), promise));
    }

    fn tasks(&self) -> Vec<TaskInfo> {
        self.live.values().cloned().collect()
    }
}

impl Supervisor {
    /// Something is told of a task, which may be one of a group.
    pub(super) fn on_member(&mut self, key: &task::Key, state: TaskState) {
        let Some(executor) = self.groups.tasks.get(key).cloned() else {
            return;
        };
        if let Some(resident) = self.groups.executors.get_mut(&executor)
            && is_terminal(state)
            && resident.live.remove(&key.task).is_some()
            && !resident.live.is_empty()
        {
            resident.fit();
        }
        let task = key.task.clone();
        self.step_group(&executor, Event::Task { task, state });
    }

    /// All is told of a task, which may be one of a group.
    pub(super) fn on_member_closed(&mut self, key: &task::Key) {
        let Some(executor) = self.groups.tasks.remove(key) else {
            return;
        };
        if let Some(resident) = self.groups.executors.get_mut(&executor) {
            resident.open = resident.open.saturating_sub(1);
        }
        self.close_if_told(&executor);
    }

    pub(super) fn on_group(&mut self, notice: Notice) {
        match notice {
            Notice::Launched { key, container } => {
                self.step_group(&key, Event::Launched);
                let resident = self.groups.executors.get(&key);
                let state = match resident.map(|resident| resident.machine.phase) {
                    // It has been told so meanwhile.
                    Some(Phase::Ending) => ExecutorState::Terminating,
                    Some(Phase::Ended) | None => return,
                    Some(Phase::Launching | Phase::Holding) => ExecutorState::Running,
                };
                self.book.executor_changed(&key, state, Some(container));
            }
            Notice::Ended {
                key,
                status,
                leftovers,
            } => {
                self.book.counters.container_destroy_errors += u64::from(leftovers);
                let state = ExecutorState::Terminated;
                self.book.executor_changed(&key, state, None);
                self.tell_exit(&key, status);
                self.step_group(&key, Event::Ended);
                self.close_if_told(&key);
            }
            Notice::Closed(key) => {
                self.groups.executors.remove(&key);
                self.book.close_executor(&key);
            }
        }
    }

    /// A master that is not there learns from the next registration which executors live.
    fn tell_exit(&self, key: &Key, status: i32) {
        let Some(outgoing) = self.outgoing.clone() else {
            return;
        };
        let message = from_agent::Message::ExitedExecutor(ExitedExecutor {
            framework_id: key.framework_id(),
            executor_id: key.executor_id(),
            status,
        });
        let message = FromAgent {
            message: Some(message),
        };
        tokio::spawn(async move {
            // The link may have ended.
            let _ = outgoing.send(message).await;
        });
    }

    fn close_if_told(&self, key: &Key) {
        let resident = self.groups.executors.get(key);
        let is_over = |it: &&Resident| it.machine.phase == Phase::Ended && it.open == 0;
        if let Some(resident) = resident.filter(is_over) {
            resident.tell(Order::Close);
        }
    }

    fn step_group(&mut self, key: &Key, event: Event) {
        if let Some(resident) = self.groups.executors.get_mut(key) {
            let effects = resident.machine.step(event);
            self.carry_out(key, effects);
        }
    }

    fn carry_out(&mut self, key: &Key, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Kill { tasks, by } => {
                    let grace = self.grace(by);
                    for task in tasks {
                        if let Some(resident) = self.tasks.get(&member(key, &task)) {
                            resident.tell(Message::Kill { grace, by });
                        }
                    }
                }
                Effect::Release => {
                    if let Some(resident) = self.groups.executors.get(key) {
                        resident.tell(Order::Release);
                        let container = self.book.container_of(key);
                        let state = ExecutorState::Terminating;
                        self.book.executor_changed(key, state, container);
                    }
                }
            }
        }
    }

    /// Each task has its own, unless the whole executor is to end.
    fn grace(&self, by: Requester) -> Option<Duration> {
        (by == Requester::FrameworkOfExecutor).then_some(self.constants.shutdown_grace)
    }

    /// After a restart: what an earlier process did not come to do.
    pub fn go_on_with_group(&mut self, key: &Key, ended: Vec<(String, TaskState)>) {
        for (task, state) in ended {
            if let Some(resident) = self.groups.executors.get_mut(key) {
                resident.live.remove(&task);
            }
            self.step_group(key, Event::Task { task, state });
        }
        if let Some(resident) = self.groups.executors.get_mut(key) {
            let effects = resident.machine.release_if_idle();
            self.carry_out(key, effects.into_iter().collect());
        }
    }

    /// `false`: there is no such executor.
    pub(super) fn end_groups_of(&mut self, key: &Key) -> bool {
        let is_there = self.groups.has(key);
        if is_there {
            self.step_group(key, Event::End(Requester::FrameworkOfExecutor));
        }
        is_there
    }

    pub(super) fn tell_members(&self, key: &Key, message: impl Fn() -> Message) {
        let resident = self.groups.executors.get(key);
        for task in resident.iter().flat_map(|resident| resident.live.keys()) {
            if let Some(resident) = self.tasks.get(&member(key, task)) {
                resident.tell(message());
            }
        }
    }

    /// Who is not found again goes with its last task.
    pub(super) fn groups_leave(&mut self, how: Leaving) {
        match how {
            Leaving::Stop => self.groups.executors.retain(|_, resident| {
                if resident.is_checkpointed {
                    resident.tell(Order::Leave);
                }
                !resident.is_checkpointed
            }),
            Leaving::Destroy => {}
        }
    }

    /// Nothing is written down where the framework does not checkpoint, until another process goes on. An
    /// error is the whole chain of reasons, as one line.
    pub(super) fn write_groups_down(
        &self,
    ) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let unwritten = self.groups.executors.values();
        let unwritten = unwritten.filter(|resident| !resident.is_checkpointed);
        let unwritten = unwritten.map(|it| (it.run.clone(), it.record.clone()));
        let (unwritten, paths): (Vec<_>, _) = (unwritten.collect(), self.host.paths.clone());
        async move {
            let write = move || {
                let mut unwritten = unwritten.iter();
                unwritten.try_for_each(|(run, record)| record.write(&paths, run))
            };
            let why = match tokio::task::spawn_blocking(write).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => chain(&error),
                // The runtime shuts down.
                Err(error) => chain(&error),
            };
            Err(format!("a task group cannot be handed over: {why}"))
        }
    }

    /// Has each come to rest for another process. Returns what closes when it has.
    pub(super) fn hand_over_groups(&self) -> Vec<mpsc::Sender<Order>> {
        let residents = self.groups.executors.values().map(|resident| {
            resident.tell(Order::HandOver);
            resident.orders.clone()
        });
        residents.collect()
    }
}

fn member(executor: &Key, task: &str) -> task::Key {
    task::Key {
        framework: executor.framework.clone(),
        task: task.to_owned(),
    }
}
