//! What runs a task: a container of this agent's own making, or one of a Docker Engine.

use containerizer::{Snapshot, Termination, Timings};
use isolators::ContainerId;
use proto::error::chain;
use proto::v1::TaskStatus;
use serde_json::Value;

use crate::docker;

/// A handle on one; clones name the same.
#[derive(Debug, Clone)]
pub enum Container {
    Native(containerizer::Container),
    Docker(docker::Container),
}

/// How a launch went that an earlier agent began.
#[derive(Debug)]
pub enum Begun {
    /// The command runs, or has run.
    Runs,
    /// It could not be started: the whole chain of reasons.
    Failed(String),
    /// Nothing tells that it ever ran.
    Cut,
}

impl From<containerizer::Container> for Container {
    fn from(container: containerizer::Container) -> Self {
        Self::Native(container)
    }
}

impl Container {
    pub fn id(&self) -> &ContainerId {
        match self {
            Self::Native(it) => it.id(),
            Self::Docker(it) => it.id(),
        }
    }

    /// Of its first process; 0 when nobody knows it any more.
    pub fn pid(&self) -> u32 {
        match self {
            Self::Native(it) => it.pid(),
            Self::Docker(it) => it.pid(),
        }
    }

    /// Waits until nothing of it runs. Many may wait; all get the same answer. Cancel safe.
    pub async fn wait(&self) -> Termination {
        match self {
            Self::Native(it) => it.wait().await,
            Self::Docker(it) => it.wait().await,
        }
    }

    /// Waits, once containers are left to another process, until it is known who will tell the end: this one,
    /// which has seen it and whose `wait` returns, or the next.
    pub async fn is_left(&self) -> bool {
        match self {
            Self::Native(it) => it.is_left().await,
            Self::Docker(it) => it.is_left().await,
        }
    }

    /// Asks it to end. Not an error once it has ended.
    pub fn terminate(&self) {
        match self {
            Self::Native(it) => it.terminate(),
            Self::Docker(it) => it.terminate(),
        }
    }

    /// The same, with SIGKILL.
    pub fn kill(&self) {
        match self {
            Self::Native(it) => it.kill(),
            Self::Docker(it) => it.kill(),
        }
    }

    /// Its end is stored elsewhere. Blocks.
    pub fn forget(&self) {
        match self {
            Self::Native(it) => it.forget(),
            Self::Docker(it) => it.forget(),
        }
    }

    /// How long its launch took, where that is known.
    pub fn timings(&self) -> Option<&Timings> {
        match self {
            Self::Native(it) => it.timings(),
            Self::Docker(_) => None,
        }
    }

    /// What was executed. Blocks.
    pub fn spec(&self) -> Option<Value> {
        match self {
            // A spec always has a JSON form; one that was lost with its record has none.
            Self::Native(it) => serde_json::to_value(it.spec().ok()?).ok(),
            Self::Docker(_) => None,
        }
    }

    /// What its engine tells of it.
    pub fn inspected(&self) -> Option<Value> {
        match self {
            Self::Native(_) => None,
            Self::Docker(it) => it.inspected().map(|it| it.whole.clone()),
        }
    }

    /// What it uses now; `None` of one that may have ended a moment ago.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let snapshot = match self {
            Self::Native(it) => it.snapshot(),
            Self::Docker(it) => it.snapshot()?,
        };
        let snapshot = snapshot
            .inspect_err(|error| tracing::debug!(container = %self.id(), %error, "no statistics"));
        snapshot.ok()
    }

    /// Waits until it is known how the launch went that an earlier agent began.
    pub async fn begun(&self) -> Begun {
        match self {
            Self::Native(it) => match it.begun().await {
                containerizer::Begun::Runs => Begun::Runs,
                containerizer::Begun::Failed(error) => Begun::Failed(chain(&error)),
                containerizer::Begun::Cut => Begun::Cut,
            },
            Self::Docker(it) => it.begun().await,
        }
    }

    /// Adds to a status what clients of Docker look for in it.
    pub fn describe(&self, status: &mut TaskStatus) {
        match self {
            Self::Native(_) => {}
            Self::Docker(it) => docker::describe(it, status),
        }
    }

    /// One of this agent's own.
    pub fn native(&self) -> Option<&containerizer::Container> {
        match self {
            Self::Native(it) => Some(it),
            Self::Docker(_) => None,
        }
    }
}
