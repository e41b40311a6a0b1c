//! What the machine has decided, carried out.

use std::sync::Arc;

use failpoint::{Point, reach};
use proto::link::{ExecutorMessage, ExitedExecutor, FromAgent, from_agent};
use proto::v1::executor::{Event as Word, event};
use proto::v1::{ContainerId, TaskInfo};

use super::super::machine::{Effect, Event};
use super::super::resources;
use super::Life;
use crate::container::Container;
use crate::task;
use crate::task::delivery::Delivery;
use crate::task::journal::TaskJournal;
use crate::task::killing::Killing;

impl Life {
    /// Returns what has come of it, if that is an event itself.
    pub(super) async fn carry_out(&mut self, effects: Vec<Effect>) -> Option<Event> {
        let mut failure = None;
        for effect in effects {
            match effect {
                Effect::Welcome => self.welcome(),
                Effect::Say(word) => self.say_in_time(*word),
                Effect::Disconnect => self.connection = None,
                Effect::HandOver(task) => self.hand_over(*task).await,
                Effect::NoteKill { task, policy } => {
                    let killing = Killing::by_executor(policy);
                    if let Some(delivery) = self.deliveries.get_mut(&task) {
                        delivery
                            .write_down(move |journal| journal.killing(killing))
                            .await;
                        reach(Point::HostedKillWritten);
                    }
                }
                Effect::Forward(status) => {
                    let pid = self.container.as_ref().map(Container::pid);
                    if let Some(delivery) = self.deliveries.get_mut(&status.task_id.value) {
                        let status = delivery.identity.completed(*status, pid);
                        delivery.note(&status).await;
                        reach(Point::ExecutorsUpdateWritten);
                        delivery.announce(status, None, false).await;
                    }
                }
                Effect::Report { task, report } => {
                    let pid = self.container.as_ref().map(Container::pid);
                    if let Some(delivery) = self.deliveries.get_mut(&task) {
                        let status = delivery.identity.status(report, pid);
                        delivery.note(&status).await;
                        delivery.announce(status, None, false).await;
                    }
                }
                Effect::Grow => {
                    failure = self.resize().await.err().map(Event::UpdateFailed);
                }
                Effect::Shrink => {
                    // What it has too much of does no harm.
                    if let Err(error) = self.resize().await {
                        tracing::warn!(executor = %self.actor.key, error, "cannot make a container smaller");
                    }
                }
                Effect::ToFramework(data) => {
                    let message = from_agent::Message::ExecutorMessage(ExecutorMessage {
                        framework_id: self.actor.key.framework_id(),
                        executor_id: self.actor.key.executor_id(),
                        data,
                    });
                    self.say_to_master(message).await;
                }
                Effect::CancelLaunch => {
                    if let Some(launch) = &mut self.launch {
                        launch.call_off();
                    }
                }
                Effect::Kill => {
                    self.container.iter().for_each(Container::kill);
                    reach(Point::ExecutorKilled);
                }
                Effect::Exited(status) => self.exited(status).await,
            }
        }
        failure
    }

    fn welcome(&mut self) {
        let container_id = ContainerId {
            value: self.actor.run.container.clone(),
            parent: None,
        };
        let word = Word {
            r#type: Some(event::Type::Subscribed as i32),
            subscribed: Some(event::Subscribed {
                executor_info: self.actor.info.clone(),
                framework_info: self.actor.framework().clone(),
                agent_info: self.actor.agent.clone(),
                container_id: Some(container_id),
            }),
            ..Word::default()
        };
        tracing::info!(executor = %self.actor.key, "executor subscribed");
        self.say(&word);
    }

    /// What is acknowledged lasts: that of which a full disk has kept the record off waits for that.
    fn say_in_time(&mut self, word: Word) {
        match self.is_written(&word) {
            true => self.say(&word),
            false => self.held.push(word),
        }
    }

    pub(super) fn say_held(&mut self) {
        for word in std::mem::take(&mut self.held) {
            self.say_in_time(word);
        }
    }

    fn is_written(&self, word: &Word) -> bool {
        let about = word.acknowledged.as_ref().map(|it| &it.task_id.value);
        let delivery = about.and_then(|task| self.deliveries.get(task));
        delivery.is_none_or(|delivery| !delivery.is_behind())
    }

    fn say(&self, word: &Word) {
        if let Some(connection) = &self.connection {
            connection.say(word);
        }
    }

    async fn hand_over(&mut self, task: TaskInfo) {
        if let Some(delivery) = self.deliveries.get_mut(&task.task_id.value) {
            delivery.write_down(TaskJournal::handed_over).await;
            reach(Point::HandOverWritten);
        }
        self.say(&Word {
            r#type: Some(event::Type::Launch as i32),
            launch: Some(event::Launch { task }),
            ..Word::default()
        });
        reach(Point::HandedOver);
    }

    pub(super) fn job(&self) -> task::launch::Job {
        let actor = &self.actor;
        let tasks = self.machine.tasks.live().map(|task| &task.info);
        resources::job(
            &actor.run,
            &actor.sandbox,
            actor.framework(),
            &actor.info,
            actor.host.authentication.token(&actor.run),
            tasks,
        )
    }

    /// The whole chain of reasons, as one line, when it cannot be.
    async fn resize(&self) -> Result<(), String> {
        let Some(container) = self.container.clone() else {
            return Ok(());
        };
        let (host, job) = (Arc::clone(&self.actor.host), self.job());
        let resized =
            tokio::task::spawn_blocking(move || resources::resize(&host, &job, &container));
        match resized.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(proto::error::chain(&error)),
            Err(error) => Err(proto::error::chain(&error)),
        }
    }

    /// Once the ends of all of its tasks are written down, which a full disk may put off.
    pub(super) async fn forget_remains(&mut self) {
        if self.deliveries.values().any(Delivery::is_behind) {
            return;
        }
        if let Some(remains) = self.remains.take()
            && let Err(error) = tokio::task::spawn_blocking(move || remains.forget()).await
        {
            tracing::error!(executor = %self.actor.key, %error, "cannot forget a container");
        }
        reach(Point::ExecutorForgotten);
    }

    async fn exited(&mut self, status: i32) {
        self.forget_remains().await;
        let message = from_agent::Message::ExitedExecutor(ExitedExecutor {
            framework_id: self.actor.key.framework_id(),
            executor_id: self.actor.key.executor_id(),
            status,
        });
        self.say_to_master(message).await;
    }

    /// A master that is not there learns from the next registration which executors live.
    async fn say_to_master(&mut self, message: from_agent::Message) {
        let message = FromAgent {
            message: Some(message),
        };
        if let Some(outgoing) = &self.actor.outgoing
            && outgoing.send(message).await.is_err()
        {
            self.actor.outgoing = None;
        }
    }
}
