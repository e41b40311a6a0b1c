//! What is said to the owner of an executor, and by it.

use std::time::Duration;

use proto::v1::{FrameworkInfo, KillPolicy, TaskInfo};
use tokio::sync::{mpsc, oneshot};

use super::Key;
use super::calls::Asked;
use super::connection::Connection;
use super::machine::Machine;
use crate::book::ExecutorState;
use crate::container::Container;
use crate::excess::Excess;
use crate::link::Outgoing;
use crate::supervisor::Written;
use crate::task::journal::{History, TaskJournal};
use crate::task::machine::Requester;

/// What the supervisor may tell an executor.
#[derive(Debug)]
pub enum Order {
    Task(Box<TaskInfo>),
    Kill {
        task: String,
        policy: Option<KillPolicy>,
    },
    Acknowledge {
        task: String,
        uuid: Vec<u8>,
    },
    FromFramework(Vec<u8>),
    ShutDown {
        by: Requester,
        /// The most of its own.
        grace: Option<Duration>,
    },
    /// It goes beyond what it and its tasks may have.
    Exceeds(Excess),
    /// There is a (new) master.
    Connected(Outgoing),
    /// End it; nobody wants to hear of it any more.
    Abandon {
        grace: Option<Duration>,
    },
    /// The agent goes away and the executor stays.
    Leave,
    /// Write down what could not be yet.
    WriteDown(Written),
    /// Another process goes on with it: the actor ends when nothing of it is under way here.
    HandOver(Written),
}

/// What the executor itself asks for, over HTTP.
#[derive(Debug)]
pub struct Request {
    pub asked: Asked,
    /// With SUBSCRIBE.
    pub connection: Option<Connection>,
    pub answer: oneshot::Sender<Answer>,
}

/// Where an executor is listened to.
#[derive(Debug, Clone)]
pub struct Door {
    /// The one that it runs in.
    pub container: String,
    pub requests: mpsc::Sender<Request>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Taken,
    NotSubscribed,
}

/// What the actor tells the supervisor.
#[derive(Debug)]
pub enum Notice {
    Changed {
        key: Key,
        state: ExecutorState,
        container: Option<Container>,
        /// The container has ended and something of it is left.
        leftovers: bool,
    },
    Closed {
        key: Key,
        framework: Box<FrameworkInfo>,
        /// They came when it had ended.
        late: Vec<TaskInfo>,
    },
}

/// How an actor comes to its executor.
#[derive(Debug)]
pub enum Beginning {
    /// For this task.
    Launch(Box<TaskInfo>),
    /// An earlier process of this agent had it.
    Resume(Box<Resumed>),
}

#[derive(Debug)]
pub struct Resumed {
    pub machine: Machine,
    pub deliveries: Vec<(String, TaskJournal, History)>,
    /// Its tasks whose story was told to the end, oldest first.
    pub told: Vec<String>,
    pub container: Option<Container>,
    pub rebooted: bool,
}
