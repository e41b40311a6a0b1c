//! Deployments: a change of apps on its way from what was to what is wanted.
//!
//! A deployment is plain data: what each app was, what it shall be, and the steps between. What
//! an app has to do at the moment, its [`Goal`], follows from the current step alone. So a
//! deployment that was stored can be taken up again at any time by any process.
//!
//! ```text
//! Stop gone apps ─► Start new ones with 0 instances ─► level 0 ─► level 1 ─► … ─► done
//! ```

pub mod plan;
pub mod replace;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::{AppId, Timestamp};
use crate::root::{Difference, Group, Revision};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeploymentId(Uuid);

impl DeploymentId {
    pub fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    pub id: DeploymentId,
    pub version: Timestamp,
    pub apps: BTreeMap<AppId, Difference<Arc<Revision>>>,
    pub groups: BTreeMap<AppId, Difference<Group>>,
    pub steps: Vec<Step>,
    /// Index of the step under way.
    pub current: usize,
}

/// What may be done at the same time, by app.
pub type Step = BTreeMap<AppId, Action>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    Start,
    Stop,
    Scale,
    Restart,
}

impl Action {
    /// As clients know it.
    pub fn name(self) -> &'static str {
        match self {
            Action::Start => "StartApplication",
            Action::Stop => "StopApplication",
            Action::Scale => "ScaleApplication",
            Action::Restart => "RestartApplication",
        }
    }
}

/// What has to be true of the instances of one app, now.
#[derive(Debug, Clone, PartialEq)]
pub enum Goal {
    /// So many instances, whatever definition they run; missing ones are started from this one.
    Keep {
        revision: Arc<Revision>,
        count: u32,
    },
    /// As many as the revision says, all of its definition.
    Replace {
        revision: Arc<Revision>,
    },
    Gone,
}

impl Goal {
    pub fn keep(revision: &Arc<Revision>) -> Self {
        Goal::Keep {
            revision: Arc::clone(revision),
            count: revision.app.instances,
        }
    }

    pub fn revision(&self) -> Option<&Arc<Revision>> {
        match self {
            Goal::Keep { revision, .. } | Goal::Replace { revision } => Some(revision),
            Goal::Gone => None,
        }
    }
}

impl Deployment {
    pub fn touches(&self, app: &AppId) -> bool {
        self.apps.contains_key(app)
    }

    pub fn is_finished(&self) -> bool {
        self.current >= self.steps.len()
    }

    /// The goal of an app of this deployment; None for any other app.
    pub fn goal(&self, app: &AppId) -> Option<Goal> {
        let difference = self.apps.get(app)?;
        let Some(after) = &difference.after else {
            return Some(Goal::Gone);
        };
        let Some((turn, action)) = self.turn_of(app) else {
            return Some(Goal::keep(after));
        };
        Some(match turn.cmp(&self.current) {
            Ordering::Less => Goal::keep(after),
            Ordering::Equal => match action {
                Action::Restart => Goal::Replace {
                    revision: Arc::clone(after),
                },
                Action::Start | Action::Stop | Action::Scale => Goal::keep(after),
            },
            Ordering::Greater => match &difference.before {
                Some(before) => Goal::keep(before),
                None => Goal::Keep {
                    revision: Arc::clone(after),
                    count: 0,
                },
            },
        })
    }

    /// Whether a replace of `app` has begun or is still to come.
    pub fn has_unfinished_restart(&self, app: &AppId) -> bool {
        matches!(self.turn_of(app), Some((at, Action::Restart)) if at >= self.current)
    }

    /// The step in which `app` changes its instances.
    fn turn_of(&self, app: &AppId) -> Option<(usize, Action)> {
        self.steps
            .iter()
            .enumerate()
            .find_map(|(at, step)| match step.get(app) {
                None | Some(Action::Start) => None,
                Some(action) => Some((at, *action)),
            })
    }
}

#[cfg(test)]
mod tests;
