//! The flags of a master, by their Mesos names.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use proto::units::parse_duration;

use crate::cluster::Thresholds;

#[derive(Debug, Clone, Args)]
pub struct Flags {
    /// Directory of the registry
    #[arg(
        long = "work_dir",
        env = "MESOS_WORK_DIR",
        default_value = "/var/lib/longshore"
    )]
    pub work_dir: PathBuf,

    /// Address to listen on
    #[arg(long, env = "MESOS_IP", default_value = "127.0.0.1")]
    pub ip: IpAddr,

    /// Port to listen on; 0 takes any that is free
    #[arg(long, env = "MESOS_PORT", default_value_t = 5050)]
    pub port: u16,

    /// Listen beyond this machine although nothing asks for credentials
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set)]
    pub insecure: bool,

    /// Name under which others reach this master; the listening address without it
    #[arg(long, env = "MESOS_HOSTNAME")]
    pub hostname: Option<String>,

    /// Address under which others reach this master, if it is not the one listened on
    #[arg(long = "advertise_ip", env = "MESOS_ADVERTISE_IP")]
    pub advertise_ip: Option<IpAddr>,

    /// Port under which others reach this master, if it is not the one listened on
    #[arg(long = "advertise_port", env = "MESOS_ADVERTISE_PORT")]
    pub advertise_port: Option<u16>,

    /// Name of the cluster, for people
    #[arg(long, env = "MESOS_CLUSTER")]
    pub cluster: Option<String>,

    /// Time between two pings of an agent
    #[arg(long = "agent_ping_timeout", env = "MESOS_AGENT_PING_TIMEOUT", default_value = "15secs", value_parser = ping_timeout)]
    pub agent_ping_timeout: Duration,

    /// Pings in a row that an agent may leave unanswered before it counts as unreachable
    #[arg(long = "max_agent_ping_timeouts", env = "MESOS_MAX_AGENT_PING_TIMEOUTS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_agent_ping_timeouts: u32,

    /// Time for known agents to come back after this master starts
    #[arg(long = "agent_reregister_timeout", env = "MESOS_AGENT_REREGISTER_TIMEOUT", default_value = "10mins", value_parser = parse_duration)]
    pub agent_reregister_timeout: Duration,

    /// Declined resources are offered again at multiples of this
    #[arg(long = "allocation_interval", env = "MESOS_ALLOCATION_INTERVAL", default_value = "1secs", value_parser = allocation_interval)]
    pub allocation_interval: Duration,

    /// What must be free on an agent to be offered; alternatives are separated by |
    #[arg(long = "min_allocatable_resources", env = "MESOS_MIN_ALLOCATABLE_RESOURCES", default_value = "cpus:0.01|mem:32", value_parser = thresholds)]
    pub min_allocatable_resources: Thresholds,

    /// Time after which an unanswered offer is rescinded; never without it
    #[arg(long = "offer_timeout", env = "MESOS_OFFER_TIMEOUT", value_parser = parse_duration)]
    pub offer_timeout: Option<Duration>,

    /// Frameworks may run tasks as root
    #[arg(long = "root_submissions", env = "MESOS_ROOT_SUBMISSIONS", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = clap::ArgAction::Set)]
    pub root_submissions: bool,

    /// Removed frameworks that are remembered
    #[arg(
        long = "max_completed_frameworks",
        env = "MESOS_MAX_COMPLETED_FRAMEWORKS",
        default_value_t = 50
    )]
    pub max_completed_frameworks: usize,

    /// Ended tasks that are remembered per framework
    #[arg(
        long = "max_completed_tasks_per_framework",
        env = "MESOS_MAX_COMPLETED_TASKS_PER_FRAMEWORK",
        default_value_t = 1000
    )]
    pub max_completed_tasks_per_framework: usize,

    /// Tasks on unreachable agents that are remembered per framework
    #[arg(
        long = "max_unreachable_tasks_per_framework",
        env = "MESOS_MAX_UNREACHABLE_TASKS_PER_FRAMEWORK",
        default_value_t = 1000
    )]
    pub max_unreachable_tasks_per_framework: usize,

    /// Where the list of agents is kept
    #[arg(long, env = "MESOS_REGISTRY", value_enum, default_value_t = RegistryKind::Redb)]
    pub registry: RegistryKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RegistryKind {
    /// A file in the work_dir; what Mesos calls its own store means the same here.
    #[value(alias = "replicated_log")]
    Redb,
    /// Forgotten when the master ends
    #[value(name = "in_memory")]
    InMemory,
}

impl Flags {
    /// As `/flags` and `/state` show them: texts, without those that are unset.
    pub fn shown(&self) -> serde_json::Map<String, serde_json::Value> {
        let time = |t: Duration| Some(proto::units::format_duration(t));
        let registry = match self.registry {
            RegistryKind::Redb => "redb",
            RegistryKind::InMemory => "in_memory",
        };
        let all = [
            ("work_dir", Some(self.work_dir.display().to_string())),
            ("ip", Some(self.ip.to_string())),
            ("port", Some(self.port.to_string())),
            ("insecure", Some(self.insecure.to_string())),
            ("hostname", self.hostname.clone()),
            ("advertise_ip", self.advertise_ip.map(|ip| ip.to_string())),
            (
                "advertise_port",
                self.advertise_port.map(|port| port.to_string()),
            ),
            ("cluster", self.cluster.clone()),
            ("agent_ping_timeout", time(self.agent_ping_timeout)),
            (
                "max_agent_ping_timeouts",
                Some(self.max_agent_ping_timeouts.to_string()),
            ),
            (
                "agent_reregister_timeout",
                time(self.agent_reregister_timeout),
            ),
            ("allocation_interval", time(self.allocation_interval)),
            (
                "min_allocatable_resources",
                Some(self.min_allocatable_resources.to_string()),
            ),
            ("offer_timeout", self.offer_timeout.and_then(time)),
            ("root_submissions", Some(self.root_submissions.to_string())),
            (
                "max_completed_frameworks",
                Some(self.max_completed_frameworks.to_string()),
            ),
            (
                "max_completed_tasks_per_framework",
                Some(self.max_completed_tasks_per_framework.to_string()),
            ),
            (
                "max_unreachable_tasks_per_framework",
                Some(self.max_unreachable_tasks_per_framework.to_string()),
            ),
            ("registry", Some(registry.to_owned())),
        ];
        let set = all
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
        set.collect()
    }
}

fn thresholds(text: &str) -> Result<Thresholds, String> {
    text.parse()
        .map_err(|error: crate::cluster::BadQuantities| error.to_string())
}

fn ping_timeout(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(1), Duration::from_secs(15 * 60))
}

fn allocation_interval(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_millis(1), Duration::from_secs(3600))
}

fn between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let shown = proto::units::format_duration;
    let duration = parse_duration(text)?;
    if (least..=most).contains(&duration) {
        return Ok(duration);
    }
    Err(format!(
        "{text} is out of range: use {} to {}",
        shown(least),
        shown(most)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        flags: Flags,
    }

    #[test]
    fn defaults_are_those_of_mesos() {
        let flags = Cli::try_parse_from(["master"])
            .map(|cli| cli.flags)
            .ok()
            .unwrap();
        assert_eq!(flags.port, 5050);
        assert_eq!(flags.agent_ping_timeout, Duration::from_secs(15));
        assert!(flags.root_submissions);
        let shown = flags.shown();
        assert_eq!(shown["min_allocatable_resources"], "cpus:0.01|mem:32");
        assert!(!shown.contains_key("cluster"));
    }

    #[test]
    fn every_flag_is_shown_once_it_is_set() {
        use clap::CommandFactory as _;
        #[rustfmt::skip]
        let set = [
            "master", "--hostname=h", "--advertise_ip=10.0.0.5", "--advertise_port=80",
            "--cluster=c", "--offer_timeout=1mins",
        ];
        let flags = Cli::try_parse_from(set).map(|cli| cli.flags);
        let shown = flags.ok().unwrap().shown();
        let command = Cli::command();
        let known: Vec<&str> = command
            .get_arguments()
            .filter_map(|a| a.get_long())
            .collect();
        for name in &known {
            assert!(shown.contains_key(*name), "{name}");
        }
        assert_eq!(shown.len(), known.len(), "a row without a flag");
    }

    #[test]
    fn a_ping_timeout_out_of_range_is_refused_with_the_range() {
        let error = ping_timeout("1hrs").unwrap_err();
        assert!(
            error.contains("1secs") && error.contains("15mins"),
            "{error}"
        );
    }
}
