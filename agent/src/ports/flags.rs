//! What an operator says of the ports that tasks listen on. Source: spec/mesos-agent.md section 2.

use std::time::Duration;

use clap::ArgAction;
use proto::resources::Ranges;
use proto::units::{format_duration, parse_duration};

#[derive(Debug, Clone, clap::Args)]
pub struct PortsFlags {
    /// Kill tasks that listen on ports which they do not hold; otherwise it is only told. With
    /// --isolation=network/ports.
    #[arg(
        long = "enforce_container_ports", env = "MESOS_ENFORCE_CONTAINER_PORTS",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub enforce: bool,

    /// Mind only the ports that this agent offers. Tasks may listen on all others.
    #[arg(
        long = "check_agent_port_range_only", env = "MESOS_CHECK_AGENT_PORT_RANGE_ONLY",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub offered_only: bool,

    /// Mind only these ports, such as [0-35000].
    #[arg(
        long = "container_ports_isolated_range", env = "MESOS_CONTAINER_PORTS_ISOLATED_RANGE",
        conflicts_with = "offered_only", value_parser = ranges
    )]
    pub isolated_range: Option<Ranges>,

    /// How often to look.
    #[arg(
        long = "container_ports_watch_interval", env = "MESOS_CONTAINER_PORTS_WATCH_INTERVAL",
        default_value = "30secs", value_parser = parse_duration
    )]
    pub interval: Duration,
}

fn ranges(text: &str) -> Result<Ranges, String> {
    Ranges::parse(text).map_err(|error| error.to_string())
}

impl PortsFlags {
    /// As an operator would write them: `/flags`.
    pub fn texts(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            (
                "check_agent_port_range_only",
                Some(self.offered_only.to_string()),
            ),
            (
                "container_ports_isolated_range",
                self.isolated_range.as_ref().map(Ranges::to_string),
            ),
            (
                "container_ports_watch_interval",
                Some(format_duration(self.interval)),
            ),
            ("enforce_container_ports", Some(self.enforce.to_string())),
        ]
    }
}
