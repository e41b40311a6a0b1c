//! What the master asks of the agent, carried out.

use std::sync::Arc;
use std::time::Duration;

use failpoint::{Point, reach};
use proto::error::chain;
use proto::link::{Reconcile, RunTask, to_agent};
use proto::v1::task_status::Reason;
use proto::v1::{self, TaskState};

use super::{Dismissal, Supervisor};
use crate::book::{Executor, ExecutorState, Kind};
use crate::executor;
use crate::executor::messages::Order;
use crate::paths::Run;
use crate::task::Key;
use crate::task::actor::{Beginning, Message};
use crate::task::command_executor::{self, Refusal};
use crate::task::ending::{self, Report};
use crate::task::launch::Job;
use crate::task::machine::Requester;

impl Supervisor {
    pub(super) async fn on_order(&mut self, message: to_agent::Message) {
        match message {
            to_agent::Message::RunTask(run) => self.run_task(run).await,
            to_agent::Message::RunTaskGroup(run) => self.run_group(run).await,
            to_agent::Message::KillTask(kill) => {
                let key = Key {
                    framework: kill.framework_id.value,
                    task: kill.task_id.value,
                };
                if self.kill_hosted(&key, kill.kill_policy) {
                    return;
                }
                let policy = kill.kill_policy.and_then(|policy| policy.grace_period);
                let grace = policy.as_ref().map(crate::task::duration);
                self.kill(key, grace, Requester::Framework);
            }
            to_agent::Message::Acknowledge(acknowledge) => {
                let key = Key {
                    framework: acknowledge.framework_id.value,
                    task: acknowledge.task_id.value,
                };
                let uuid = acknowledge.uuid.to_vec();
                match self.tasks.get(&key) {
                    Some(resident) => resident.tell(Message::Acknowledge { uuid }),
                    None => {
                        self.tell_host(&key, |task| Order::Acknowledge { task, uuid });
                    }
                }
            }
            to_agent::Message::Reconcile(reconcile) => self.reconcile(reconcile),
            to_agent::Message::ShutdownFramework(shutdown) => {
                self.abandon_framework(&shutdown.framework_id.value);
            }
            to_agent::Message::UpdateFramework(update) => {
                // Tried again with its next task.
                drop(self.update_framework(update.framework).await);
            }
            to_agent::Message::Shutdown(shutdown) => {
                let message = shutdown.message().to_owned();
                tracing::warn!(
                    message,
                    "the master told this agent to kill everything and exit"
                );
                self.kill_all();
                self.dismissal
                    .send_replace(Some(Dismissal::Shutdown(message)));
            }
            // A command task's executor is asked to end by ending the task.
            to_agent::Message::ShutdownExecutor(shutdown) => {
                let key = Key {
                    framework: shutdown.framework_id.value,
                    task: shutdown.executor_id.value,
                };
                let order = Order::ShutDown {
                    by: Requester::FrameworkOfExecutor,
                    grace: None,
                };
                let executor = host_of(&key);
                if self.end_groups_of(&executor) || self.tell_executor(&executor, order) {
                    return;
                }
                match self.tasks.contains_key(&key) {
                    true => {
                        let grace = Some(self.constants.shutdown_grace);
                        self.kill(key, grace, Requester::FrameworkOfExecutor);
                    }
                    // There is no task of it that a status could be about.
                    false => {
                        tracing::warn!(executor = %key, "ignored a shutdown: there is no such executor")
                    }
                }
            }
            to_agent::Message::FrameworkMessage(message) => {
                let key = executor::Key {
                    framework: message.framework_id.value,
                    executor: message.executor_id.value,
                };
                if !self.tell_executor(&key, Order::FromFramework(message.data)) {
                    tracing::debug!(
                        executor = %key,
                        "a message for an executor that takes none was dropped"
                    );
                }
            }
            // The link keeps these to itself.
            to_agent::Message::Registered(_)
            | to_agent::Message::Refused(_)
            | to_agent::Message::Ping(_) => {}
        }
    }

    async fn run_task(&mut self, run: RunTask) {
        let RunTask { framework, task } = run;
        let key = key(&framework, &task.task_id);
        let ours = self.book.info.id.clone().unwrap_or_default();
        if self.leaving.is_some() || task.agent_id != ours || self.has(&key) {
            tracing::warn!(task = %key, "ignored a task: it runs already, or is not for this agent");
            return;
        }
        if self.book.drain.is_some() {
            let message = "Task was received while agent was already draining";
            let report = ending::dropped(&framework, Reason::AgentDraining, message);
            return self.start(key, None, false, Beginning::Refuse(report));
        }
        if task.executor.is_some() {
            return self.host_task(framework, task).await;
        }
        if let Err(refusal) = command_executor::check(&framework, &task) {
            return self.refuse(&framework, &task, Reason::TaskInvalid, &refusal);
        }
        reach(Point::TaskTaken);
        let executor = host_of(&key);
        if self.executors.contains_key(&executor) || self.groups.has(&executor) {
            let refusal = Refusal::Taken;
            return self.refuse(&framework, &task, Reason::TaskInvalid, &refusal);
        }
        if let Err(error) = self.keep(&framework).await {
            let report = ending::launch_failed(chain(&error));
            return self.answer(&framework, &task, report);
        }
        let run = Run {
            agent: ours.value,
            framework: key.framework.clone(),
            executor: key.task.clone(),
            container: uuid::Uuid::new_v4().to_string(),
        };
        let executor = command_executor::executor_info(&framework, &task);
        let policy = command_executor::policy(&framework, &task);
        let policy = self.host.docker.graced(policy, &task);
        let job = Job {
            sandbox: self.host.paths.sandbox(&run),
            run: run.clone(),
            framework,
            executor,
            task,
            kind: Kind::Command,
            member: None,
        };
        self.book.add_executor(&job.framework, entry(&job));
        let is_checkpointed = job.framework.checkpoint();
        let beginning = Beginning::Launch {
            job: Arc::new(job),
            policy,
        };
        self.start(key, Some(run), is_checkpointed, beginning);
    }

    /// Answers a task that cannot be run here with an error that says why.
    pub(super) fn refuse(
        &mut self,
        framework: &v1::FrameworkInfo,
        task: &v1::TaskInfo,
        reason: Reason,
        refusal: &dyn std::error::Error,
    ) {
        let report = Report::agent(TaskState::TaskError, reason, chain(refusal));
        self.answer(framework, task, report);
    }

    /// Of a task that does not come to be.
    pub(super) fn answer(
        &mut self,
        framework: &v1::FrameworkInfo,
        task: &v1::TaskInfo,
        report: Report,
    ) {
        let key = key(framework, &task.task_id);
        if self.has(&key) {
            return;
        }
        let id = key.framework_id();
        let record = proto::task::new(task, &id, TaskState::TaskStaging);
        self.book
            .framework(framework)
            .refused
            .insert(key.task.clone(), record);
        self.start(key, None, false, Beginning::Refuse(report));
    }

    fn kill(&mut self, key: Key, grace: Option<Duration>, by: Requester) {
        reach(Point::KillTaken);
        if let Some(resident) = self.tasks.get(&key) {
            return resident.tell(Message::Kill { grace, by });
        }
        let Some(framework) = self.book.frameworks.get(&key.framework) else {
            tracing::warn!(task = %key, "ignored a kill: its framework has no task here");
            return;
        };
        let message = "Unable to find the task's executor";
        let report = ending::dropped(&framework.info, Reason::ExecutorTerminated, message);
        self.start(key, None, false, Beginning::Refuse(report));
    }

    fn reconcile(&mut self, reconcile: Reconcile) {
        for asked in reconcile.tasks {
            let key = key(&asked.framework, &asked.task_id);
            if self.has(&key) {
                continue;
            }
            let message = "Reconciliation: task unknown to the agent";
            let report = ending::dropped(&asked.framework, Reason::Reconciliation, message);
            self.start(key, None, false, Beginning::Refuse(report));
        }
    }

    fn abandon_framework(&self, framework: &str) {
        let grace = self.constants.shutdown_grace;
        for (_, resident) in self
            .tasks
            .iter()
            .filter(|(key, _)| key.framework == framework)
        {
            resident.tell(Message::Abandon { grace });
        }
        let order = || Order::Abandon { grace: None };
        self.tell_executors(|key| key.framework == framework, order);
    }

    /// The task is here, whoever runs it.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.tasks.contains_key(key) || self.hosted.contains_key(key)
    }
}

pub(super) fn key(framework: &v1::FrameworkInfo, task: &v1::TaskId) -> Key {
    let framework = framework.id.clone().unwrap_or_default().value;
    Key {
        framework,
        task: task.value.clone(),
    }
}

/// The executor that has the id of a task.
pub(super) fn host_of(key: &Key) -> executor::Key {
    executor::Key {
        framework: key.framework.clone(),
        executor: key.task.clone(),
    }
}

/// The book's entry of a job that begins.
fn entry(job: &Job) -> Executor {
    let id = job.framework.id.clone().unwrap_or_default();
    let mut record = proto::task::new(&job.task, &id, TaskState::TaskStaging);
    record
        .user
        .get_or_insert_with(|| job.framework.user.clone());
    Executor {
        kind: Kind::Command,
        completed_tasks: Default::default(),
        members: Default::default(),
        info: command_executor::shown(&job.executor),
        run: job.run.clone(),
        sandbox: job.sandbox.clone(),
        state: ExecutorState::Registering,
        tasks: [(job.task.task_id.value.clone(), Box::new(record))].into(),
        container: None,
    }
}
