//! What a caller asks to have contained: policy, carried out as asked.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Capability, PosixRlimitType};

use crate::network::{File, Network};
use crate::seccomp::Profile;

/// Names a container: 1 to 242 bytes that are safe as one component of a path and of a cgroup.
///
/// Source: spec/mesos-agent.md section 1. `.` and spaces are refused, as Mesos does for container
/// ids, because the id also stands in texts that are split at them.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "bad container id {0:?}: it must be 1 to 242 bytes without '/', '\\', '.', spaces or control \
     characters"
)]
pub struct BadContainerId(pub String);

impl ContainerId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ContainerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ContainerId {
    type Error = BadContainerId;

    fn try_from(id: String) -> Result<Self, BadContainerId> {
        let unsafe_char = |c: char| matches!(c, '/' | '\\' | '.' | ' ') || c.is_control();
        if id.is_empty() || id.len() > 242 || id.contains(unsafe_char) {
            return Err(BadContainerId(id));
        }
        Ok(Self(id))
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> String {
        id.0
    }
}

/// Everything a caller decides about one container.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub id: ContainerId,
    pub command: Command,
    /// The whole environment, in order; a later entry wins over an earlier one of the same name.
    pub env: Vec<(String, String)>,
    pub user: User,
    /// Exists, belongs to `user`, and is the working directory.
    pub sandbox: PathBuf,
    /// Name of the UTS namespace; the host's name when `None`.
    pub hostname: Option<String>,
    /// CPUs: 1.0 is one whole processor.
    pub cpus: Share<f64>,
    /// Bytes.
    pub memory: Share<u64>,
    pub swap: Swap,
    /// Processes and threads of the command and all that comes of it, at most.
    pub pids: Option<u64>,
    /// Beside those that every container may use.
    pub devices: Vec<Device>,
    pub ipc: Ipc,
    pub pid_namespace: PidNamespace,
    pub volumes: Vec<Volume>,
    pub network: Network,
    /// One for a resource.
    /// For a terminal of its own instead of standard streams.
    pub terminal: Option<Terminal>,
    pub rlimits: Vec<Rlimit>,
    pub capabilities: CapabilitySets,
    pub seccomp: Seccomp,
    /// For a user namespace of its own, whose root is nobody on the host: ids of the host that it may
    /// have. A launch takes as many of them as each container gets, and no other container has.
    pub user_namespace: Option<IdRange>,
    /// For files of its own instead of the host's.
    pub root: Option<Root>,
    /// Kernel parameters of its own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// What asks its command to end, instead of SIGTERM: a number of signal(7).
    pub stop_signal: Option<i32>,
    /// Where it may run, and have its memory.
    pub cpuset: CpuSet,
    pub priority: Priority,
}

/// What it gets where others want the same. What is not said is as its `cpus` and its `memory` have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Priority {
    /// Of processors: 1024 is as much as one whole one that is asked for.
    pub cpu_shares: Option<u64>,
    /// Of disks: 10 to 1000; 500 or 100 is the kernel's own, on cgroup v1 and v2.
    pub io_weight: Option<u16>,
    /// How soon it is ended when the host has no memory left: from -1000, never, to 1000.
    pub oom_score_adj: Option<i32>,
}

/// Lists as cpuset(7) has them: `0-2,7`. All that the agent may use where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuSet {
    /// Processors.
    pub cpus: Option<String>,
    /// Nodes of memory.
    pub mems: Option<String>,
}

impl Request {
    /// Where its command finds its sandbox.
    pub fn sandbox_inside(&self) -> &Path {
        self.root
            .as_ref()
            .map_or(&self.sandbox, |root| &root.sandbox)
    }
}

/// A root file system. What is in it is content from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    pub files: Files,
    /// Where the sandbox is seen; absolute.
    pub sandbox: PathBuf,
    /// Absolute; it is made where it is missing.
    pub working_dir: PathBuf,
    /// Files of the host that are shown instead of the container's, read-only.
    pub shown: Vec<File>,
    pub read_only: bool,
    pub tmpfs: Vec<Tmpfs>,
    pub devices: Vec<DeviceFile>,
}

/// A file system in memory, of the container's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// Absolute; it is made where it is missing.
    pub target: PathBuf,
    /// Of mount(8).
    pub options: Vec<String>,
}

/// A device, and where the container finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFile {
    pub path: PathBuf,
    pub device: Device,
    /// Who may do what, as of any file.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// What a root file system is made of: directories of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    Directory(PathBuf),
    Overlay {
        /// An empty one, whose name stands for all of it.
        root: PathBuf,
        /// The topmost first.
        lower: Vec<PathBuf>,
        /// What is written goes there.
        upper: PathBuf,
        work: PathBuf,
    },
}

/// `count` ids of users and groups from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    pub first: u32,
    pub count: u32,
}

/// Swap space, apart from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Swap {
    /// As much as the host has.
    #[default]
    Unlimited,
    /// None, where memory is limited.
    Never,
}

/// A device of the host, and what a container may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    pub kind: DeviceKind,
    pub major: u32,
    pub minor: u32,
    pub read: bool,
    pub write: bool,
    /// Make a file for it.
    pub mknod: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    Block,
    Char,
}

/// Memory, semaphores and queues that processes share: of System V, and below /dev/shm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ipc {
    /// Those of System V are the container's own; /dev/shm is the host's.
    #[default]
    OwnNamespace,
    /// All are its own. Bytes that fit into /dev/shm; the kernel's usual limit when `None`.
    Private { shm_size: Option<u64> },
    /// All are the host's.
    Hosts,
}

/// What is shown on it goes where the standard output would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terminal {
    pub size: Option<WindowSize>,
}

/// In characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    pub rows: u16,
    pub columns: u16,
}

/// Which processes it sees, and can signal and trace as far as its user may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PidNamespace {
    /// Its own, all of which end with its command.
    #[default]
    Own,
    /// All of the host, more precisely of the agent that launches it.
    Hosts,
}

/// Of capabilities(7), where not those that every container gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CapabilitySets {
    /// What the command has, whoever its user is.
    pub effective: Option<HashSet<Capability>>,
    /// What it can come to have, by a file that grants it; `effective` when `None`. A command of
    /// root has all of these as soon as it is executed.
    pub bounding: Option<HashSet<Capability>>,
}

/// A limit of getrlimit(2); [`u64::MAX`] is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    pub resource: PosixRlimitType,
    pub soft: u64,
    pub hard: u64,
}

/// Which system calls a container may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seccomp {
    /// Those of the host's profile.
    Default,
    Profile(Profile),
    /// All.
    Unconfined,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run by the host's shell with `-c`: bash where it exists (brace ranges), else sh.
    Shell(String),
    /// Run without a shell. `argv[0]` is what the program sees as its name.
    Exec { path: String, argv: Vec<String> },
}

/// What a container is promised and what it may take at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share<T> {
    pub request: T,
    pub limit: Limit<T>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit<T> {
    /// Nothing was said: memory is then capped at the request; cpu only with `enable_cfs`.
    Default,
    At(T),
    Unlimited,
    /// That of the container which it is nested in, for all that are.
    Parents,
}

/// A host file or directory inside the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Absolute path on the host; must exist.
    pub source: PathBuf,
    /// Absolute path in the container, or relative to the sandbox. It need not exist.
    pub target: PathBuf,
    pub access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

/// Who runs the command, as numbers: a container's own passwd file is never consulted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    pub home: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum BadUser {
    #[error(
        "user {0:?} does not exist on this host: create it, or name another in the app's \"user\""
    )]
    Missing(String),
    #[error("cannot look up user {name:?}")]
    Lookup {
        name: String,
        source: std::io::Error,
    },
}

impl User {
    /// Looks up a name, or a decimal uid, in the host's user database.
    pub fn resolve(name: &str) -> Result<User, BadUser> {
        let lookup = |source: nix::Error| BadUser::Lookup {
            name: name.to_owned(),
            source: source.into(),
        };
        let mut found = nix::unistd::User::from_name(name).map_err(lookup)?;
        if let (None, Ok(uid)) = (&found, name.parse()) {
            found = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).map_err(lookup)?;
        }
        let entry = found.ok_or_else(|| BadUser::Missing(name.to_owned()))?;
        let groups = std::ffi::CString::new(entry.name.as_str())
            .map_err(|_nul| BadUser::Missing(name.to_owned()))
            .and_then(|n| nix::unistd::getgrouplist(&n, entry.gid).map_err(lookup))?;
        Ok(User {
            name: entry.name,
            uid: entry.uid.as_raw(),
            gid: entry.gid.as_raw(),
            groups: groups.iter().map(|g| g.as_raw()).collect(),
            home: entry.dir,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_id_is_one_safe_path_component() {
        for bad in ["", ".", "..", "a/b", "a b", "a\0", "a.b"] {
            assert!(ContainerId::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(ContainerId::try_from("5d0c-1".to_owned()).is_ok());
        assert!(ContainerId::try_from("x".repeat(243)).is_err());
    }

    #[test]
    fn a_missing_user_is_named_with_the_remedy() {
        let error = User::resolve("no-such-user-here").unwrap_err();
        assert_eq!(
            error.to_string(),
            "user \"no-such-user-here\" does not exist on this host: create it, or name another \
             in the app's \"user\""
        );
    }
}
