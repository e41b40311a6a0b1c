//! One more group of tasks: checked, written down, and begun.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::error::chain;
use proto::link::RunTaskGroup;
use proto::resources::Resources;
use proto::v1::task_status::Reason;
use proto::v1::{ExecutorInfo, FrameworkInfo, TaskInfo, TaskState};
use tokio::sync::mpsc;

use super::{ORDERS, Resident};
use crate::book::{Executor, ExecutorState, Kind};
use crate::checkpoint::CheckpointError;
use crate::executor::Key;
use crate::gc;
use crate::group::check::{Refusal, check};
use crate::group::holder;
use crate::group::keeper::{Beginning, Keeper};
use crate::group::machine::{Event, Machine};
use crate::group::member::{Held, Membership, Promise};
use crate::group::record;
use crate::networks::wish::{BadNetwork, Own, Wish, wish};
use crate::paths::Run;
use crate::supervisor::Supervisor;
use crate::supervisor::orders::key as key_of;
use crate::task::actor::Beginning as TaskBeginning;
use crate::task::command_executor;
use crate::task::ending::{self, Report};
use crate::task::launch::Job;

/// An executor that has no keeper yet.
pub struct Known {
    pub framework: FrameworkInfo,
    pub info: ExecutorInfo,
    pub is_checkpointed: bool,
    pub machine: Machine,
    pub run: Run,
    pub record: record::Groups,
    /// `None` for the host's.
    pub network: Option<Arc<Own>>,
    /// Those of which not all is told.
    pub live: BTreeMap<String, TaskInfo>,
}

impl Supervisor {
    /// All of its tasks, or none.
    pub(in crate::supervisor) async fn run_group(&mut self, run: RunTaskGroup) {
        let RunTaskGroup {
            framework,
            executor: info,
            task_group,
        } = run;
        let mut tasks = task_group.tasks;
        // What shows a task looks there for its executor.
        tasks
            .iter_mut()
            .for_each(|task| task.executor = Some(info.clone()));
        let ours = self.book.info.id.clone().unwrap_or_default();
        let is_known = |task: &TaskInfo| self.has(&key_of(&framework, &task.task_id));
        let is_elsewhere = |task: &TaskInfo| task.agent_id != ours;
        if self.leaving.is_some() || tasks.iter().any(|it| is_known(it) || is_elsewhere(it)) {
            let executor = &info.executor_id.value;
            tracing::warn!(
                executor,
                "ignored a task group: a task of it runs already, or is not for this agent"
            );
            return;
        }
        if self.book.drain.is_some() {
            let message = "Task was received while agent was already draining";
            let report = ending::dropped(&framework, Reason::AgentDraining, message);
            return self.answer_all(&framework, &tasks, &report);
        }
        let key = Key {
            framework: framework.id.clone().unwrap_or_default().value,
            executor: info.executor_id.value.clone(),
        };
        if let Err(refusal) = self.check_group(&framework, &key, &info, &tasks) {
            let message = chain(&refusal);
            let report = Report::agent(TaskState::TaskError, Reason::TaskGroupInvalid, message);
            return self.answer_all(&framework, &tasks, &report);
        }
        let resident = self.groups.executors.get(&key);
        if resident.is_some_and(|resident| !resident.machine.takes_groups()) {
            let message = "Executor terminating";
            let report = ending::dropped(&framework, Reason::ExecutorTerminated, message);
            return self.answer_all(&framework, &tasks, &report);
        }
        let place = match resident {
            Some(resident) => Ok((resident.run.clone(), resident.network.clone())),
            None => {
                let run = self.first_run(&key);
                let network = self.network_of(&framework, &info, &tasks, &run);
                network.map(|network| (run, network))
            }
        };
        let (run, network) = match place {
            Ok(place) => place,
            Err(bad) => {
                let message = chain(&Refusal::from(bad));
                let report = Report::agent(TaskState::TaskError, Reason::TaskGroupInvalid, message);
                return self.answer_all(&framework, &tasks, &report);
            }
        };
        let kept = match self.keep(&framework).await {
            Ok(()) => self.write_group(&framework, &key, &run, &tasks).await,
            Err(error) => Err(error),
        };
        let record = match kept {
            Ok(record) => record,
            Err(error) => {
                let report = ending::launch_failed(chain(&error));
                return self.answer_all(&framework, &tasks, &report);
            }
        };
        let held = self.hold((&framework, &info), &key, &tasks, (run, network), record);
        for task in tasks {
            self.start_member((&framework, &info), &key, task, held.clone());
        }
    }

    fn check_group(
        &self,
        framework: &FrameworkInfo,
        key: &Key,
        info: &ExecutorInfo,
        tasks: &[TaskInfo],
    ) -> Result<(), Refusal> {
        let known = self.book.frameworks.get(&key.framework);
        let known = known.and_then(|framework| framework.executors.get(&key.executor));
        if known.is_some_and(|known| known.kind != Kind::Group) {
            return Err(Refusal::Taken(key.executor.clone()));
        }
        let resident = self.groups.executors.get(key);
        let running = known.zip(resident);
        let running = running.map(|(known, resident)| (&known.info, &resident.record));
        check(framework, info, tasks, running)
    }

    /// Before anything is done for it: after a restart it is known which tasks belong together.
    async fn write_group(
        &mut self,
        framework: &FrameworkInfo,
        key: &Key,
        run: &Run,
        tasks: &[TaskInfo],
    ) -> Result<record::Groups, CheckpointError> {
        let resident = self.groups.executors.get(key);
        let mut record = resident.map(|it| it.record.clone()).unwrap_or_default();
        record.add(ids(tasks));
        if framework.checkpoint() {
            let is_first = resident.is_none();
            let (paths, run, record) = (self.host.paths.clone(), run.clone(), record.clone());
            let written = tokio::task::spawn_blocking(move || {
                let written = record.write(&paths, &run);
                if written.is_err() && is_first {
                    // Nothing was done for it. What of it stays all the same, garbage collection finds.
                    let _ = gc::remove(&paths, &run);
                }
                written
            });
            // The runtime shuts down where that does not end.
            written.await.unwrap_or(Ok(()))?;
        }
        Ok(record)
    }

    /// The executor has them from now on. What they wait for is given back.
    fn hold(
        &mut self,
        (framework, info): (&FrameworkInfo, &ExecutorInfo),
        key: &Key,
        tasks: &[TaskInfo],
        (run, network): (Run, Option<Arc<Own>>),
        record: record::Groups,
    ) -> Held {
        let (promise, held) = Promise::new();
        let id = framework.id.clone().unwrap_or_default();
        let entry = |task: &TaskInfo| {
            let mut entry = proto::task::new(task, &id, TaskState::TaskStaging);
            entry.user.get_or_insert_with(|| framework.user.clone());
            (task.task_id.value.clone(), entry)
        };
        let entries = tasks.iter().map(entry);
        if let Some(resident) = self.groups.executors.get_mut(key) {
            resident.record = record;
            resident.machine.step(Event::Group(ids(tasks)));
            resident.live.extend(named(tasks));
            resident.open += tasks.len();
            resident.admit(promise);
            entries.for_each(|(id, entry)| self.book.add_task(key, id, entry));
            return held;
        }
        let executor = Executor {
            kind: Kind::Group,
            info: info.clone(),
            sandbox: self.host.paths.sandbox(&run),
            run: run.clone(),
            state: ExecutorState::Registering,
            tasks: entries.map(|(id, entry)| (id, Box::new(entry))).collect(),
            completed_tasks: Default::default(),
            members: Default::default(),
            container: None,
        };
        self.book.add_executor(framework, executor);
        let known = Known {
            framework: framework.clone(),
            info: info.clone(),
            is_checkpointed: framework.checkpoint(),
            machine: Machine::start(ids(tasks)),
            run,
            record,
            network,
            live: named(tasks).collect(),
        };
        let beginning = Beginning::Launch(tasks.to_vec(), promise);
        self.start_keeper(key, known, beginning);
        held
    }

    /// `None` for the host's.
    pub fn network_of(
        &self,
        framework: &FrameworkInfo,
        info: &ExecutorInfo,
        tasks: &[TaskInfo],
        run: &Run,
    ) -> Result<Option<Arc<Own>>, BadNetwork> {
        let sandbox = self.host.paths.sandbox(run);
        let job = holder::job(run, &sandbox, framework, info, tasks.iter());
        let held = [&job.task.resources[..], &info.resources].concat();
        // What is not valid, the launch finds out.
        let held = Resources::from_protos(&held).unwrap_or_default();
        let wish = wish(&job.task, &held, self.host.networks.name(), &run.container)?;
        Ok(match wish {
            Wish::Hosts(_) => None,
            Wish::Own(own) => Some(Arc::from(own)),
        })
    }

    /// Gives the container of an executor its keeper.
    pub fn start_keeper(&mut self, key: &Key, known: Known, beginning: Beginning) {
        let Known {
            framework,
            info,
            is_checkpointed,
            machine,
            run,
            record,
            network,
            live,
        } = known;
        let (orders, ordered) = mpsc::channel(ORDERS);
        let keeper = Keeper {
            key: key.clone(),
            run: run.clone(),
            sandbox: self.host.paths.sandbox(&run),
            framework,
            info,
            is_checkpointed,
            host: Arc::clone(&self.host),
            orders: ordered,
            supervisor: self.events.clone(),
        };
        tokio::spawn(keeper.run(beginning));
        for task in live.keys() {
            self.groups
                .tasks
                .insert(super::member(key, task), key.clone());
        }
        self.groups.executors.insert(
            key.clone(),
            Resident {
                machine,
                orders,
                run,
                record,
                network,
                open: live.len(),
                live,
                is_checkpointed,
            },
        );
    }

    fn start_member(
        &mut self,
        (framework, info): (&FrameworkInfo, &ExecutorInfo),
        executor: &Key,
        task: TaskInfo,
        held: Held,
    ) {
        let Some(resident) = self.groups.executors.get(executor) else {
            return;
        };
        let (run, network) = (resident.run.clone(), resident.network.clone());
        let id = &task.task_id.value;
        let member = Membership::new(&run.container, id, network, held);
        let key = super::member(executor, id);
        self.groups.tasks.insert(key.clone(), executor.clone());
        let nested = member.container.clone();
        let policy = command_executor::policy(framework, &task);
        let job = Job {
            sandbox: self.host.paths.nested_sandbox(&run, &nested),
            run: run.clone(),
            framework: framework.clone(),
            executor: info.clone(),
            task,
            kind: Kind::Group,
            member: Some(Box::new(member)),
        };
        let job = Arc::new(job);
        let beginning = TaskBeginning::Launch { job, policy };
        let place = (Some(run), Some(nested));
        self.start_in(key, place, framework.checkpoint(), beginning);
    }

    fn answer_all(&mut self, framework: &FrameworkInfo, tasks: &[TaskInfo], report: &Report) {
        for task in tasks {
            self.answer(framework, task, report.clone());
        }
    }
}

fn ids(tasks: &[TaskInfo]) -> Vec<String> {
    let ids = tasks.iter().map(|task| task.task_id.value.clone());
    ids.collect()
}

fn named(tasks: &[TaskInfo]) -> impl Iterator<Item = (String, TaskInfo)> + '_ {
    let named = tasks.iter();
    named.map(|task| (task.task_id.value.clone(), task.clone()))
}
