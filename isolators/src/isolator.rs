//! The isolator trait, the list of isolators, and the plan they make together.

use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Box, BoxBuilder, Linux, LinuxBuilder, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder,
};

use crate::capabilities::Capabilities;
use crate::cgroups::{Cpu, Devices, Io, Memory, Pids, Version};
use crate::filesystem::Filesystem;
use crate::ipc::Ipc;
use crate::namespaces::Namespaces;
use crate::network::Connection;
use crate::process::Command;
use crate::request::{Request, Terminal};
use crate::rlimits::Rlimits;
use crate::seccomp::{Machine, Profile, Seccomp};
use crate::terminal::Terminals;
use crate::volumes::Volumes;

/// What planning must know of the host; gathered once, when the containerizer starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub cgroups: Version,
    /// Whether it can keep containers from devices.
    pub limits_devices: bool,
    /// Name of the subtree of cgroups that is ours.
    pub cgroups_root: String,
    /// Cap cpu at the request when a task has no limit of its own.
    pub cfs_by_default: bool,
    /// Program and leading arguments that run one shell command, e.g. `/bin/bash -c`.
    pub shell: Vec<String>,
    /// Bytes of memory of the whole host.
    pub total_memory: u64,
    /// Of the agent, which containers would have from it: how soon the kernel ends it when memory is short.
    pub oom_score_adj: i32,
    /// Directories that no container needs to see: the agent's own records.
    pub hidden: Vec<String>,
    /// Soft and hard limit of open files for containers, where the agent's own is another.
    pub open_files: Option<(u64, u64)>,
    pub machine: Machine,
    /// For containers that ask for no other.
    pub seccomp: Profile,
}

/// One concern of a container.
pub trait Isolator: Send + Sync {
    fn name(&self) -> &'static str;

    /// Adds this isolator's part to the spec. Pure: the same request and host give the same part,
    /// and nothing exists yet.
    fn plan(&self, request: &Request, host: &Host, spec: &mut Draft) -> Result<(), PlanError>;
}

/// In this order: a later isolator may rely on what an earlier one has put into the draft.
const ISOLATORS: &[&dyn Isolator] = &[
    &Namespaces,
    &Filesystem,
    &Ipc,
    &Terminals,
    &Volumes,
    &Connection,
    &Command,
    &Rlimits,
    &Capabilities,
    &Seccomp,
    &Cpu,
    &Memory,
    &Pids,
    &Io,
    &Devices,
];

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("volume {0}: the path on the host must be absolute")]
    RelativeVolumeSource(PathBuf),
    #[error("volume target {0} is taken in every container: mount the volume elsewhere")]
    ReservedTarget(PathBuf),
    #[error("volume target {0}: it must not contain '..'")]
    VolumeTargetLeaves(PathBuf),
    #[error(
        "volume target {target} would hide the task's sandbox {sandbox}: mount it elsewhere, or give \
         the agent another --work_dir"
    )]
    HidesSandbox { target: PathBuf, sandbox: PathBuf },
    #[error(
        "effective capability {0} is not among the bounding capabilities: add it there, or leave \
         bounding_capabilities out"
    )]
    CapabilityBeyondBounds(String),
    #[error(
        "user {user} has the id {beyond}, which a user namespace of {count} ids does not know: let another \
         user run it, or the host's user namespace"
    )]
    UserBeyondIds {
        user: String,
        beyond: u32,
        count: u32,
    },
    #[error(
        "a container with a user namespace of its own cannot have the host's pid namespace, whose /proc \
         it may not mount: share neither or have neither of its own"
    )]
    ProcOfTheHost,
    #[error("the command is empty: give \"cmd\" or \"args\"")]
    NoCommand,
    #[error(
        "environment variable {0:?} contains '=' or a NUL byte in its name, or NUL in its value"
    )]
    BadVariable(String),
    #[error("{what} contains a NUL byte, which no program can be given")]
    Nul { what: &'static str },
    #[error("cannot assemble the container's OCI spec")]
    Spec(#[from] OciSpecError),
}

/// A spec in the making, in the types of oci-spec but without their accessors in the way.
#[derive(Debug, Default)]
pub struct Draft {
    pub namespaces: Vec<oci_spec::runtime::LinuxNamespace>,
    /// Of users and groups alike.
    pub id_mappings: Vec<oci_spec::runtime::LinuxIdMapping>,
    pub mounts: Vec<oci_spec::runtime::Mount>,
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
    pub hostname: Option<String>,
    pub cgroups_path: PathBuf,
    pub cpu: Option<oci_spec::runtime::LinuxCpu>,
    pub memory: Option<oci_spec::runtime::LinuxMemory>,
    pub pids: Option<oci_spec::runtime::LinuxPids>,
    pub block_io: Option<oci_spec::runtime::LinuxBlockIo>,
    pub devices: Vec<oci_spec::runtime::LinuxDeviceCgroup>,
    /// cgroup v2 files and their values, for what the classic fields cannot say exactly.
    pub unified: std::collections::HashMap<String, String>,
    pub oom_score_adj: Option<i32>,
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub cwd: PathBuf,
    pub terminal: Option<Terminal>,
    pub user: oci_spec::runtime::User,
    pub capabilities: Option<oci_spec::runtime::LinuxCapabilities>,
    pub rlimits: Vec<oci_spec::runtime::PosixRlimit>,
    pub seccomp: Option<oci_spec::runtime::LinuxSeccomp>,
    /// The host's where there is none, and whether it is read-only.
    pub root: Option<(PathBuf, bool)>,
    pub annotations: std::collections::HashMap<String, String>,
    pub sysctls: std::collections::HashMap<String, String>,
    /// Beside those that every container has.
    pub device_files: Vec<oci_spec::runtime::LinuxDevice>,
}

/// The container's OCI runtime spec, made of every isolator's part.
pub fn plan(request: &Request, host: &Host) -> Result<Spec, PlanError> {
    let cgroups_path = Path::new("/")
        .join(&host.cgroups_root)
        .join(request.id.as_str());
    let mut draft = Draft {
        cgroups_path,
        ..Draft::default()
    };
    for isolator in ISOLATORS {
        isolator.plan(request, host, &mut draft)?;
    }
    draft.into_spec()
}

impl Draft {
    fn into_spec(self) -> Result<Spec, PlanError> {
        let process = self.process()?;
        let (root, read_only) = self.root.clone().unwrap_or(("/".into(), false));
        let mut spec = SpecBuilder::default()
            .version("1.2.0")
            .root(
                RootBuilder::default()
                    .path(root)
                    .readonly(read_only)
                    .build()?,
            )
            .process(process)
            .mounts(self.mounts.clone())
            .linux(self.linux()?)
            .build()?;
        spec.set_hostname(self.hostname);
        spec.set_annotations(Some(self.annotations));
        Ok(spec)
    }

    fn process(&self) -> Result<Process, PlanError> {
        let mut process = ProcessBuilder::default()
            .terminal(self.terminal.is_some())
            .user(self.user.clone())
            .args(self.args.clone())
            .env(self.env.clone())
            .cwd(self.cwd.clone())
            .no_new_privileges(true)
            .build()?;
        process.set_console_size(self.console_size()?);
        process.set_capabilities(self.capabilities.clone());
        process.set_oom_score_adj(self.oom_score_adj);
        process.set_rlimits((!self.rlimits.is_empty()).then(|| self.rlimits.clone()));
        Ok(process)
    }

    fn console_size(&self) -> Result<Option<Box>, PlanError> {
        let size = self.terminal.and_then(|terminal| terminal.size);
        let size = size.map(|size| {
            let (height, width): (u64, u64) = (size.rows.into(), size.columns.into());
            BoxBuilder::default().height(height).width(width).build()
        });
        Ok(size.transpose()?)
    }

    fn linux(&self) -> Result<Linux, PlanError> {
        let mut resources = oci_spec::runtime::LinuxResources::default();
        resources.set_cpu(self.cpu.clone());
        resources.set_memory(self.memory);
        resources.set_pids(self.pids);
        resources.set_block_io(self.block_io.clone());
        resources.set_devices((!self.devices.is_empty()).then(|| self.devices.clone()));
        resources.set_unified((!self.unified.is_empty()).then(|| self.unified.clone()));
        let mut linux = LinuxBuilder::default()
            .namespaces(self.namespaces.clone())
            .cgroups_path(self.cgroups_path.clone())
            .resources(resources)
            .masked_paths(self.masked_paths.clone())
            .readonly_paths(self.readonly_paths.clone())
            .build()?;
        linux.set_devices((!self.device_files.is_empty()).then(|| self.device_files.clone()));
        linux.set_sysctl((!self.sysctls.is_empty()).then(|| self.sysctls.clone()));
        let mappings = (!self.id_mappings.is_empty()).then(|| self.id_mappings.clone());
        linux.set_uid_mappings(mappings.clone());
        linux.set_gid_mappings(mappings);
        linux.set_seccomp(self.seccomp.clone());
        Ok(linux)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::request::{ContainerId, Limit, Share, User};

    pub(crate) fn host(cgroups: Version) -> Host {
        Host {
            cgroups,
            limits_devices: true,
            cgroups_root: "mesos".into(),
            cfs_by_default: false,
            shell: vec!["/bin/bash".into(), "-c".into()],
            total_memory: 8 << 30,
            oom_score_adj: 0,
            hidden: vec!["/run/agent".into()],
            open_files: Some((1024, 4096)),
            machine: Machine {
                architecture: oci_spec::runtime::Arch::ScmpArchX86_64,
                kernel: crate::seccomp::Kernel { major: 6, minor: 1 },
            },
            seccomp: Profile::builtin(),
        }
    }

    pub(crate) fn request() -> Request {
        Request {
            id: ContainerId::try_from("c1".to_owned()).expect("a good id"),
            command: crate::Command::Shell("echo {1..3}".into()),
            env: vec![
                ("A".into(), "1".into()),
                ("B".into(), "2".into()),
                ("A".into(), "3".into()),
            ],
            user: User {
                name: "daemon".into(),
                uid: 1,
                gid: 1,
                groups: vec![1, 5],
                home: "/".into(),
            },
            sandbox: "/sandbox".into(),
            hostname: None,
            cpus: Share {
                request: 0.5,
                limit: Limit::Default,
            },
            memory: Share {
                request: 64 << 20,
                limit: Limit::Default,
            },
            swap: crate::Swap::Unlimited,
            pids: None,
            devices: vec![],
            ipc: crate::Ipc::OwnNamespace,
            pid_namespace: crate::PidNamespace::Own,
            volumes: vec![],
            network: crate::network::Network::Hosts,
            terminal: None,
            rlimits: vec![],
            capabilities: crate::CapabilitySets::default(),
            seccomp: crate::Seccomp::Default,
            user_namespace: None,
            root: None,
            sysctls: std::collections::BTreeMap::new(),
            stop_signal: None,
            cpuset: Default::default(),
            priority: Default::default(),
        }
    }

    #[test]
    fn a_spec_survives_its_json_form() {
        let spec = plan(&request(), &host(Version::V2)).expect("plans");
        let json = serde_json::to_string(&spec).expect("writes");
        assert_eq!(serde_json::from_str::<Spec>(&json).expect("reads"), spec);
    }

    /// The whole plan of a small container, for review: what is in the file is what containers get.
    #[test]
    fn the_spec_of_a_small_container_is_the_written_one() {
        for (version, written) in [
            (Version::V1, include_str!("golden/v1.json")),
            (Version::V2, include_str!("golden/v2.json")),
        ] {
            let spec = plan(&request(), &host(version)).expect("plans");
            let mut written: serde_json::Value = serde_json::from_str(written).expect("reads");
            let seccomp = serde_json::from_str(include_str!("golden/seccomp.json"));
            written["linux"]["seccomp"] = seccomp.expect("reads");
            let written: Spec = serde_json::from_value(written).expect("reads");
            let shown = serde_json::to_string_pretty(&spec).expect("writes");
            assert!(spec == written, "{version:?} plans:\n{shown}");
        }
    }

    #[test]
    fn isolators_have_names_of_their_own() {
        let mut names: Vec<_> = ISOLATORS.iter().map(|i| i.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ISOLATORS.len());
    }
}
