//! Containerizer: request → plan (an OCI runtime spec) → running container.
//!
//! A launch goes through three forms of the same thing: a [`Request`] says what the caller wants,
//! `isolators::plan` makes an OCI runtime spec of it, `compile` makes a program for the container's
//! first process of that, and `launch` starts the process and waits until it has exec'ed the command.
//!
//! Invariant: this crate knows nothing of tasks, frameworks or HTTP. `sys` holds its only unsafe
//! code; what happens inside a container before its command runs is done by the separate static
//! program `init`, which decides nothing.
#![deny(unsafe_code)]

mod ahead;
pub mod audit;
mod begun;
mod birth;
mod compile;
mod container;
mod cradle;
mod death;
mod devices;
mod enter;
mod error;
mod exec;
mod handover;
mod helper;
mod identity;
mod ids;
mod kernel;
mod kin;
mod launch;
mod line;
mod mounts;
mod observed;
mod out_of_memory;
mod places;
mod process;
pub mod project_quota;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod record;
mod removal;
pub mod runtime_dir;
mod snapshot;
mod stage;
pub mod stored;
mod sys;
mod terminal;
mod termination;
mod timings;
mod update;
mod within;

use std::collections::BTreeSet;
use std::num::NonZero;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isolators::cgroups::{Cgroup, Hierarchy, Layout, resolve};
use isolators::seccomp::Profile;
use isolators::{ContainerId, Host, PlanError, Request};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use oci_spec::runtime::Spec;
use tokio::sync::{Semaphore, SetOnce};

pub use ahead::Network;
pub use begun::Begun;
pub use compile::{
    Command, CompileError, Lines, SeccompError, hooks, mount_options, notifies, takes_seccomp,
};
pub use container::{Container, RecoverError, Recovered};
pub use death::{Access, Death, Fault, KernelWord, PassedOn, Sender};
pub use devices::DevicesError;
pub use enter::{Entrance, ToAgent};
pub use error::{LaunchError, OpenError};
pub use exec::{Execution, Target, TargetError};
pub use identity::{BadIdentity, Birth, BootId, Identity};
pub use ids::{EACH as IDS_OF_EACH, IdsError};
pub use init::{LOG_LOCK, Stage as Part, Then};
pub use isolators::cgroups::{
    MemoryPressure, MemoryUsage, OutOfMemory, Percent, Pressure, PressureCounts, PressureOf, Stall,
    Statistics, StatisticsError, Task, Victim,
};
pub use isolators::network::{Counters, ProtocolCounters, Traffic};
pub use kernel::TooOld;
pub use launch::Stdio;
pub use observed::Observed;
pub use record::RecordError;
pub use snapshot::{NetworkUse, Snapshot};
pub use stage::{
    Child, Gate, HandOn, Progress, Stage, Staged, inherited, received, remove_when_empty, signal,
};
pub use sys::{readable, release_unused_memory, share_memory};
pub use terminal::{Terminal, copy_window_size};
pub use termination::{ExitStatus, Termination};
pub use timings::{Stopwatch, Timings};
pub use update::{UpdateError, update_limits};

/// Where the containerizer keeps its things on this host.
#[derive(Debug, Clone)]
pub struct Config {
    /// Per-boot state of containers (a tmpfs on most hosts), e.g. `/run/longshore`.
    pub runtime_dir: PathBuf,
    /// Where cgroup file systems are mounted: `/sys/fs/cgroup`.
    pub cgroups_hierarchy: PathBuf,
    /// The subtree of cgroups that is ours: `mesos`.
    pub cgroups_root: String,
    /// Cap cpu at the request when the task has no limit of its own.
    pub cgroups_enable_cfs: bool,
    /// How long the processes of a killed container may take to disappear.
    pub cgroups_destroy_timeout: Duration,
    /// What containers shall not see of the host, beside `runtime_dir`.
    pub hidden: Vec<PathBuf>,
    /// Which system calls containers may make that ask for nothing else.
    pub seccomp: Profile,
}

/// Files for the container's output; opened by the caller with O_APPEND.
#[derive(Debug)]
pub struct Output {
    pub stdout: std::os::fd::OwnedFd,
    pub stderr: std::os::fd::OwnedFd,
    /// Bytes of each that are kept at least, also while nobody looks after them; the file system gets
    /// back what is older once there is much more. 0 for all.
    pub bounds: (u64, u64),
}

/// Where a container is launched that is not for itself.
#[derive(Debug, Default)]
pub struct Place<'a> {
    /// One that was connected before, for a request that asks for one of its own.
    pub network: Option<Network>,
    /// What it is nested in: it counts among what that uses, and ends with it.
    pub parent: Option<&'a Container>,
}

/// Launches containers on this host and finds them again after a restart. Clones share everything.
#[derive(Debug, Clone)]
pub struct Containerizer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    host: Host,
    hierarchy: Arc<Hierarchy>,
    helper: helper::Helper,
    filters: compile::Filters,
    ahead: ahead::Ahead,
    cradle: cradle::Cradle,
    device_programs: devices::Programs,
    ids: ids::Reservations,
    /// Launches at one time: more would only fight over the processors.
    turns: Semaphore,
    /// Launches that have begun and whose end is not known yet.
    underway: Mutex<BTreeSet<ContainerId>>,
    /// Another process watches the containers from now on.
    left: SetOnce<()>,
}

impl Shared {
    async fn is_left(&self) {
        self.left.wait().await;
    }

    /// Where a spec puts its container, or below our subtree when it does not say.
    fn cgroup(&self, id: &ContainerId, spec: &Spec, layout: Layout) -> Cgroup {
        let linux = spec.linux().as_ref();
        let named = linux.and_then(|linux| linux.cgroups_path().as_deref());
        let parent = Path::new("/").join(&self.config.cgroups_root);
        Cgroup::at(
            &self.hierarchy,
            &resolve(named, &parent, id.as_str()),
            layout,
        )
    }

    fn underway(&self) -> MutexGuard<'_, BTreeSet<ContainerId>> {
        // No panic leaves a set half changed.
        self.underway.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a container of an earlier run is. Its record is only a file: whatever that says, nothing
    /// outside our subtree is ever ended or removed.
    fn recovered_cgroup(&self, id: &ContainerId, spec: Option<&Spec>) -> Cgroup {
        let root = Path::new("/").join(&self.config.cgroups_root);
        let named = spec
            .and_then(|spec| spec.linux().as_ref())
            .and_then(|linux| linux.cgroups_path().clone());
        let path = named.filter(|path| lies_below(path, &root));
        let path = path.unwrap_or_else(|| root.join(id.as_str()));
        Cgroup::found(&self.hierarchy, &path)
    }
}

fn lies_below(path: &Path, root: &Path) -> bool {
    let climbs = path.components().any(|c| c == Component::ParentDir);
    !climbs && path != root && path.starts_with(root)
}

impl Containerizer {
    /// Looks at the host (kernel, cgroup version, shell, memory) and prepares the runtime directory, the
    /// subtree of cgroups and `init`.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        kernel::require()?;
        let hierarchy = Arc::new(Hierarchy::detect(&config.cgroups_hierarchy)?);
        record::prepare(&config.runtime_dir)?;
        let helper = helper::Helper::load().map_err(OpenError::Helper)?;
        // Last, because it is what would be left behind.
        if let Err(error) = Cgroup::prepare_root(&hierarchy, &config.cgroups_root) {
            // The first failure is what the caller must hear.
            let _ = Cgroup::remove_root(&hierarchy, &config.cgroups_root);
            return Err(error.into());
        }
        let host = Host {
            cgroups: hierarchy.version(),
            limits_devices: devices::can_be_limited(&hierarchy),
            cgroups_root: config.cgroups_root.clone(),
            cfs_by_default: config.cgroups_enable_cfs,
            shell: shell(),
            total_memory: {
                let meminfo = std::fs::read_to_string("/proc/meminfo");
                total_memory(&meminfo.unwrap_or_default())
            },
            hidden: hidden(&config),
            oom_score_adj: oom_score_adj(),
            open_files: raise_open_files(),
            machine: kernel::machine(),
            seccomp: config.seccomp.clone(),
        };
        let turns = std::thread::available_parallelism().map_or(2, |n| n.get() * 2);
        let turns = Semaphore::new(turns);
        Ok(Self(Arc::new(Shared {
            config,
            host,
            hierarchy,
            helper,
            filters: compile::Filters::default(),
            ahead: ahead::Ahead::default(),
            cradle: cradle::Cradle::default(),
            ids: ids::Reservations::default(),
            device_programs: devices::Programs::default(),
            turns,
            underway: Mutex::default(),
            left: SetOnce::new(),
        })))
    }

    /// The OCI runtime spec that `launch` would execute. Pure but for facts gathered by `open`.
    pub fn plan(&self, request: &Request) -> Result<Spec, PlanError> {
        isolators::plan(request, &self.0.host)
    }

    /// Returns once the command has been exec'ed. On error nothing of the container is left on the
    /// host, and the error says what could not be done (command not found, volume missing, …).
    ///
    /// Dropping the future kills a container that is still starting. `watch` may have been started
    /// earlier, by what came before.
    pub async fn launch(
        &self,
        request: &Request,
        out: Output,
        watch: Stopwatch,
    ) -> Result<Container, LaunchError> {
        self.launch_in(Place::default(), request, out, watch).await
    }

    /// The same where others are, or have been at work.
    pub async fn launch_in(
        &self,
        place: Place<'_>,
        request: &Request,
        out: Output,
        mut watch: Stopwatch,
    ) -> Result<Container, LaunchError> {
        let mut request = resolved(request);
        // Kept until the container's record does so.
        let ids = request.user_namespace.map(|pool| {
            let holds = |id: &ContainerId| self.holds(id);
            (self.0.ids).reserve(&self.0.config.runtime_dir, &request.id, pool, holds)
        });
        let ids = ids.transpose()?;
        request.user_namespace = ids.as_ref().map(|reserved| reserved.ids);
        let Place { network, parent } = place;
        if parent.is_some_and(|parent| !parent.is_there()) {
            return Err(LaunchError::Joined);
        }
        let mut spec = self.plan(&request)?;
        let nested = parent.map(|parent| parent.cgroup_of_nested(&request.id));
        if let (Some(cgroup), Some(linux)) = (&nested, spec.linux_mut()) {
            // There a later agent finds it.
            linux.set_cgroups_path(Some(Path::new("/").join(cgroup.path())));
        }
        watch.lap("plan");
        let stdio = Stdio {
            stdin: None,
            stdout: out.stdout,
            stderr: out.stderr,
        };
        let (stdout, stderr) = out.bounds;
        let then = Then::Bound { stdout, stderr };
        let order = launch::Order {
            id: request.id.clone(),
            spec,
            stdio,
            then,
            layout: Layout::Lean,
            network,
            nested,
        };
        launch::launch(self.0.clone(), order, watch).await
    }

    /// A network that nothing is connected with, for a container that is to be launched. Blocks.
    pub fn network(&self) -> std::io::Result<Network> {
        self.0.ahead.network_now()
    }

    /// The same for a ready-made OCI runtime spec. With `Then::Become` the command is process 1 of
    /// the container, as OCI runtimes do it, and its end is known only to a live agent.
    pub async fn launch_spec(
        &self,
        id: &ContainerId,
        spec: Spec,
        stdio: Stdio,
        then: Then,
        watch: Stopwatch,
    ) -> Result<Container, LaunchError> {
        let order = launch::Order {
            id: id.clone(),
            spec,
            stdio,
            then,
            layout: Layout::Lean,
            network: None,
            nested: None,
        };
        launch::launch(self.0.clone(), order, watch).await
    }

    /// Whether something of a container is still here: until it is not, its id is taken.
    pub fn holds(&self, id: &ContainerId) -> bool {
        self.0.underway().contains(id) || record::exists(&self.0.config.runtime_dir, id)
    }

    /// Takes away the subtree of cgroups when no container, of ours or of another agent that shares
    /// its name, is in it. Launching needs a containerizer opened anew afterwards.
    pub fn remove_cgroups_root(&self) {
        let root = &self.0.config.cgroups_root;
        match Cgroup::remove_root(&self.0.hierarchy, root) {
            Ok(()) | Err(isolators::cgroups::CgroupError::Busy { .. }) => {}
            Err(error) => tracing::warn!(root, %error, "cannot remove the subtree of cgroups"),
        }
    }

    /// Leaves the containers that run to a process that will `recover` them: from now on their ends are its
    /// to see. Ends that have been seen are told here. Nothing may be launched any more.
    pub fn leave(&self) {
        // A second time changes nothing.
        let _ = self.0.left.set(());
    }

    /// Finds the containers that an earlier process with the same runtime directory launched, those
    /// that ended meanwhile included: their `wait` returns at once. The caller destroys (`kill`,
    /// `wait`, `forget`) those it does not know.
    pub async fn recover(&self) -> Result<Recovered, RecordError> {
        self.recover_those(|_| true).await
    }

    /// Of these only what `is_meant`.
    pub async fn recover_those(
        &self,
        is_meant: impl Fn(&ContainerId) -> bool,
    ) -> Result<Recovered, RecordError> {
        let mut records = record::list(&self.0.config.runtime_dir)?;
        records.retain(|record| is_meant(&record.id));
        let hands = std::thread::available_parallelism().map_or(2, NonZero::get);
        let share = records.len().div_ceil(hands).max(1);
        let shares: Vec<_> = records
            .chunks(share)
            .map(|records| {
                let (shared, records) = (self.0.clone(), records.to_vec());
                let recover = move |record| Container::recover(&shared, record);
                tokio::task::spawn_blocking(move || records.into_iter().map(recover).collect())
            })
            .collect();
        let mut recovered = Recovered::default();
        for share in shares {
            let share: Vec<_> = share.await.map_err(RecordError::Interrupted)?;
            for outcome in share {
                match outcome {
                    Ok(unwatched) => recovered.containers.push(unwatched.watch()),
                    Err(failure) => recovered.failures.push(failure),
                }
            }
        }
        Ok(recovered)
    }
}

/// Where containers would find what is hidden from them: no link and no working directory of ours
/// leads there.
fn hidden(config: &Config) -> Vec<String> {
    let paths = std::iter::once(&config.runtime_dir).chain(&config.hidden);
    let real = paths.map(|path| {
        std::fs::canonicalize(path)
            .or_else(|_not_there_yet| std::path::absolute(path))
            .unwrap_or_else(|_| path.clone())
    });
    real.filter_map(|path| path.into_os_string().into_string().ok())
        .collect()
}

/// Volumes by their real paths, so that what is hidden is recognised behind links. Not those in the
/// sandbox: its links are the task's own, and `init` refuses them.
fn resolved(request: &Request) -> Request {
    let mut request = request.clone();
    for volume in &mut request.volumes {
        if volume.source.starts_with(&request.sandbox) {
            continue;
        }
        // One that does not exist is reported by its own name later.
        if let Ok(real) = volume.source.canonicalize() {
            volume.source = real;
        }
    }
    request
}

/// Bash understands brace ranges, which users write; every host has an sh.
fn shell() -> Vec<String> {
    let bash = ["/bin/bash", "/usr/bin/bash"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    [bash.unwrap_or("/bin/sh"), "-c"]
        .map(str::to_owned)
        .to_vec()
}

/// The agent holds a few descriptors per container, so it takes all it may; containers get what it
/// had itself. `None` when that cannot be read.
fn raise_open_files() -> Option<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    // A later containerizer of this process must not take the raised limit for the original.
    static ORIGINAL: std::sync::OnceLock<(u64, u64)> = std::sync::OnceLock::new();
    Some(*ORIGINAL.get_or_init(|| (soft, hard)))
}

/// Of this process; 0 where it cannot be told. proc_pid_oom_score_adj(5).
fn oom_score_adj() -> i32 {
    let text = std::fs::read_to_string("/proc/self/oom_score_adj");
    text.ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// Bytes; 0 when it does not say. proc_meminfo(5).
fn total_memory(meminfo: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_the_subtree_of_cgroups_is_taken_for_a_containers() {
        let table = [
            ("/mesos/c1", true),
            ("/mesos/c1/nested", true),
            ("/mesos", false),
            ("/mesos/../system.slice", false),
            ("/mesosphere/c1", false),
            ("/system.slice/ssh.service", false),
            ("mesos/c1", false),
        ];
        for (path, wanted) in table {
            let below = lies_below(Path::new(path), Path::new("/mesos"));
            assert_eq!(below, wanted, "{path}");
        }
    }
}
