//! A difference between the kernel and the records, and what it means.

use std::fmt;
use std::path::PathBuf;

use isolators::IdRange;
use isolators::mountinfo::Mount;

use super::bundles::Bundle;
use super::kernel::LoopDevice;
use crate::identity::Identity;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Runs our `init` for a container that has no record.
    Process { container: String, process: Member },
    /// In our subtree of cgroups, but in no container's.
    Intruder { root: String, process: Member },
    /// On the host's side of the place of a container, or of none.
    Mount {
        mount: Mount,
        container: Option<String>,
    },
    /// Of a container without a record.
    Cgroup {
        container: String,
        directories: Vec<PathBuf>,
        processes: Vec<Member>,
        /// Something else says that the container is of this agent.
        is_ours: bool,
    },
    /// A record that nobody answers for.
    Orphan {
        container: String,
        record: PathBuf,
        lives: bool,
        /// The agent that asks runs: only its next start ends what it does not know.
        in_use: bool,
    },
    /// A record that does not tell which process its container's first one is.
    Damaged {
        container: String,
        record: PathBuf,
        damage: String,
    },
    /// A container that runs without a cgroup of its name.
    NoCgroup { container: String, root: String },
    /// Ids that a container has and that are not reserved for it.
    Ids {
        container: String,
        ids: IdRange,
        link: PathBuf,
        /// Who has them reserved, and whether that one runs.
        holder: Option<(String, bool)>,
    },
    /// A block device on a file of ours.
    Loop(LoopDevice),
    /// A network link of the host with a name of ours.
    Link(String),
    /// Of `longshore oci`, and not alive.
    Bundle {
        container: String,
        bundle: Bundle,
        /// Our subtree of cgroups.
        root: String,
    },
}

/// A process, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub process: Identity,
    pub name: String,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.process.pid, self.name)
    }
}

/// What is to be done about a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// What a repair does.
    Repair(String),
    /// What only an operator can decide.
    Advice(String),
}

impl Difference {
    /// One word, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Process { .. } => "process",
            Self::Intruder { .. } => "foreign process",
            Self::Mount { mount, .. } if mount.fstype == "nsfs" => "namespace",
            Self::Mount { .. } => "mount",
            Self::Cgroup { .. } => "cgroup",
            Self::Orphan { .. } => "record",
            Self::Damaged { .. } => "damaged record",
            Self::NoCgroup { .. } => "missing cgroup",
            Self::Ids { .. } => "ids",
            Self::Loop(_) => "loop device",
            Self::Link(_) => "link",
            Self::Bundle { .. } => "oci container",
        }
    }

    /// Whose it is or was, as far as that can be told.
    pub fn container(&self) -> Option<&str> {
        match self {
            Self::Process { container, .. }
            | Self::Cgroup { container, .. }
            | Self::Orphan { container, .. }
            | Self::Damaged { container, .. }
            | Self::NoCgroup { container, .. }
            | Self::Ids { container, .. }
            | Self::Bundle { container, .. } => Some(container),
            Self::Mount { container, .. } => container.as_deref(),
            Self::Intruder { .. } | Self::Loop(_) | Self::Link(_) => None,
        }
    }

    pub fn place(&self) -> String {
        match self {
            Self::Process { process, .. } | Self::Intruder { process, .. } => {
                format!("process {process}")
            }
            Self::Mount { mount, .. } => mount.point.display().to_string(),
            Self::Cgroup { directories, .. } => {
                let shown = directories.iter().map(|it| it.display().to_string());
                shown.collect::<Vec<_>>().join(" ")
            }
            Self::Orphan { record, .. } | Self::Damaged { record, .. } => {
                record.display().to_string()
            }
            Self::NoCgroup { container, root } => format!("{root}/{container}"),
            Self::Ids { link, .. } => link.display().to_string(),
            Self::Loop(LoopDevice { device, .. }) => device.display().to_string(),
            Self::Link(name) => format!("link {name}"),
            Self::Bundle { bundle, .. } => bundle.directory.display().to_string(),
        }
    }

    pub fn why(&self) -> String {
        match self {
            Self::Process { .. } => {
                "it is the first process of a container that has no record: no agent can find it, nor end \
                 its task"
                    .to_owned()
            }
            Self::Intruder { root, .. } => {
                format!("it is in the cgroup {root} itself, where no container puts a process")
            }
            Self::Mount {
                container: Some(_), ..
            } => "containers have their mounts in namespaces of their own: this one is the host's, and \
                  nothing uses it"
                .to_owned(),
            Self::Mount {
                container: None, ..
            } => "nothing of this agent mounts anything there".to_owned(),
            Self::Cgroup {
                processes, is_ours, ..
            } => {
                let whose = match is_ours {
                    true => "a container of this agent had it, and has no record any more",
                    false => "no record, sandbox or checkpoint of this agent names it",
                };
                match processes.as_slice() {
                    [] => format!("{whose}; no process is in it"),
                    some => format!("{whose}; in it: {}", list(some)),
                }
            }
            Self::Orphan { lives, in_use, .. } => {
                let whose = match in_use {
                    true => "the agent has no task with it",
                    false => "no checkpoint names it, so the next agent will have no task with it",
                };
                let state = match lives {
                    true => "its container runs",
                    false => "its container has ended, or was never begun",
                };
                format!("{whose}; {state}")
            }
            Self::Damaged { damage, .. } => {
                format!("{damage}; so no agent takes the container over, nor ends it")
            }
            Self::NoCgroup { .. } => {
                "the container runs, but has no cgroup: its limits hold no longer".to_owned()
            }
            Self::Ids { ids, holder, .. } => {
                let IdRange { first, count } = ids;
                let last = u64::from(*first) + u64::from(*count) - 1;
                match holder {
                    None => format!("the container has the ids {first} to {last} of the host, which are \
                                     not reserved for it: another could get the same"),
                    Some((other, _)) => format!("the container has the ids {first} to {last} of the host, \
                                                 which are reserved for {other}"),
                }
            }
            Self::Link(_) => {
                "it has a name of ours, and no container of this agent has a link of the host".to_owned()
            }
            Self::Loop(LoopDevice { file, .. }) => {
                format!("it keeps the file {} of this agent in use", file.display())
            }
            Self::Bundle { bundle, .. } => bundle.why(),
        }
    }

    pub fn remedy(&self) -> Remedy {
        let repair = |what: &str| Remedy::Repair(what.to_owned());
        match self {
            Self::Process { .. } => repair("kill it, and with it its container"),
            Self::Intruder { process, .. } => Remedy::Advice(format!(
                "move process {} elsewhere, or end it",
                process.process.pid
            )),
            Self::Mount {
                container: Some(_), ..
            } => repair("unmount it"),
            Self::Mount { mount, .. } => Remedy::Advice(format!(
                "if nobody needs it: umount {}",
                mount.point.display()
            )),
            Self::Cgroup {
                is_ours, processes, ..
            } => match (is_ours, processes.is_empty()) {
                (true, true) => repair("remove it"),
                (true, false) => repair("kill what is in it, and remove it"),
                (false, _) => Remedy::Advice(
                    "another agent may have the same --cgroups_root: give each its own; if there is none, end \
                     what is in it and remove it with rmdir"
                        .to_owned(),
                ),
            },
            Self::Orphan { in_use: true, .. } => {
                Remedy::Advice("restart the agent, which ends what it has no task for".to_owned())
            }
            Self::Orphan { lives: true, .. } => {
                repair("kill the container, remove its cgroup and its record")
            }
            Self::Orphan { .. } => repair("remove its cgroup, if there is one, and its record"),
            Self::Damaged { record, .. } => Remedy::Advice(format!(
                "end what is in its cgroup, remove {}, and restart the agent",
                record.display()
            )),
            Self::NoCgroup { .. } => Remedy::Advice("restart the task".to_owned()),
            Self::Ids {
                holder: Some((other, true)),
                ..
            } => Remedy::Advice(format!(
                "restart one of the two: each can do to {other} what a user can do to itself"
            )),
            Self::Ids { .. } => repair("reserve them for it again"),
            Self::Link(name) => {
                Remedy::Advice(format!("if nobody needs it: ip link delete {name}"))
            }
            Self::Loop(LoopDevice { device, .. }) => Remedy::Advice(format!(
                "if nobody needs it: losetup -d {}",
                device.display()
            )),
            Self::Bundle {
                container,
                bundle,
                root,
            } => Remedy::Advice(bundle.advice(container, root)),
        }
    }
}

/// The first few.
pub(super) fn list(processes: &[Member]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = processes
        .iter()
        .take(SHOWN)
        .map(Member::to_string)
        .collect();
    let shown = shown.join(", ");
    match processes.len().saturating_sub(SHOWN) {
        0 => format!("process {shown}"),
        more => format!("processes {shown} and {more} more"),
    }
}
