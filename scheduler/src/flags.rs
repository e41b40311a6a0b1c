//! The flags of the scheduler, named as Marathon names them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use proto::address::Master;
use proto::ids::{BadRole, check_role};

#[derive(clap::Args, Clone, Debug)]
pub struct Flags {
    /// The master: host:port, or file:///path of a file that says so (read again at each attempt).
    #[arg(
        long = "master",
        env = "MARATHON_MASTER",
        default_value = "127.0.0.1:5050",
        value_parser = Master::parse
    )]
    pub master: Master,

    /// Address to listen on.
    #[arg(
        long = "ip",
        visible_alias = "http_address",
        env = "MARATHON_HTTP_ADDRESS",
        default_value = "127.0.0.1"
    )]
    pub ip: IpAddr,

    /// Listen on an address that other machines can reach, without credentials.
    #[arg(long = "insecure", env = "MARATHON_INSECURE", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value_t = false, action = ArgAction::Set)]
    pub insecure: bool,

    /// Port of the API; 0 for any free one.
    #[arg(long = "http_port", env = "MARATHON_HTTP_PORT", default_value_t = 8080)]
    pub http_port: u16,

    /// Directory of the store with apps, deployments and instances.
    #[arg(
        long = "work_dir",
        env = "MARATHON_WORK_DIR",
        default_value = "/var/lib/longshore/scheduler"
    )]
    pub work_dir: PathBuf,

    /// Host name that we tell others; the address we listen on when absent.
    #[arg(long = "hostname", env = "MARATHON_HOSTNAME")]
    pub hostname: Option<String>,

    #[arg(
        long = "framework_name",
        env = "MARATHON_FRAMEWORK_NAME",
        default_value = "marathon"
    )]
    pub framework_name: String,

    /// Seconds for which the master keeps our tasks while we are away.
    #[arg(
        long = "failover_timeout",
        env = "MARATHON_FAILOVER_TIMEOUT",
        default_value_t = 604_800
    )]
    pub failover_timeout: u64,

    /// Role in which offers are received.
    #[arg(
        long = "mesos_role",
        env = "MARATHON_MESOS_ROLE",
        default_value = "*",
        value_parser = role
    )]
    pub mesos_role: String,

    /// User that tasks run as unless their app names one.
    #[arg(
        long = "mesos_user",
        env = "MARATHON_MESOS_USER",
        default_value = "root"
    )]
    pub mesos_user: String,

    /// Lowest service port that is chosen for an app.
    #[arg(
        long = "local_port_min",
        env = "MARATHON_LOCAL_PORT_MIN",
        default_value_t = 10_000
    )]
    pub local_port_min: u16,

    /// Highest service port that is chosen for an app.
    #[arg(
        long = "local_port_max",
        env = "MARATHON_LOCAL_PORT_MAX",
        default_value_t = 20_000
    )]
    pub local_port_max: u16,

    /// Instances that one offer takes at most. Offers that come together share the load evenly
    /// anyway, so the limit matters less here than in Marathon, where it is 5.
    #[arg(long = "max_instances_per_offer", env = "MARATHON_MAX_INSTANCES_PER_OFFER",
          default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_instances_per_offer: u32,

    /// Milliseconds for which an offer is declined that nothing waits for.
    #[arg(
        long = "decline_offer_duration",
        env = "MARATHON_DECLINE_OFFER_DURATION",
        default_value_t = 120_000
    )]
    pub decline_offer_duration: u64,

    /// Milliseconds from staging until a task has to run; after that it is killed and replaced.
    #[arg(
        long = "task_launch_timeout",
        env = "MARATHON_TASK_LAUNCH_TIMEOUT",
        default_value_t = 300_000
    )]
    pub task_launch_timeout: u64,

    /// Milliseconds until a kill that nobody confirmed is repeated.
    #[arg(
        long = "kill_retry_timeout",
        env = "MARATHON_KILL_RETRY_TIMEOUT",
        default_value_t = 30_000
    )]
    pub kill_retry_timeout: u64,

    /// Milliseconds from the subscription until all tasks are asked about once more.
    #[arg(
        long = "reconciliation_initial_delay",
        env = "MARATHON_RECONCILIATION_INITIAL_DELAY",
        default_value_t = 15_000
    )]
    pub reconciliation_initial_delay: u64,

    /// Milliseconds between two times at which all tasks are asked about.
    #[arg(
        long = "reconciliation_interval",
        env = "MARATHON_RECONCILIATION_INTERVAL",
        default_value_t = 600_000
    )]
    pub reconciliation_interval: u64,

    #[arg(
        long = "max_running_deployments",
        env = "MARATHON_MAX_RUNNING_DEPLOYMENTS",
        default_value_t = 100
    )]
    pub max_running_deployments: usize,

    /// Health checks that are made at one time.
    #[arg(long = "max_concurrent_marathon_health_checks",
          env = "MARATHON_MAX_CONCURRENT_MARATHON_HEALTH_CHECKS",
          default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_concurrent_marathon_health_checks: u32,

    /// Versions kept of each app.
    #[arg(
        long = "zk_max_versions",
        env = "MARATHON_ZK_MAX_VERSIONS",
        default_value_t = 50
    )]
    pub zk_max_versions: usize,
}

impl Flags {
    pub(crate) fn engine(&self) -> crate::engine::Config {
        crate::engine::Config {
            max_instances_per_offer: self.max_instances_per_offer as usize,
            decline_offer_duration: Duration::from_millis(self.decline_offer_duration),
            task_launch_timeout: Duration::from_millis(self.task_launch_timeout),
            kill_retry_timeout: Duration::from_millis(self.kill_retry_timeout),
            reconciliation_initial_delay: Duration::from_millis(self.reconciliation_initial_delay),
            reconciliation_interval: Duration::from_millis(self.reconciliation_interval),
            max_running_deployments: self.max_running_deployments,
            max_versions: self.zk_max_versions,
            local_ports: self.local_port_min..=self.local_port_max,
        }
    }
}

/// A master refuses other roles, and one that asks again and again would never be told why.
fn role(text: &str) -> Result<String, BadRole> {
    check_role(text).map(|()| text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    #[test]
    fn a_role_that_no_master_takes_is_refused_with_its_flag() {
        let parse = |role: &str| {
            let word = format!("--mesos_role={role}");
            Line::try_parse_from(["scheduler".to_owned(), word]).map(|line| line.flags.mesos_role)
        };
        assert_eq!(parse("eng/web").unwrap(), "eng/web");
        for (bad, why) in [
            ("a b", "no blanks"),
            ("", "must not be empty"),
            ("-x", "must not begin with '-'"),
            ("a//b", "empty level"),
        ] {
            let error = parse(bad).unwrap_err().to_string();
            let told = error.contains("--mesos_role") && error.contains(why);
            assert!(told, "{bad:?}: {error}");
        }
    }
}
