//! Why an agent does not start.

use std::io;
use std::path::PathBuf;

use crate::activation::ActivationError;
use crate::audit::AuditError;
use crate::checkpoint::CheckpointError;
use crate::config::ConfigError;
use crate::devices::DevicesError;
use crate::disks::DiskError;
use crate::docker::plan::BadDns;
use crate::executor::authentication::AuthenticationError;
use crate::host::HostError;
use crate::lock::LockError;
use crate::networks::NetworkError;
use crate::profiles::ProfilesError;
use crate::provisioning::OpenError;
use crate::recovery::RecoveryError;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "an agent must run as root, this is user {0}: containers take cgroups, mounts and other users"
    )]
    NotRoot(nix::unistd::Uid),
    #[error("bad --{flag} {}", .path.display())]
    Directory {
        flag: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Devices(#[from] DevicesError),
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Dns(#[from] BadDns),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Listen(#[from] ActivationError),
    #[error(transparent)]
    Address(#[from] endpoint::NoAddress),
    #[error("cannot prepare the host for containers")]
    Containerizer(#[from] containerizer::OpenError),
    #[error("cannot compare the kernel with what is recorded")]
    Audit(#[from] AuditError),
    #[error("cannot clear the places of containers")]
    Places(#[from] containerizer::audit::AuditError),
    #[error("cannot find the containers of an earlier agent in {}", .runtime_dir.display())]
    Containers {
        runtime_dir: PathBuf,
        source: containerizer::RecordError,
    },
    #[error(
        "a container of an earlier agent cannot be taken over: put that right, or start with \
         --strict=false to leave it alone"
    )]
    Container(#[source] containerizer::RecoverError),
    #[error("cannot use images")]
    Images(#[from] OpenError),
    #[error("cannot recover the agent's state")]
    Recovery(#[from] RecoveryError),
    #[error("cannot write the agent's state")]
    Checkpoint(#[from] CheckpointError),
    #[error("cannot set up an HTTP client for the link to the master")]
    Client(#[source] reqwest::Error),
    #[error("the agent's start was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
    #[error("cannot let clients in")]
    Door(#[source] io::Error),
    #[error("cannot listen on the socket that was handed over")]
    Inherit(#[source] io::Error),
}
