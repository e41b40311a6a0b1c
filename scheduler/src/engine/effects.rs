//! What the engine asks its shell to do, in this order: first remember, then speak.

use std::sync::Arc;
use std::time::Duration;

use proto::v1;

use super::{Checkup, Notice, TaskFailure};
use crate::app::{AppId, Timestamp};
use crate::backoff::Backoff;
use crate::deployment::{Deployment, DeploymentId};
use crate::instance::{Instance, InstanceId};
use crate::root::{Group, Revision, RootChange};

#[derive(Debug, Default)]
pub struct Effects {
    /// To be stored, all or none, before any call is made or any answer given.
    pub writes: Vec<Write>,
    /// To be sent to the master in order.
    pub calls: Vec<Call>,
    /// To be made at any time; what each has shown is an event.
    pub checkups: Vec<Checkup>,
    /// To be told to whoever listens, once the rest is done.
    pub notices: Vec<Notice>,
}

/// One change of what survives the process.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    FrameworkId(Option<String>),
    /// The current version of an app, which also joins its history.
    App(Arc<Revision>),
    /// With all its versions.
    ForgetApp(AppId),
    ForgetVersion(AppId, Timestamp),
    Group(AppId, Group),
    ForgetGroup(AppId),
    Change(RootChange),
    ForgetChange(Timestamp),
    /// None: it is as if it had never failed.
    Backoff(AppId, Option<Backoff>),
    Failure(AppId, Option<TaskFailure>),
    Deployment(Deployment),
    ForgetDeployment(DeploymentId),
    Instance(Instance),
    ForgetInstance(InstanceId),
}

/// One call to the master.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    Revive,
    Suppress,
    Accept {
        offer: v1::OfferId,
        tasks: Vec<v1::TaskInfo>,
        refuse: Duration,
    },
    Decline {
        offers: Vec<v1::OfferId>,
        refuse: Duration,
    },
    Kill {
        task: String,
        agent: Option<String>,
        grace: Option<Duration>,
    },
    Acknowledge {
        agent: v1::AgentId,
        task: v1::TaskId,
        uuid: Vec<u8>,
    },
    /// Empty: all that the master knows of.
    Reconcile {
        tasks: Vec<(String, String)>,
    },
}

impl Effects {
    pub fn extend(&mut self, more: Effects) {
        self.writes.extend(more.writes);
        self.calls.extend(more.calls);
        self.checkups.extend(more.checkups);
        self.notices.extend(more.notices);
    }
}
