//! The flags as they are told: `/flags`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;
use isolators::IdRange;
use proto::sizes::format_size;

use super::Flags;
use crate::quota::ProjectRange;

impl Flags {
    /// Every flag that has a value, as the text an operator would write: `/flags`.
    pub fn texts(&self) -> Vec<(&'static str, String)> {
        let duration = |d: Duration| Some(proto::units::format_duration(d));
        let path = |p: &PathBuf| Some(p.display().to_string());
        let table = [
            ("advertise_ip", self.advertise_ip.map(|ip| ip.to_string())),
            (
                "advertise_port",
                self.advertise_port.map(|port| port.to_string()),
            ),
            ("allowed_devices", self.allowed_devices.clone()),
            ("attributes", self.attributes.clone()),
            (
                "authenticate_http_executors",
                Some(self.authenticate_http_executors.to_string()),
            ),
            ("bounding_capabilities", self.bounding_capabilities.clone()),
            (
                "effective_capabilities",
                self.effective_capabilities.clone(),
            ),
            (
                "cgroups_destroy_timeout",
                duration(self.cgroups_destroy_timeout),
            ),
            (
                "cgroups_enable_cfs",
                Some(self.cgroups_enable_cfs.to_string()),
            ),
            (
                "cgroups_cpu_enable_pids_and_tids_count",
                Some(self.cgroups_cpu_enable_pids_and_tids_count.to_string()),
            ),
            ("cgroups_hierarchy", path(&self.cgroups_hierarchy)),
            (
                "cgroups_limit_swap",
                Some(self.cgroups_limit_swap.to_string()),
            ),
            ("cgroups_root", Some(self.cgroups_root.clone())),
            (
                "container_disk_watch_interval",
                duration(self.container_disk_watch_interval),
            ),
            (
                "default_container_shm_size",
                self.default_container_shm_size.map(format_size),
            ),
            (
                "disallow_sharing_agent_ipc_namespace",
                Some(self.disallow_sharing_agent_ipc_namespace.to_string()),
            ),
            (
                "disallow_sharing_agent_pid_namespace",
                Some(self.disallow_sharing_agent_pid_namespace.to_string()),
            ),
            ("default_role", Some(self.default_role.clone())),
            ("disk_watch_interval", duration(self.disk_watch_interval)),
            (
                "enforce_container_disk_quota",
                Some(self.enforce_container_disk_quota.to_string()),
            ),
            (
                "executor_environment_variables",
                self.executor_environment_variables.clone(),
            ),
            (
                "executor_registration_timeout",
                duration(self.executor_registration_timeout),
            ),
            (
                "executor_reregistration_timeout",
                duration(self.executor_reregistration_timeout),
            ),
            (
                "executor_shutdown_grace_period",
                duration(self.executor_shutdown_grace_period),
            ),
            (
                "frameworks_home",
                self.frameworks_home.as_ref().and_then(path),
            ),
            ("gc_delay", duration(self.gc_delay)),
            ("gc_disk_headroom", Some(self.gc_disk_headroom.to_string())),
            ("hostname", self.hostname.clone()),
            (
                "http_authenticators",
                Some(self.http_authenticators.clone()),
            ),
            ("insecure", Some(self.insecure.to_string())),
            ("isolation", Some(self.isolation.clone())),
            ("ip", Some(self.ip.to_string())),
            (
                "jwt_secret_key",
                self.jwt_secret_key.as_ref().and_then(path),
            ),
            (
                "logrotate_stderr_options",
                Some(self.logrotate_stderr_options.clone()),
            ),
            (
                "logrotate_stdout_options",
                Some(self.logrotate_stdout_options.clone()),
            ),
            ("max_stderr_size", Some(self.max_stderr_size.clone())),
            ("max_stdout_size", Some(self.max_stdout_size.clone())),
            ("master", Some(self.master.to_string())),
            (
                "max_completed_executors_per_framework",
                Some(self.max_completed_executors_per_framework.to_string()),
            ),
            ("pids_limit", self.pids_limit.map(|n| n.to_string())),
            ("port", Some(self.port.to_string())),
            (
                "reconfiguration_policy",
                self.reconfiguration_policy
                    .to_possible_value()
                    .map(|value| value.get_name().to_owned()),
            ),
            (
                "recover",
                self.recover
                    .to_possible_value()
                    .map(|value| value.get_name().to_owned()),
            ),
            ("recovery_timeout", duration(self.recovery_timeout)),
            (
                "registration_backoff_factor",
                duration(self.registration_backoff_factor),
            ),
            ("resources", self.resources.clone()),
            ("runtime_dir", path(&self.runtime_dir)),
            (
                "sandbox_inodes_limit",
                self.sandbox_inodes_limit.map(|n| n.to_string()),
            ),
            (
                "seccomp_config_dir",
                self.seccomp_config_dir.as_ref().and_then(path),
            ),
            ("seccomp_profile_name", self.seccomp_profile_name.clone()),
            ("secrets_dir", self.secrets_dir.as_ref().and_then(path)),
            ("strict", Some(self.strict.to_string())),
            ("switch_user", Some(self.switch_user.to_string())),
            ("upgrade_timeout", duration(self.upgrade_timeout)),
            ("user_namespaces", Some(self.user_namespaces.to_string())),
            ("user_namespace_ids", {
                let IdRange { first, count } = self.user_namespace_ids;
                Some(format!("{first}-{}", first + (count - 1)))
            }),
            ("work_dir", path(&self.work_dir)),
            (
                "xfs_kill_containers",
                Some(self.xfs_kill_containers.to_string()),
            ),
            ("xfs_project_range", {
                let ProjectRange { first, last } = self.xfs_project_range;
                Some(format!("[{first}-{last}]"))
            }),
            (
                "xfs_quota_headroom",
                Some(format_size(self.xfs_quota_headroom)),
            ),
        ];
        table
            .into_iter()
            .chain(self.fetcher.texts())
            .chain(self.docker.texts())
            .chain(self.images.texts())
            .chain(self.network.texts())
            .chain(self.ports.texts())
            .filter_map(|(name, text)| Some((name, text?)))
            .collect()
    }
}
