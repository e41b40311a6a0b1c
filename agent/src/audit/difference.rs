//! A difference, explained.

use std::path::PathBuf;

use containerizer::audit::{LoopDevice, Mount, Remedy};
use containerizer::project_quota::ProjectUse;
use network::audit::Difference as OfNetwork;

use crate::paths::Run;
use crate::quota::amount;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Of what containers are made of.
    Container(containerizer::audit::Difference),
    /// A file system in the sandbox of a run that is over.
    Mount { mount: Mount, container: String },
    /// A block device on a file in such a sandbox.
    Loop {
        device: LoopDevice,
        container: String,
    },
    /// A sandbox without the checkpoint that its framework's runs have.
    Sandbox { run: Run, path: PathBuf },
    /// A checkpoint without a sandbox, of a container that runs.
    Checkpoint { run: Run, path: PathBuf },
    /// What the file system counts for a project that no sandbox carries.
    Project(ProjectUse),
    /// One port of the host for two.
    Port { port: u64, containers: [String; 2] },
    /// Of the networks of tasks.
    Network(network::audit::Difference),
    /// What plugins gave a container that is gone.
    Attachment { container: String },
    /// A port that this agent offers is in use by somebody else.
    Listener(containerizer::audit::Listener),
}

impl Difference {
    fn kind(&self) -> &'static str {
        match self {
            Self::Container(difference) => difference.kind(),
            Self::Mount { .. } => "mount",
            Self::Loop { .. } => "loop device",
            Self::Sandbox { .. } => "sandbox",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Project(_) => "project quota",
            Self::Network(_) | Self::Attachment { .. } => "network",
            Self::Port { .. } | Self::Listener(_) => "port",
        }
    }

    pub fn container(&self) -> Option<&str> {
        match self {
            Self::Container(difference) => difference.container(),
            Self::Mount { container, .. }
            | Self::Loop { container, .. }
            | Self::Attachment { container } => Some(container),
            Self::Sandbox { run, .. } | Self::Checkpoint { run, .. } => Some(&run.container),
            Self::Port {
                containers: [one, _],
                ..
            } => Some(one),
            Self::Network(
                OfNetwork::Lost { container, .. }
                | OfNetwork::Rules {
                    container: Some(container),
                }
                | OfNetwork::Cut { container }
                | OfNetwork::Lease { container },
            ) => Some(container),
            Self::Project(_) | Self::Network(_) | Self::Listener(_) => None,
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Container(difference) => difference.place(),
            Self::Mount { mount, .. } => mount.point.display().to_string(),
            Self::Loop { device, .. } => device.device.display().to_string(),
            Self::Sandbox { path, .. } | Self::Checkpoint { path, .. } => {
                path.display().to_string()
            }
            Self::Project(used) => format!("project {}", used.project),
            Self::Network(difference) => match difference {
                OfNetwork::Link { name } => format!("link {name}"),
                OfNetwork::Leads { port, protocol } | OfNetwork::Lost { port, protocol, .. } => {
                    format!("port {port}/{protocol}")
                }
                OfNetwork::Rules {
                    container: Some(container),
                } => format!("rules of {container}"),
                OfNetwork::Rules { container: None } => "rules".to_owned(),
                OfNetwork::Cut { container } => format!("link of {container}"),
                OfNetwork::Lease { container } => format!("addresses of {container}"),
            },
            Self::Attachment { container } => format!("named networks of {container}"),
            Self::Port { port, .. } => format!("port {port}"),
            Self::Listener(listener) => format!("port {}/{}", listener.port, listener.protocol),
        }
    }

    fn why(&self) -> String {
        match self {
            Self::Container(difference) => difference.why(),
            Self::Mount { .. } => {
                "it is mounted in a sandbox that nobody uses any more, and keeps garbage collection from \
                 removing that"
                    .to_owned()
            }
            Self::Loop { device, .. } => format!(
                "it keeps the file {} in use, in a sandbox that nobody uses any more",
                device.file.display()
            ),
            Self::Sandbox { .. } => {
                "its framework's runs have checkpoints, and this one has none: a garbage collection was cut \
                 off, or the checkpoint is lost"
                    .to_owned()
            }
            Self::Checkpoint { .. } => {
                "its task runs and its sandbox was removed: what the task writes is lost until it is restarted"
                    .to_owned()
            }
            Self::Project(ProjectUse { bytes: 0, inodes: 0, .. }) => {
                "it has a limit, and its sandbox has gone: it was not freed".to_owned()
            }
            Self::Project(ProjectUse { bytes, inodes, .. }) => format!(
                "{} in {inodes} files and directories count for it, and it is no sandbox's: --xfs_project_range is for sandboxes only",
                amount(*bytes)
            ),
            Self::Network(difference) => match difference {
                OfNetwork::Link { .. } => "it is a port of the bridge, and no container's",
                OfNetwork::Leads { .. } => "it leads to where no container is",
                OfNetwork::Lost { .. } => {
                    "it should lead to a container, and nobody reaches that by it"
                }
                OfNetwork::Rules { container: Some(_) } => {
                    "they do not say who it is and whom it may talk to, as it is written down"
                }
                OfNetwork::Rules { container: None } => "they speak of a container that is not there",
                OfNetwork::Cut { .. } => "it is no port of the bridge: nobody reaches its container",
                OfNetwork::Lease { .. } => "they are those of a container that is not there",
            }
            .to_owned(),
            Self::Attachment { .. } => {
                "their plugins gave it what it does not need any more, for it is gone".to_owned()
            }
            Self::Port { containers: [one, other], .. } => {
                format!("the tasks in the containers {one} and {other} both hold it")
            }
            Self::Listener(listener) => format!(
                "process {} listens there and is no task's, and the agent offers the port: a task that gets \
                 it cannot listen",
                listener.process
            ),
        }
    }

    pub fn remedy(&self) -> Remedy {
        let repair = |what: &str| Remedy::Repair(what.to_owned());
        match self {
            Self::Container(difference) => difference.remedy(),
            Self::Mount { mount, .. } => {
                Remedy::Advice(format!("umount {}", mount.point.display()))
            }
            Self::Loop { device, .. } => {
                Remedy::Advice(format!("losetup -d {}", device.device.display()))
            }
            Self::Sandbox { .. } => {
                repair("note its run as over: the sandbox stays readable until garbage collection")
            }
            Self::Checkpoint { .. } => repair(
                "make an empty sandbox in its place; to have what the task writes, restart that",
            ),
            Self::Project(ProjectUse {
                bytes: 0,
                inodes: 0,
                ..
            }) => repair("take its limit away"),
            Self::Project(ProjectUse { project, .. }) => Remedy::Advice(format!(
                "find its files with lsattr -pR in the file system of --work_dir, and give them project 0 \
                 with chattr -p 0; or leave {project} out of --xfs_project_range"
            )),
            Self::Network(_) => {
                repair("make the bridge and its rules what the containers there need, and no more")
            }
            Self::Attachment { .. } => repair("have their plugins take that away"),
            Self::Port { .. } => Remedy::Advice("restart one of the two tasks".to_owned()),
            Self::Listener(listener) => Remedy::Advice(format!(
                "end process {}, or leave port {} out of --resources",
                listener.process.process.pid, listener.port
            )),
        }
    }

    /// What two looks at the same thing have in common.
    pub fn is_same(&self, other: &Difference) -> bool {
        (self.kind(), self.place()) == (other.kind(), other.place())
    }

    /// `run`: what its container was made for, as far as that is known.
    pub fn explain(&self, run: Option<&Run>) -> Finding {
        Finding {
            kind: self.kind(),
            place: self.place(),
            container: self.container().map(str::to_owned),
            task: run.map(|run| format!("{} of framework {}", run.executor, run.framework)),
            why: self.why(),
            remedy: self.remedy(),
            outcome: Outcome::Untried,
        }
    }
}

/// A difference, as people and programs read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub kind: &'static str,
    pub place: String,
    pub container: Option<String>,
    /// Whose the container is or was.
    pub task: Option<String>,
    pub why: String,
    pub remedy: Remedy,
    pub outcome: Outcome,
}

/// What became of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody asked for it, or it is not for a repair.
    Untried,
    Repaired,
    /// With the reasons.
    Failed(String),
}
