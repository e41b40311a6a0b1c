//! What an operator says of the networks of tasks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgAction;
use network::{BadSettings, Settings, Subnet};
use proto::units::{format_duration, parse_duration};

use crate::flags::values::text_or_file;
use crate::paths;

#[derive(Debug, Clone, clap::Args)]
pub struct NetworkFlags {
    /// The name by which tasks join this node's bridge.
    #[arg(long = "bridge_network", default_value = "mesos-bridge")]
    pub bridge_network: String,

    /// The bridge itself, and the nf_tables table of its rules. Neither is made before a task wants it.
    #[arg(long = "bridge_name", default_value = "longshore0")]
    pub bridge_name: String,

    /// IPv4 network of the containers on it, of which the bridge has the first address.
    #[arg(long = "bridge_subnet", default_value = "10.211.0.0/16")]
    pub bridge_subnet: Subnet,

    /// IPv6 network, such as fd00:211::/64, for containers that are to have such an address, too.
    #[arg(long = "bridge_subnet_v6")]
    pub bridge_subnet_v6: Option<Subnet>,

    /// Bytes of a packet on it; by default as on the link that leads this host everywhere else.
    #[arg(long = "bridge_mtu", value_parser = clap::value_parser!(u32).range(1280..=65535))]
    pub bridge_mtu: Option<u32>,

    /// Let tasks on the bridge ask the cloud what it tells this machine, its credentials included
    /// (169.254.169.254).
    #[arg(
        long = "bridge_allows_metadata",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub bridge_allows_metadata: bool,

    /// Name servers of tasks with a network of their own, as JSON: {"mesos": [{"network_mode": "CNI", "dns":
    /// {"nameservers": ["10.0.0.53"], "search": ["example.com"]}}]}. By default this host's, as far as
    /// they can be reached from elsewhere.
    #[arg(
        long = "default_container_dns", env = "MESOS_DEFAULT_CONTAINER_DNS",
        value_parser = text_or_file
    )]
    pub default_container_dns: Option<String>,

    /// Directory of files that each describe a network, or a list of plugins, as CNI 0.1.0 to 1.1.0 has them;
    /// read anew for each task. Tasks join one by its name.
    #[arg(
        long = "network_cni_config_dir",
        env = "MESOS_NETWORK_CNI_CONFIG_DIR",
        requires = "cni_plugins_dir"
    )]
    pub cni_config_dir: Option<PathBuf>,

    /// Directories of those plugins, separated by colons.
    #[arg(
        id = "cni_plugins_dir",
        long = "network_cni_plugins_dir",
        env = "MESOS_NETWORK_CNI_PLUGINS_DIR",
        requires = "cni_config_dir"
    )]
    pub cni_plugins_dir: Option<String>,

    /// Keep what tasks have of such networks in --work_dir and not in --runtime_dir: so it is taken away
    /// after a reboot, too, as plugins want it that keep things on the disk.
    #[arg(
        long = "network_cni_root_dir_persist", env = "MESOS_NETWORK_CNI_ROOT_DIR_PERSIST",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub cni_root_dir_persist: bool,

    /// How long a plugin may take before it is killed.
    #[arg(
        long = "network_cni_timeout",
        default_value = "20secs", value_parser = parse_duration
    )]
    pub cni_timeout: Duration,
}

impl TryFrom<&NetworkFlags> for Settings {
    type Error = BadSettings;

    fn try_from(flags: &NetworkFlags) -> Result<Self, BadSettings> {
        let settings = Self {
            bridge: flags.bridge_name.clone(),
            v4: flags.bridge_subnet,
            v6: flags.bridge_subnet_v6,
            mtu: flags.bridge_mtu,
            allows_metadata: flags.bridge_allows_metadata,
        };
        settings.check()
    }
}

impl NetworkFlags {
    /// As an operator would write them: `/flags`.
    pub fn texts(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            (
                "bridge_allows_metadata",
                Some(self.bridge_allows_metadata.to_string()),
            ),
            ("bridge_mtu", self.bridge_mtu.map(|mtu| mtu.to_string())),
            ("bridge_name", Some(self.bridge_name.clone())),
            ("bridge_network", Some(self.bridge_network.clone())),
            ("bridge_subnet", Some(self.bridge_subnet.to_string())),
            (
                "bridge_subnet_v6",
                self.bridge_subnet_v6.map(|it| it.to_string()),
            ),
            ("default_container_dns", self.default_container_dns.clone()),
            (
                "network_cni_config_dir",
                (self.cni_config_dir.as_ref()).map(|it| it.display().to_string()),
            ),
            ("network_cni_plugins_dir", self.cni_plugins_dir.clone()),
            (
                "network_cni_root_dir_persist",
                Some(self.cni_root_dir_persist.to_string()),
            ),
            (
                "network_cni_timeout",
                Some(format_duration(self.cni_timeout)),
            ),
        ]
    }

    /// Of networks with a name.
    pub fn named(&self, runtime_dir: &Path, work_dir: &Path) -> cni::Settings {
        let plugins = self.cni_plugins_dir.iter().flat_map(|it| it.split(':'));
        let plugins = plugins.filter(|it| !it.is_empty()).map(PathBuf::from);
        cni::Settings {
            networks: self.cni_config_dir.clone(),
            plugins: plugins.collect(),
            journal: paths::named_networks(match self.cni_root_dir_persist {
                true => work_dir,
                false => runtime_dir,
            }),
            limit: self.cni_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use network::Settings;

    use crate::flags::tests::parse;

    #[test]
    fn a_bridge_is_as_its_flags_say() {
        let flags = parse(&[
            "--bridge_name=other0",
            "--bridge_subnet=10.7.0.0/24",
            "--bridge_subnet_v6=fd00:7::/64",
            "--bridge_mtu=1400",
            "--bridge_allows_metadata",
        ]);
        let settings = Settings::try_from(&flags.network).unwrap();
        let wanted = Settings {
            bridge: "other0".to_owned(),
            v4: "10.7.0.0/24".parse().unwrap(),
            v6: Some("fd00:7::/64".parse().unwrap()),
            mtu: Some(1400),
            allows_metadata: true,
        };
        assert_eq!(settings, wanted);
        let plain = Settings::try_from(&parse(&[]).network).unwrap();
        assert_eq!((plain.bridge.as_str(), plain.mtu), ("longshore0", None));
        assert!(!plain.allows_metadata);
    }
}
