//! From an OCI runtime spec to a program for `init`. Pure: the spec, facts about the host and a
//! look-up of paths go in, data comes out.

mod cgroup_mounts;
mod devices;
mod filesystem;
pub mod hooks;
mod join;
mod memory_policy;
mod mounts;
mod namespaces;
mod options;
mod overlay;
mod process;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod scheduling;
mod seccomp;
mod shared_mounts;
mod sysctls;
mod texts;
mod unmet;
mod view;

use std::path::{Path, PathBuf};

use init::{Gate, Preserved, Program, Step, Then};
use oci_spec::runtime::{Linux, LinuxNamespaceType, Spec};

pub use join::{Command, enter, join};
pub use mounts::takes_cradle;
pub use namespaces::{clone_flags, has_own_mounts, pids, takes_ipc, takes_network};
pub use options::names as mount_options;
pub use seccomp::{Filters, SeccompError, notifies, takes as takes_seccomp};
pub use view::{Kind, Lookup};

/// What compiling must know besides the spec.
pub struct Facts<'a> {
    /// The container's first process enters its cgroups by writing to this many inherited files; 0
    /// where clone3(2) puts it there (cgroup v2).
    pub cgroup_files: u32,
    /// The container's own, below each mount of cgroups.
    pub cgroup: &'a Path,
    /// For a spec that mounts cgroups: the v1 hierarchies that the container has a cgroup in, and no
    /// other, for of those it would see the host's whole tree. Empty on v2.
    pub cgroup_v1_mounts: &'a [isolators::cgroups::ControllerMount],
    /// An existing directory of the host that may be hidden inside the container.
    pub staging: &'a Path,
    /// What there is at an absolute path of the host, links followed.
    pub lookup: &'a Lookup<'a>,
    /// Seccomp profiles that were compiled before; what is in it changes nothing but the time it takes.
    pub filters: &'a Filters,
    pub then: Then,
    pub attached: Attached,
}

/// What a container gets beyond its spec, most of it only from an OCI runtime: descriptors that follow the files of its
/// cgroups, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attached {
    /// A network namespace that was made ahead, instead of one that comes with the clone, and a file
    /// system that shows it: `ahead::Network`.
    pub network: bool,
    /// An ipc namespace, likewise: `ahead::Ipc`.
    pub ipc: bool,
    /// A mount namespace in which there is nothing, instead of a copy of ours: `cradle::Cradle`.
    pub cradle: bool,
    /// The launcher holds the container's mounts while it runs.
    pub holds_mounts: bool,
    /// A socket that listens: the command waits there to be started.
    pub gate: bool,
    /// A socket that the other end of the container's terminal is sent over.
    pub console: Option<Lines>,
    /// Descriptors for the command, from 3 on.
    pub preserved: u32,
    /// Somebody answers when `init` waits for hooks.
    pub hooks: bool,
    /// See `init::Exec`.
    pub engine: bool,
}

/// How the lines end that a container's terminal gives out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// As on every terminal.
    Terminal,
    /// As the command writes them: who gets them shows them on another terminal.
    Plain,
}

#[derive(Debug, Clone, Copy)]
struct Console {
    /// Where the other end goes; `None`: `init` keeps it.
    socket: Option<u32>,
    lines: Lines,
}

impl Console {
    const KEPT: Self = Self {
        socket: None,
        lines: Lines::Terminal,
    };
}

/// Their numbers.
struct Numbers {
    network: Option<u32>,
    ipc: Option<u32>,
    /// Detached mounts of file systems that show them.
    sysfs: Option<u32>,
    mqueue: Option<u32>,
    cradle: Option<u32>,
    gate: Option<u32>,
    console: Option<Console>,
    preserved: Preserved,
}

impl Attached {
    fn numbers(self, cgroup_files: u32) -> Numbers {
        let first = init::fd::FIRST_CGROUP as u32 + cgroup_files;
        let network = self.network.then_some(first);
        let sysfs = network.map(|network| network + 1);
        let after_network = first + 2 * u32::from(self.network);
        let ipc = self.ipc.then_some(after_network);
        let mqueue = ipc.map(|ipc| ipc + 1);
        let after_ipc = after_network + 2 * u32::from(self.ipc);
        let first = after_ipc + u32::from(self.cradle);
        let after_gate = first + u32::from(self.gate);
        Numbers {
            network,
            ipc,
            sysfs,
            mqueue,
            cradle: self.cradle.then_some(after_ipc),
            gate: self.gate.then_some(first),
            console: self.console.map(|lines| Console {
                socket: Some(after_gate),
                lines,
            }),
            preserved: Preserved {
                first: after_gate + u32::from(self.console.is_some()),
                count: self.preserved,
            },
        }
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error("{at}: {fault}")]
    At {
        /// JSON path of the fault, for those that can be at several places.
        at: String,
        fault: Box<CompileError>,
    },
    #[error("{0}: the spec lacks it")]
    Missing(&'static str),
    #[error("the spec asks for {0}, which this build cannot do")]
    Unsupported(&'static str),
    #[error("mount on {}: the destination must be a path without '..'", .0.display())]
    BadDestination(PathBuf),
    #[error("mount on /: it would hide the container's root, and stay hidden itself")]
    OverRoot,
    #[error(
        "mount on {}: it needs a type, or \"bind\", \"rbind\" or \"remount\" among its options",
        .0.display()
    )]
    NoType(PathBuf),
    #[error(
        "mount on {}: a container's /proc shows what the kernel says; mount it elsewhere",
        .0.display()
    )]
    InProc(PathBuf),
    #[error("linux.rootfsPropagation: unknown {0:?}: write shared, slave, private or unbindable")]
    UnknownPropagation(String),
    #[error("{limit} {fault}")]
    Limit { limit: String, fault: &'static str },
    #[error("process.ioPriority.priority: {0} is no level: write 0, the highest, to 7")]
    IoPriority(i64),
    #[error("process.scheduler: {0} is for {1} only")]
    Scheduler(&'static str, &'static str),
    #[error(
        "linux.memoryPolicy.nodes: invalid memory policy nodes {0:?}: write numbers and ranges below \
         1024, as in \"0-3,7\""
    )]
    MemoryNodes(String),
    #[error("linux.memoryPolicy.nodes: invalid memory policy: mode requires 0 nodes but got {0}")]
    NeedlessNodes(u32),
    #[error("namespace {0} is there twice")]
    NamespaceTwice(String),
    #[error("namespace {}: the path must be absolute", .0.display())]
    RelativeNamespace(PathBuf),
    #[error("linux.timeOffsets: unknown clock {0:?}: write monotonic or boottime")]
    UnknownClock(String),
    #[error(
        "mount on {}: an idmapped mount is a bind, with both uidMappings and gidMappings, or a user \
         namespace to take them from",
        .0.display()
    )]
    BadIdmap(PathBuf),
    #[error("{what} needs a {namespace} namespace of the container's own")]
    NeedsNamespace {
        what: String,
        namespace: &'static str,
    },
    #[error("sysctl {0} is not the container's own, but the whole host's: set it on the host")]
    HostSysctl(String),
    #[error("sysctl kernel.hostname: write the spec's \"hostname\" instead")]
    HostnameSysctl,
    #[error("root.path: {} is no directory of the host", .0.display())]
    NoRoot(PathBuf),
    #[error("mount on {}: it needs a source", .0.display())]
    NoSource(PathBuf),
    #[error(
        "volume source {} does not exist on the host: create it, or correct the volume's hostPath",
        .0.display()
    )]
    MissingSource(PathBuf),
    #[error(
        "volume source {} is a {source_kind}, but {} in the container is a {target_kind}: mount it on \
         another path",
        mount_source.display(),
        target.display()
    )]
    KindMismatch {
        mount_source: PathBuf,
        source_kind: Kind,
        target: PathBuf,
        target_kind: Kind,
    },
    #[error("{what} {} is not valid UTF-8", path.display())]
    NotUtf8 { what: &'static str, path: PathBuf },
    #[error("{0:?} is no environment variable: write NAME=value")]
    NoVariable(String),
    #[error("the command contains a NUL byte, which no program can be given")]
    Nul,
    #[error("{0} contains a NUL byte, which no kernel takes")]
    NulIn(String),
    #[error("{place} is {path:?}: it must be an absolute path")]
    Relative { place: String, path: String },
    #[error(
        "{0} is no user or group: the kernel takes it for \"leave it as it is\", which would be root"
    )]
    Nobody(u32),
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
}

/// For `map_err`: where in the spec it is.
fn at(place: impl Into<String>) -> impl FnOnce(CompileError) -> CompileError {
    let at = place.into();
    move |fault| CompileError::At {
        at,
        fault: Box::new(fault),
    }
}

pub fn compile(spec: &Spec, facts: &Facts<'_>) -> Result<Program, CompileError> {
    let linux = spec
        .linux()
        .as_ref()
        .ok_or(CompileError::Missing("linux"))?;
    let process = spec
        .process()
        .as_ref()
        .ok_or(CompileError::Missing("process"))?;
    texts::check(spec, linux, process)?;
    unmet::refuse(spec, linux, process, facts)?;
    if !namespaces::has_new(linux, LinuxNamespaceType::Mount) {
        shared_mounts::check(spec, linux, facts).map_err(at("linux.namespaces"))?;
    }
    if facts.then.supervises() && namespaces::joins(linux, LinuxNamespaceType::Pid) {
        // Whose end would be nobody's.
        let unsupported = CompileError::Unsupported(
            "a supervised command in a pid namespace that is neither its own nor the host's",
        );
        return Err(at("linux.namespaces")(unsupported));
    }
    let mut steps = Vec::new();
    if facts.cgroup_files > 0 {
        steps.push(Step::EnterCgroups {
            count: facts.cgroup_files,
        });
    }
    let mut numbers = facts.attached.numbers(facts.cgroup_files);
    if facts.then.supervises() && process.terminal() == Some(true) {
        numbers.console = Some(Console::KEPT);
    }
    let filesystem = filesystem::plan(spec, linux, facts, &numbers)?;
    // Before anything else: while the host's paths and rights are there.
    steps.extend(filesystem.sources);
    let mut exec = process::exec(process, linux, facts.filters)?;
    if !facts.attached.engine {
        refuse_questions(linux)?;
    }
    if namespaces::has(linux, LinuxNamespaceType::User) {
        steps.push(Step::ForgetGroups {});
        steps.push(Step::RaiseLimits {
            limits: exec.rlimits.clone(),
        });
    }
    steps.extend(namespaces::steps(
        spec,
        linux,
        numbers.network,
        numbers.ipc,
    )?);
    let names = [
        ("hostname", spec.hostname()),
        ("domainname", spec.domainname()),
    ];
    let named = names.iter().find(|(_, name)| name.is_some());
    if let Some((name, _)) = named.filter(|_| !namespaces::has(linux, LinuxNamespaceType::Uts)) {
        return Err(at(*name)(CompileError::NeedsNamespace {
            what: "a name of its own".to_owned(),
            namespace: "uts",
        }));
    }
    if let Some(name) = spec.hostname() {
        steps.push(Step::Hostname { name: name.clone() });
    }
    if let Some(name) = spec.domainname() {
        steps.push(Step::Domainname { name: name.clone() });
    }
    steps.extend(filesystem.steps);
    if facts.attached.holds_mounts && namespaces::has_new(linux, LinuxNamespaceType::Mount) {
        steps.push(Step::HandMounts {});
    }
    exec.terminal = process.terminal() == Some(true);
    exec.preserved = numbers.preserved;
    exec.engine = facts.attached.engine;
    exec.gate = numbers.gate.map(|listener| Gate {
        listener,
        hooks: hooks::of(spec, hooks::Kind::StartContainer),
    });
    Ok(Program {
        steps,
        exec,
        then: facts.then,
        descriptors: 0,
    })
}

/// Nobody hands a listener on but an OCI runtime.
fn refuse_questions(linux: &Linux) -> Result<(), CompileError> {
    match linux.seccomp().as_ref().is_some_and(notifies) {
        true => Err(SeccompError::NobodyAsked.into()),
        false => Ok(()),
    }
}

/// A path as `init` takes it.
fn text(what: &'static str, path: &Path) -> Result<String, CompileError> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| CompileError::NotUtf8 {
        what,
        path: path.to_owned(),
    })
}
