//! What others are told of as it happens. Nobody need listen, and nothing depends on it.

use crate::app::{AppId, HealthCheck};
use crate::deployment::Deployment;
use crate::instance::{Instance, InstanceId};

#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The state of a task, as the master tells it.
    Status {
        instance: Box<Instance>,
        state: &'static str,
        message: String,
    },
    /// Of all checks of an instance together.
    Health {
        instance: Box<Instance>,
        is_alive: bool,
    },
    CheckFailed {
        app: AppId,
        instance: InstanceId,
        check: Box<HealthCheck>,
    },
    UnhealthyKill {
        instance: Box<Instance>,
        reason: String,
    },
    /// Its current step has begun.
    StepBegun(Box<Deployment>),
    /// Its current step is done.
    StepDone(Box<Deployment>),
    Deployed(Box<Deployment>),
    /// Another one is in its place.
    Cancelled(Box<Deployment>),
}
