//! Custom executors, as the supervisor reaches them.

use failpoint::{Point, reach};
use proto::error::chain;
use proto::v1::task_status::Reason;
use proto::v1::{self, ExecutorInfo, KillPolicy, TaskInfo, TaskState};
use tokio::sync::mpsc;

use super::Supervisor;
use crate::book::{Executor, ExecutorState, Kind};
use crate::executor::actor::Actor;
use crate::executor::check::{self, Refusal};
use crate::executor::machine::Policy;
use crate::executor::messages::{Beginning, Door, Notice, Order};
use crate::executor::{self, Key};
use crate::link::Outgoing;
use crate::paths::Run;
use crate::supervisor::Leaving;
use crate::task;
use crate::task::ending;

/// Orders to one executor that wait for it.
const ORDERS: usize = 1024;

/// Calls of one executor that wait for it; who makes more waits, too.
const REQUESTS: usize = 64;

#[derive(Debug)]
pub struct Resident {
    orders: mpsc::Sender<Order>,
    door: Door,
    is_checkpointed: bool,
}

impl Resident {
    /// `false`: it is too far behind, or gone.
    fn tell(&self, order: Order) -> bool {
        let told = self.orders.try_send(order);
        if let Err(error) = &told {
            tracing::warn!(%error, "an executor's owner does not take its orders");
        }
        told.is_ok()
    }
}

impl Supervisor {
    /// A task for an executor of the framework's own, which is started if it is not there.
    pub(super) async fn host_task(&mut self, framework: v1::FrameworkInfo, task: TaskInfo) {
        let Some(info) = task.executor.clone() else {
            return;
        };
        let key = Key {
            framework: framework.id.clone().unwrap_or_default().value,
            executor: info.executor_id.value.clone(),
        };
        let known = self.book.frameworks.get(&key.framework);
        let known = known.and_then(|framework| framework.executors.get(&key.executor));
        let running = known.filter(|known| known.kind == Kind::Custom);
        let checked = check::check(&framework, &task, &info, running.map(|it| &it.info));
        let checked = match known.filter(|known| known.kind != Kind::Custom) {
            Some(_of_another_kind) => Err(Refusal::Taken(key.executor.clone())),
            None => checked,
        };
        if let Err(refusal) = checked {
            return self.refuse(&framework, &task, Reason::TaskInvalid, &refusal);
        }
        reach(Point::HostedTaskTaken);
        if let Err(error) = self.keep(&framework).await {
            let report = ending::launch_failed(chain(&error));
            return self.answer(&framework, &task, report);
        }
        let task_key = task::Key {
            framework: key.framework.clone(),
            task: task.task_id.value.clone(),
        };
        let id = framework.id.clone().unwrap_or_default();
        let record = proto::task::new(&task, &id, TaskState::TaskStaging);
        let Some(resident) = self.executors.get(&key) else {
            let run = self.first_run(&key);
            self.book.add_executor(
                &framework,
                Executor {
                    kind: Kind::Custom,
                    info: info.clone(),
                    sandbox: self.host.paths.sandbox(&run),
                    run: run.clone(),
                    state: ExecutorState::Registering,
                    tasks: [(task_key.task.clone(), Box::new(record))].into(),
                    completed_tasks: Default::default(),
                    members: Default::default(),
                    container: None,
                },
            );
            self.hosted.insert(task_key, key.clone());
            let beginning = Beginning::Launch(Box::new(task));
            return self.start_executor(key, run, framework, info, beginning);
        };
        if !resident.tell(Order::Task(Box::new(task.clone()))) {
            let message = "the executor does not keep up with the tasks that it is given";
            let report = ending::dropped(&framework, Reason::ExecutorTerminated, message);
            return self.answer(&framework, &task, report);
        }
        self.hosted.insert(task_key.clone(), key.clone());
        self.book.add_task(&key, task_key.task, record);
    }

    pub(super) fn first_run(&self, key: &Key) -> Run {
        Run {
            agent: self.book.info.id.clone().unwrap_or_default().value,
            framework: key.framework.clone(),
            executor: key.executor.clone(),
            container: uuid::Uuid::new_v4().to_string(),
        }
    }

    /// Gives an executor its actor.
    pub fn start_executor(
        &mut self,
        key: Key,
        run: Run,
        framework: v1::FrameworkInfo,
        info: ExecutorInfo,
        beginning: Beginning,
    ) {
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (requests, requested) = mpsc::channel(REQUESTS);
        let is_checkpointed = framework.checkpoint();
        let door = Door {
            container: run.container.clone(),
            requests,
        };
        let actor = Actor {
            key: key.clone(),
            sandbox: self.host.paths.sandbox(&run),
            run,
            agent: self.book.info.clone(),
            ip: self.constants.ip,
            policy: self.policy(framework, &info),
            info,
            host: self.host.clone(),
            orders: ordered,
            requests: requested,
            supervisor: self.events.clone(),
            outgoing: self.outgoing.clone(),
        };
        tokio::spawn(actor.run(beginning));
        self.executors.insert(
            key,
            Resident {
                orders,
                door,
                is_checkpointed,
            },
        );
    }

    pub fn policy(&self, framework: v1::FrameworkInfo, info: &ExecutorInfo) -> Policy {
        let variables = &self.host.variables;
        let own = info.shutdown_grace_period.as_ref().map(task::duration);
        Policy {
            framework,
            grace: own.unwrap_or(variables.shutdown_grace),
            registration: self.host.start_timeout,
            reregistration: variables.reregistration_timeout,
        }
    }

    /// An executor that an earlier process of this agent had, with those of its tasks that are still to be
    /// told of.
    pub fn host_again(&mut self, key: &Key, tasks: impl Iterator<Item = String>) {
        for task in tasks {
            let framework = key.framework.clone();
            self.hosted
                .insert(task::Key { framework, task }, key.clone());
        }
    }

    pub(super) async fn on_executor(&mut self, notice: Notice) {
        match notice {
            Notice::Changed {
                key,
                state,
                container,
                leftovers,
            } => {
                self.book.counters.container_destroy_errors += u64::from(leftovers);
                self.book.executor_changed(&key, state, container);
            }
            Notice::Closed {
                key,
                framework,
                late,
            } => {
                self.executors.remove(&key);
                self.book.close_executor(&key);
                // They are for the next executor of this id.
                for task in late {
                    self.host_task(*framework.clone(), task).await;
                }
            }
        }
    }

    /// Where what the executor itself asks for is taken.
    pub(super) fn door(&self, key: &Key) -> Option<Door> {
        let resident = self.executors.get(key);
        resident.map(|resident| resident.door.clone())
    }

    /// `false`: no executor has that task.
    pub(super) fn tell_host(&self, task: &task::Key, order: impl FnOnce(String) -> Order) -> bool {
        let Some(resident) = self.hosted.get(task).map(|key| self.executors.get(key)) else {
            return false;
        };
        if let Some(resident) = resident {
            resident.tell(order(task.task.clone()));
        }
        true
    }

    pub(super) fn kill_hosted(&self, task: &task::Key, policy: Option<KillPolicy>) -> bool {
        self.tell_host(task, |task| Order::Kill { task, policy })
    }

    /// `false`: there is no such executor.
    pub(super) fn tell_executor(&self, key: &executor::Key, order: Order) -> bool {
        match self.executors.get(key) {
            Some(resident) => resident.tell(order),
            None => false,
        }
    }

    pub(super) fn tell_executors(
        &self,
        is_meant: impl Fn(&Key) -> bool,
        order: impl Fn() -> Order,
    ) {
        for (key, resident) in &self.executors {
            if is_meant(key) {
                resident.tell(order());
            }
        }
    }

    pub(super) fn connect_executors(&self, outgoing: &Outgoing) {
        self.tell_executors(|_| true, || Order::Connected(outgoing.clone()));
    }

    pub(super) fn executors_leave(&mut self, how: Leaving) {
        match how {
            Leaving::Stop => self.executors.retain(|_, resident| {
                resident.tell(match resident.is_checkpointed {
                    true => Order::Leave,
                    // Nobody would find it again.
                    false => Order::Abandon {
                        grace: Some(std::time::Duration::ZERO),
                    },
                });
                !resident.is_checkpointed
            }),
            Leaving::Destroy => {}
        }
    }

    /// Those that another process can go on with.
    pub(super) fn executors_that_last(&self) -> Vec<mpsc::Sender<Order>> {
        let lasting = self.executors.values().filter(|it| it.is_checkpointed);
        lasting.map(|resident| resident.orders.clone()).collect()
    }

    /// One that nothing is written down of would leave by itself when it loses us. Returns what closes when
    /// it has.
    pub(super) fn end_other_executors(&self) -> Vec<mpsc::Sender<Order>> {
        let others = self.executors.values().filter(|it| !it.is_checkpointed);
        let others = others.map(|resident| {
            let grace = Some(std::time::Duration::ZERO);
            resident.tell(Order::Abandon { grace });
            resident.orders.clone()
        });
        others.collect()
    }
}
