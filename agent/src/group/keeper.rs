//! Keeps the container of one executor of task groups: launches it, fits it to its tasks, and ends it when it is
//! told to. The tasks in it have owners of their own.

use std::path::PathBuf;
use std::sync::Arc;

use containerizer::{Stopwatch, Termination};
use proto::error::chain;
use proto::v1::{ExecutorInfo, FrameworkInfo, TaskInfo};
use tokio::sync::mpsc;

use super::holder;
use super::member::{Holding, Promise};
use crate::checkpoint::{self, Durability};
use crate::container::Container;
use crate::executor::{Key, resources};
use crate::paths::Run;
use crate::sandbox;
use crate::supervisor;
use crate::task::awaited::{can_leave, ended, launched};
use crate::task::launch::{Host, Job, Launching, Outcome, Stage};

#[derive(Debug)]
pub enum Order {
    /// These are its live tasks now.
    Fit(Vec<TaskInfo>),
    /// The same with one more group, which waits for the container to have room for it.
    Admit(Vec<TaskInfo>, Promise),
    /// No task is left.
    Release,
    /// All is told of its tasks.
    Close,
    /// The agent goes away and the container stays.
    Leave,
    /// Another process goes on with it.
    HandOver,
}

/// What the keeper tells the supervisor.
#[derive(Debug)]
pub enum Notice {
    Launched {
        key: Key,
        container: Container,
    },
    /// Its container is no more, or has never been.
    Ended {
        key: Key,
        /// As of wait(2); -1 when it has not ended as it should.
        status: i32,
        /// Something of it is left.
        leftovers: bool,
    },
    Closed(Key),
}

/// How it comes to its container.
#[derive(Debug)]
pub enum Beginning {
    /// For the tasks of one group, which wait for it.
    Launch(Vec<TaskInfo>, Promise),
    /// An earlier process of this agent launched it; `None`: it is gone.
    Resume(Option<Container>),
}

pub struct Keeper {
    pub key: Key,
    pub run: Run,
    pub sandbox: PathBuf,
    pub framework: FrameworkInfo,
    pub info: ExecutorInfo,
    pub is_checkpointed: bool,
    pub host: Arc<Host>,
    pub orders: mpsc::Receiver<Order>,
    pub supervisor: mpsc::Sender<supervisor::Event>,
}

/// A keeper at work.
struct Life {
    keeper: Keeper,
    launch: Option<Launching>,
    container: Option<Container>,
    /// To groups that want to join it.
    promised: Vec<Promise>,
    /// Its tasks, when others have come or gone before it was there.
    unfitted: Option<Vec<TaskInfo>>,
    released: bool,
    handed_over: bool,
}

const ENDED: &str = "its executor has ended";

enum Input {
    Order(Option<Order>),
    Launch(Stage),
    Ended(Box<Termination>),
}

impl Keeper {
    pub async fn run(self, beginning: Beginning) {
        let mut life = Life {
            keeper: self,
            launch: None,
            container: None,
            promised: vec![],
            unfitted: None,
            released: false,
            handed_over: false,
        };
        match beginning {
            Beginning::Launch(tasks, promise) => {
                life.promised.push(promise);
                let (host, job) = (Arc::clone(&life.keeper.host), Arc::new(life.job(&tasks)));
                life.launch = Some(Launching::begin(host, job, Stopwatch::start(), None));
            }
            Beginning::Resume(Some(container)) => life.container = Some(container),
            Beginning::Resume(None) => life.gone("its executor is gone", false).await,
        }
        loop {
            if life.handed_over && can_leave(life.launch.as_ref(), life.container.as_ref()).await {
                return;
            }
            let keeper = &mut life.keeper;
            let input = tokio::select! {
                order = keeper.orders.recv() => Input::Order(order),
                stage = launched(life.launch.as_mut()) => Input::Launch(stage),
                termination = ended(life.container.as_ref()) => Input::Ended(Box::new(termination)),
            };
            match input {
                Input::Order(None | Some(Order::Leave)) => return,
                Input::Order(Some(Order::Close)) => return life.close().await,
                Input::Order(Some(order)) => life.on_order(order).await,
                Input::Launch(Stage::Fetching(_) | Stage::Fetched(_)) => {}
                Input::Launch(Stage::Over(outcome)) => life.on_launch(outcome).await,
                Input::Ended(termination) => life.on_ended(*termination).await,
            }
        }
    }
}

impl Life {
    fn job(&self, tasks: &[TaskInfo]) -> Job {
        let keeper = &self.keeper;
        let (framework, info) = (&keeper.framework, &keeper.info);
        holder::job(&keeper.run, &keeper.sandbox, framework, info, tasks.iter())
    }

    /// Who waits hears that he cannot join it.
    fn refuse(&mut self, why: &str) {
        let promised = self.promised.drain(..);
        promised.for_each(|promise| promise.keep(Err(why.to_owned())));
    }

    /// Who waits may join it now, or hears why not.
    fn answer(&mut self, why_not: &str) {
        let holding = self.holding(why_not);
        let promised = self.promised.drain(..);
        promised.for_each(|promise| promise.keep(holding.clone()));
    }

    fn holding(&self, why_not: &str) -> Holding {
        let native = self.container.as_ref().and_then(Container::native);
        native.cloned().ok_or_else(|| why_not.to_owned())
    }

    async fn on_order(&mut self, order: Order) {
        match order {
            Order::Fit(tasks) if self.launch.is_some() => self.unfitted = Some(tasks),
            Order::Fit(tasks) => self.fit_or_warn(&tasks).await,
            Order::Admit(tasks, promise) if self.launch.is_some() => {
                self.promised.push(promise);
                self.unfitted = Some(tasks);
            }
            // Those that are there go on with what they have.
            Order::Admit(tasks, promise) => match self.fit(&tasks).await {
                Ok(()) => promise.keep(self.holding(ENDED)),
                Err(why) => promise.keep(Err(why)),
            },
            Order::Release => {
                self.released = true;
                // It has nothing that it would have to bring to an end.
                self.container.iter().for_each(Container::kill);
                self.launch.iter_mut().for_each(Launching::call_off);
            }
            Order::HandOver => self.handed_over = true,
            // `run` ends before it comes here.
            Order::Close | Order::Leave => {}
        }
    }

    /// An error is the whole chain of reasons, as one line.
    async fn fit(&self, tasks: &[TaskInfo]) -> Result<(), String> {
        let Some(container) = self.container.clone() else {
            return Ok(());
        };
        let (host, mut job) = (Arc::clone(&self.keeper.host), self.job(tasks));
        // Its network stays as it is, though a task may have ended that held a port of it.
        job.task.container = None;
        job.task.labels = None;
        let resized =
            tokio::task::spawn_blocking(move || resources::resize(&host, &job, &container)).await;
        let why = match resized {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => chain(&error),
            Err(error) => chain(&error),
        };
        Err(format!(
            "the container of its executor cannot be fitted to it: {why}"
        ))
    }

    /// Where none wait for it.
    async fn fit_or_warn(&self, tasks: &[TaskInfo]) {
        if let Err(why) = self.fit(tasks).await {
            tracing::warn!(executor = %self.keeper.key, why, "tasks of a group have what those before them had");
        }
    }

    async fn on_launch(&mut self, outcome: Outcome) {
        self.launch = None;
        match outcome {
            // It was on its way when it was told to end.
            Outcome::Launched(container) if self.released => {
                container.kill();
                self.container = Some(container);
            }
            Outcome::Launched(container) => {
                self.container = Some(container.clone());
                let fitted = match self.unfitted.take() {
                    Some(tasks) => self.fit(&tasks).await,
                    None => Ok(()),
                };
                match fitted {
                    Ok(()) => self.answer(ENDED),
                    Err(why) => self.refuse(&why),
                }
                let key = self.keeper.key.clone();
                self.tell(Notice::Launched { key, container }).await;
            }
            Outcome::Failed(why) => self.gone(&why, false).await,
            Outcome::Cancelled | Outcome::Unbegun(..) => self.gone(ENDED, false).await,
        }
    }

    async fn on_ended(&mut self, termination: Termination) {
        let keeper = &self.keeper;
        for leftover in &termination.leftovers {
            tracing::warn!(executor = %keeper.key, leftover, "container left something behind");
        }
        keeper.host.keeper.release(&keeper.sandbox);
        keeper.host.quotas.release(&keeper.sandbox);
        keeper.host.leave(keeper.run.container.clone()).await;
        if let Some(container) = self.container.take() {
            // Nothing of it needs to be told: those who had a story were in it.
            let forgotten = tokio::task::spawn_blocking(move || container.forget()).await;
            if let Err(error) = forgotten {
                tracing::error!(executor = %self.keeper.key, %error, "cannot forget a container");
            }
        }
        self.gone(ENDED, !termination.leftovers.is_empty()).await;
    }

    /// Nobody can join it any more.
    async fn gone(&mut self, why: &str, leftovers: bool) {
        self.answer(why);
        let key = self.keeper.key.clone();
        let status = match self.released {
            true => 0,
            false => -1,
        };
        self.tell(Notice::Ended {
            key,
            status,
            leftovers,
        })
        .await;
    }

    async fn close(self) {
        let (host, run) = (Arc::clone(&self.keeper.host), self.keeper.run.clone());
        let is_checkpointed = self.keeper.is_checkpointed;
        let closed = tokio::task::spawn_blocking(move || {
            // Garbage collection counts from the end of the run.
            sandbox::touch(&host.paths.sandbox(&run));
            match is_checkpointed {
                true => checkpoint::replace(&host.paths.sentinel(&run), b"", Durability::Process),
                false => Ok(()),
            }
        });
        let error = match closed.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(error) => Some(chain(&error)),
        };
        if let Some(error) = error {
            tracing::warn!(executor = %self.keeper.key, error, "cannot close a run");
        }
        self.tell(Notice::Closed(self.keeper.key.clone())).await;
    }

    async fn tell(&self, notice: Notice) {
        let event = supervisor::Event::Group(Box::new(notice));
        if self.keeper.supervisor.send(event).await.is_err() {
            tracing::debug!(executor = %self.keeper.key, "the agent has gone before a task group");
        }
    }
}
