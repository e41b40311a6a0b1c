//! What a container is to be, as the engine is told it. What is left out is the engine's to choose.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Create {
    pub image: String,
    /// Instead of the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Instead of the image's; what the entry point is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// `NAME=value`, beside the image's.
    pub env: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// `80/tcp`; the values are empty objects.
    pub exposed_ports: BTreeMap<String, Empty>,
    /// `{"Test": ["NONE"]}` where the image's own health check is not to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    pub host_config: HostConfig,
    pub networking_config: NetworkingConfig,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Empty {}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkingConfig {
    /// By the network's name, which is `HostConfig`'s mode, too.
    pub endpoints_config: BTreeMap<String, Endpoint>,
}

/// How a container is in a network that somebody has made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Endpoint {
    #[serde(rename = "IPAMConfig")]
    pub addresses: Addresses,
    /// Other names of it there.
    pub aliases: Vec<String>,
}

/// That it is to have; others where one is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Addresses {
    #[serde(rename = "IPv4Address", skip_serializing_if = "String::is_empty")]
    pub v4: String,
    #[serde(rename = "IPv6Address", skip_serializing_if = "String::is_empty")]
    pub v6: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    pub test: Vec<String>,
}

impl Healthcheck {
    pub fn none() -> Self {
        Self {
            test: vec!["NONE".to_owned()],
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostConfig {
    /// `host`, `bridge`, `none` or the name of a network.
    pub network_mode: String,
    pub privileged: bool,
    /// `source:target`, with options behind another colon; a path of the host that is not there is made.
    pub binds: Vec<String>,
    pub mounts: Vec<Mount>,
    /// By `80/tcp`.
    pub port_bindings: BTreeMap<String, Vec<PortBinding>>,
    pub dns: Vec<String>,
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    /// `name:address`.
    pub extra_hosts: Vec<String>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    /// Groups of the user, beside its own.
    pub group_add: Vec<String>,
    pub security_opt: Vec<String>,
    pub devices: Vec<DeviceMapping>,
    pub device_cgroup_rules: Vec<String>,
    pub device_requests: Vec<DeviceRequest>,
    pub ulimits: Vec<Ulimit>,
    pub sysctls: BTreeMap<String, String>,
    /// Options by path.
    pub tmpfs: BTreeMap<String, String>,
    pub readonly_rootfs: bool,
    /// Bytes; 0: the engine's default.
    pub shm_size: u64,
    pub oom_score_adj: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    pub ipc_mode: String,
    pub pid_mode: String,
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    pub userns_mode: String,
    pub cgroup_parent: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub runtime: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cpuset_cpus: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cpuset_mems: String,
    pub restart_policy: RestartPolicy,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_config: Option<LogConfig>,
    #[serde(flatten)]
    pub resources: Resources,
}

/// Of the container's cgroup; what is `None` stays as it is, or is the engine's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Resources {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u64>,
    /// Microseconds in each period; -1: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_period: Option<u64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<i64>,
    /// Bytes, with the memory; -1: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_swap: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_limit: Option<i64>,
    /// 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_swappiness: Option<i64>,
    /// 10 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blkio_weight: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mount {
    /// `bind`, `volume` or `tmpfs`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    pub target: String,
    pub read_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VolumeOptions {
    pub driver_config: DriverConfig,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DriverConfig {
    /// Empty: the engine's own.
    pub name: String,
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TmpfsOptions {
    pub size_bytes: u64,
    pub mode: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PortBinding {
    /// Empty: all of the host's.
    pub host_ip: String,
    pub host_port: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeviceMapping {
    pub path_on_host: String,
    pub path_in_container: String,
    /// Some of `rwm`.
    pub cgroup_permissions: String,
}

/// As for GPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeviceRequest {
    pub driver: String,
    /// -1: all there are.
    pub count: i64,
    #[serde(rename = "DeviceIDs")]
    pub device_ids: Vec<String>,
    pub capabilities: Vec<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// An empty name: what has ended stays ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartPolicy {
    pub name: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogConfig {
    #[serde(rename = "Type")]
    pub driver: String,
    pub config: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_said_is_left_to_the_engine() {
        let create = Create {
            image: "alpine:3".to_owned(),
            cmd: Some(vec!["true".to_owned()]),
            exposed_ports: BTreeMap::from([("80/tcp".to_owned(), Empty {})]),
            healthcheck: Some(Healthcheck::none()),
            host_config: HostConfig {
                network_mode: "bridge".to_owned(),
                resources: Resources {
                    memory: Some(64 << 20),
                    ..Resources::default()
                },
                ..HostConfig::default()
            },
            ..Create::default()
        };
        let json = serde_json::to_value(&create).expect("JSON");
        for unsaid in ["Entrypoint", "Hostname", "User", "WorkingDir", "StopSignal"] {
            assert_eq!(json.get(unsaid), None, "{unsaid}");
        }
        assert_eq!(json["Cmd"], json!(["true"]));
        assert_eq!(json["ExposedPorts"], json!({"80/tcp": {}}));
        assert_eq!(json["Healthcheck"], json!({"Test": ["NONE"]}));
        let host = &json["HostConfig"];
        assert_eq!(host["Memory"], json!(64 << 20));
        for unsaid in ["CpuShares", "CpuQuota", "MemorySwap", "Init", "LogConfig"] {
            assert_eq!(host.get(unsaid), None, "{unsaid}");
        }
    }
}
