//! The flags of the Docker containerizer.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use proto::units::{format_duration, parse_duration};

use crate::docker::choice::Containerizers;

#[derive(Debug, Clone, clap::Args)]
pub struct DockerFlags {
    /// Who runs tasks, separated by commas: the first that can takes each. "mesos" is this agent itself, and
    /// runs images of Docker's, too; "docker" is a Docker Engine of this host, for tasks of the type DOCKER.
    #[arg(
        long = "containerizers",
        env = "MESOS_CONTAINERIZERS",
        default_value = "mesos"
    )]
    pub containerizers: Containerizers,

    /// For those used to it: Docker's client is not run, the engine is spoken with at its socket.
    #[arg(long = "docker", env = "MESOS_DOCKER", default_value = "docker")]
    pub client: String,

    /// Where the Docker Engine of this host listens; unix:// may stand before it.
    #[arg(
        long = "docker_socket",
        env = "MESOS_DOCKER_SOCKET",
        default_value = "/var/run/docker.sock",
        value_parser = socket
    )]
    pub socket: PathBuf,

    /// How long a container that has ended stays with its engine.
    #[arg(
        long = "docker_remove_delay", env = "MESOS_DOCKER_REMOVE_DELAY",
        default_value = "6hrs", value_parser = parse_duration
    )]
    pub remove_delay: Duration,

    /// Remove what an earlier agent with this --work_dir has left with the engine and no task has.
    #[arg(
        long = "docker_kill_orphans", env = "MESOS_DOCKER_KILL_ORPHANS",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = true, action = ArgAction::Set
    )]
    pub kill_orphans: bool,

    /// For those used to it: the time between SIGTERM and SIGKILL of tasks of an engine that have no kill policy.
    /// Theirs is the usual one when this is 0.
    #[arg(
        long = "docker_stop_timeout", env = "MESOS_DOCKER_STOP_TIMEOUT",
        default_value = "0ns", value_parser = parse_duration
    )]
    pub stop_timeout: Duration,
}

fn socket(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text.strip_prefix("unix://").unwrap_or(text));
    let is_whole = path.is_absolute();
    is_whole
        .then_some(path)
        .ok_or("give the path of a unix socket: engines elsewhere are not for tasks of this host")
}

impl DockerFlags {
    pub fn texts(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("containerizers", Some(self.containerizers.to_string())),
            ("docker", Some(self.client.clone())),
            ("docker_socket", Some(self.socket.display().to_string())),
            (
                "docker_remove_delay",
                Some(format_duration(self.remove_delay)),
            ),
            ("docker_kill_orphans", Some(self.kill_orphans.to_string())),
            (
                "docker_stop_timeout",
                Some(format_duration(self.stop_timeout)),
            ),
        ]
    }
}
