//! Instances: the running copies of an app, and their ids.

use std::fmt;

use proto::v1;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::{AppId, Timestamp};
use crate::placement::Site;

/// `a_b.instance-<uuid>` for an instance of `/a/b`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstanceId(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid task id '{0}': it should look like app.instance-<uuid>._app.1")]
pub struct BadTaskId(pub String);

const MARK: &str = ".instance-";
const TASK: &str = "._app.";

impl InstanceId {
    pub fn new(app: &AppId, uuid: Uuid) -> Self {
        Self(format!("{}{MARK}{uuid}", app.safe_name()))
    }

    /// Reads the id of an instance or of one of its tasks.
    pub fn parse(text: &str) -> Result<Self, BadTaskId> {
        let instance = text
            .rsplit_once(TASK)
            .map_or(text, |(instance, _)| instance);
        match instance.rsplit_once(MARK) {
            Some((app, uuid))
                if AppId::from_safe_name(app).is_ok() && Uuid::try_parse(uuid).is_ok() =>
            {
                Ok(Self(instance.to_owned()))
            }
            _ => Err(BadTaskId(text.to_owned())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    pub id: InstanceId,
    pub app: AppId,
    /// Counts the tasks of this instance, from 1.
    pub incarnation: u32,
    pub version: Timestamp,
    /// The definition it was started from: `Revision::last_config_change_at`.
    pub definition: Timestamp,
    pub agent_id: String,
    pub site: Site,
    /// Host ports in the order of the app's ports.
    pub ports: Vec<u16>,
    pub addresses: Vec<Address>,
    pub staged_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub phase: Phase,
    pub healthy: Option<bool>,
    pub ending: Option<Ending>,
}

/// As the master last reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    Staging,
    Starting,
    Running,
    Killing,
    Unreachable { since: Timestamp },
}

/// We asked for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    pub asked_at: Timestamp,
    pub cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// Scaled down, replaced, or killed by a user.
    Wanted,
    /// It did not start in time.
    Overdue,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub ip: String,
    pub version: IpVersion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpVersion {
    V4,
    V6,
}

impl IpVersion {
    pub fn as_str(self) -> &'static str {
        match self {
            IpVersion::V4 => "IPv4",
            IpVersion::V6 => "IPv6",
        }
    }
}

impl Instance {
    pub fn task_id(&self) -> String {
        format!("{}{TASK}{}", self.id, self.incarnation)
    }

    /// Does its work: runs and is not known to be unhealthy.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Running && self.ending.is_none() && self.healthy != Some(false)
    }

    pub fn state_name(&self) -> &'static str {
        let state = match self.phase {
            Phase::Staging => v1::TaskState::TaskStaging,
            Phase::Starting => v1::TaskState::TaskStarting,
            Phase::Running => v1::TaskState::TaskRunning,
            Phase::Killing => v1::TaskState::TaskKilling,
            Phase::Unreachable { .. } => v1::TaskState::TaskUnreachable,
        };
        state.as_str_name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "2f0e3c8e-6a2b-4c1a-9d0d-3a2f8f6f3f11";

    #[test]
    fn a_task_id_and_an_instance_id_name_the_same_instance() {
        let app: AppId = "/counters/my.fc".parse().unwrap();
        let id = InstanceId::new(&app, Uuid::try_parse(UUID).unwrap());
        assert_eq!(id.as_str(), format!("counters_my.fc.instance-{UUID}"));
        assert_eq!(InstanceId::parse(id.as_str()).unwrap(), id);
        assert_eq!(InstanceId::parse(&format!("{id}._app.3")).unwrap(), id);
    }

    #[test]
    fn other_ids_are_refused() {
        for text in [
            "",
            "web",
            "web.instance-1",
            &format!("We b.instance-{UUID}"),
        ] {
            assert!(InstanceId::parse(text).is_err(), "{text}");
        }
    }
}
