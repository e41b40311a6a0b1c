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

/// What stands before the unique part. We write the first.
const MARKS: &[&str] = &["instance-", "marathon-"];
const TASK: &str = "._app.";

impl InstanceId {
    pub fn new(app: &AppId, uuid: Uuid) -> Self {
        Self(format!("{}.{}{uuid}", app.safe_name(), MARKS[0]))
    }

    /// Reads the id of an instance or of one of its tasks, also in the forms of older servers:
    /// `app.<uuid>`, `app.marathon-<uuid>`.
    pub fn parse(text: &str) -> Result<Self, BadTaskId> {
        let instance = text
            .rsplit_once(TASK)
            .map_or(text, |(instance, _)| instance);
        let parts = instance.rsplit_once('.').and_then(|(app, unique)| {
            let uuid = MARKS.iter().find_map(|mark| unique.strip_prefix(mark));
            let uuid = Uuid::try_parse(uuid.unwrap_or(unique)).ok()?;
            Some((AppId::from_safe_name(app).ok()?, uuid))
        });
        match parts {
            Some((app, uuid)) => Ok(Self::new(&app, uuid)),
            None => Err(BadTaskId(text.to_owned())),
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
    /// `None` while that is not known.
    pub healthy: Option<bool>,
    /// Its app has health checks.
    #[serde(default)]
    pub is_checked: bool,
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
    /// Nothing shall take its place: scaled down, or replaced by a newer version.
    Wanted,
    /// A user killed it, and another shall take its place.
    Killed,
    /// It did not start in time.
    Overdue,
    /// A health check that the scheduler makes failed too often.
    Unhealthy,
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

    /// Does its work: runs, and is healthy where that is looked at.
    pub fn is_ready(&self) -> bool {
        let is_healthy = self.healthy.unwrap_or(!self.is_checked);
        self.phase == Phase::Running && self.ending.is_none() && is_healthy
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
        for text in [
            format!("{id}._app.3"),
            format!("counters_my.fc.{UUID}"),
            format!("counters_my.fc.marathon-{UUID}"),
        ] {
            assert_eq!(InstanceId::parse(&text).unwrap(), id, "{text}");
        }
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
