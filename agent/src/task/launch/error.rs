//! Why a task does not come to run.

use std::io;
use std::time::Duration;

use isolators::{BadContainerId, BadUser};
use proto::units::format_duration;

use crate::docker::DockerError;
use crate::docker::plan::BadTask;
use crate::networks::ConnectError;
use crate::provisioning::ImageError;
use crate::sandbox::SandboxError;
use crate::secrets::{SecretError, SecretFileError};
use crate::task::docker::BadDocker;
use crate::task::image::BadImage;
use crate::task::request::PlanError;
use crate::task::rootfs::RootError;
use crate::task::seccomp::SeccompError;

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The whole chain of reasons, as one line.
    #[error("{0}")]
    Unwritten(String),
    #[error("it was to be written down by an agent that has ended")]
    Unheard,
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    User(#[from] BadUser),
    #[error(transparent)]
    Id(#[from] BadContainerId),
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("cannot give the task its secrets")]
    Secret(#[from] SecretError),
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    #[error("cannot open the sandbox's stderr for the fetcher")]
    Log(#[source] io::Error),
    #[error("cannot fetch what the task needs")]
    Fetch(#[from] fetcher::FetchError),
    #[error("cannot provide what the task's image has")]
    Image(#[from] ImageError),
    #[error(transparent)]
    Docker(#[from] BadDocker),
    #[error(transparent)]
    Unplanned(#[from] BadTask),
    #[error("cannot run the task with Docker")]
    Engine(#[from] DockerError),
    #[error(
        "no containerizer of this agent (--containerizers={0}) can run the task: one of the type DOCKER needs \
         \"mesos\" or a Docker Engine that answers, any other \"mesos\""
    )]
    NoContainerizer(String),
    #[error("the task's image cannot be run")]
    Unfit(#[from] BadImage),
    #[error(transparent)]
    Root(#[from] RootError),
    #[error("cannot connect the container with its network")]
    Network(#[from] ConnectError),
    #[error("cannot join the network of the task's group")]
    Join(#[source] io::Error),
    #[error(transparent)]
    Container(#[from] containerizer::LaunchError),
    #[error(
        "the task did not run within {} (this agent's --executor_registration_timeout): \
         {stage} took too long",
        format_duration(*.limit)
    )]
    TooSlow {
        limit: Duration,
        stage: &'static str,
    },
    #[error(
        "the task did not run within {} (this agent's --executor_registration_timeout): fetching {uris} took \
         too long; what had come is {come}",
        format_duration(*.limit)
    )]
    FetchTooSlow {
        limit: Duration,
        uris: String,
        come: String,
    },
    #[error("the launch was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}
