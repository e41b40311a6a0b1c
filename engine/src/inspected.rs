//! What an engine tells of one container.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The parts that matter here, and all of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspected {
    pub id: String,
    /// Without the slash that the engine puts before it.
    pub name: String,
    pub image: String,
    pub state: State,
    pub labels: BTreeMap<String, String>,
    /// By the names of its networks.
    pub addresses: BTreeMap<String, Address>,
    /// As it came.
    pub whole: Value,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct State {
    pub status: Status,
    /// The host's number of its first process; 0 when there is none.
    pub pid: u32,
    pub exit_code: i64,
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    /// Why it could not be started.
    pub error: String,
    pub started_at: String,
    pub finished_at: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
    /// One that came later than this was written.
    #[default]
    #[serde(other)]
    Other,
}

impl Status {
    /// It has had processes, and has none any more.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Exited | Self::Dead)
    }
}

/// Empty where it has none of that family.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Address {
    #[serde(rename = "IPAddress")]
    pub v4: String,
    #[serde(rename = "GlobalIPv6Address")]
    pub v6: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    state: State,
    #[serde(default)]
    config: Config,
    #[serde(default)]
    network_settings: NetworkSettings,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    #[serde(deserialize_with = "null_is_empty")]
    labels: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    #[serde(deserialize_with = "null_is_empty")]
    networks: BTreeMap<String, Address>,
}

/// Of Go: an empty map is told as null.
pub fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl<'de> Deserialize<'de> for Inspected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let whole = Value::deserialize(deserializer)?;
        let told = Told::deserialize(&whole).map_err(serde::de::Error::custom)?;
        Ok(Self {
            id: told.id,
            name: told.name.trim_start_matches('/').to_owned(),
            image: told.image,
            state: told.state,
            labels: told.config.labels,
            addresses: told.network_settings.networks,
            whole,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_matters_is_read_and_the_rest_is_kept() {
        let told = json!({
            "Id": "abc", "Name": "/mesos-1", "Image": "sha256:0c", "Odd": 1,
            "State": {"Status": "running", "Pid": 17, "ExitCode": 0, "OOMKilled": false, "StartedAt": "2026"},
            "Config": {"Labels": {"a": "b"}},
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}}},
        });
        let read: Inspected = serde_json::from_value(told.clone()).expect("reads");
        assert_eq!(read.name, "mesos-1");
        assert_eq!((read.state.status, read.state.pid), (Status::Running, 17));
        assert_eq!(read.labels["a"], "b");
        assert_eq!(read.addresses["bridge"].v4, "172.17.0.2");
        assert_eq!(read.whole, told);
    }

    #[test]
    fn what_is_null_or_new_is_no_fault() {
        let told = json!({
            "Id": "abc", "State": {"Status": "hibernating"}, "Config": {"Labels": null},
            "NetworkSettings": {"Networks": null},
        });
        let read: Inspected = serde_json::from_value(told).expect("reads");
        assert_eq!(read.state.status, Status::Other);
        assert!(!read.state.status.has_ended() && read.labels.is_empty());
        assert!(serde_json::from_value::<Inspected>(json!({"Name": "/x"})).is_err());
    }
}
