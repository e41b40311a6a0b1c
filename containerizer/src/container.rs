//! A container that runs or has run: one task watches each, everyone else asks.

mod end;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use isolators::cgroups::{Cgroup, CgroupError, Details, OomWatch, StatisticsError};
use isolators::network::{ProtocolCounters, Traffic};
use isolators::{ContainerId, PidNamespace, STOP_SIGNAL};
use oci_spec::runtime::{LinuxResources, Spec};
use tokio::sync::{SetOnce, watch};
use tokio::time::Instant;

use crate::Shared;
use crate::ahead::{self, Network};
use crate::compile::{self, Command};
use crate::death;
use crate::error::LaunchError;
use crate::exec::{Execution, Joined, Joining};
use crate::launch::Stdio;
use crate::mounts::Mounts;
use crate::process::Process;
use crate::record::{Record, RecordError};
use crate::snapshot::{self, NetworkUse, PressureMeter, Snapshot};
use crate::termination::Termination;
use crate::timings::Timings;
use crate::update::{self, UpdateError};
use crate::within;

/// A handle on one container; clones name the same container.
#[derive(Debug, Clone)]
pub struct Container(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    record: Record,
    /// Once the command runs.
    timings: OnceLock<Timings>,
    /// Host pid of the command, once it is known.
    command: SetOnce<u32>,
    /// `None` for a container of an earlier agent.
    since: Option<Instant>,
    cgroup: Cgroup,
    /// With the host's, the kernel does not end all of it with its first process.
    pids: PidNamespace,
    pressure: PressureMeter,
    /// `None` for a container that had ended before this agent started.
    process: Option<Process>,
    mounts: Mounts,
    end: watch::Receiver<Option<Termination>>,
}

#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("cannot take over container {id} of an earlier run")]
    Process {
        id: ContainerId,
        source: RecordError,
    },
    #[error("cannot watch container {id} of an earlier run")]
    Watch { id: ContainerId, source: io::Error },
}

impl RecoverError {
    /// The container that goes on, unwatched.
    pub fn id(&self) -> &ContainerId {
        match self {
            Self::Process { id, .. } | Self::Watch { id, .. } => id,
        }
    }
}

/// A container whose end nobody waits for yet.
#[derive(Debug)]
pub(crate) struct Unwatched {
    container: Container,
    oom: Option<OomWatch>,
    ended: watch::Sender<Option<Termination>>,
}

impl Unwatched {
    fn of(
        shared: &Arc<Shared>,
        record: Record,
        cgroup: Cgroup,
        pids: PidNamespace,
        process: Option<Process>,
        oom: Option<OomWatch>,
        since: Option<Instant>,
    ) -> Self {
        let (ended, end) = watch::channel(None);
        let container = Container(Arc::new(Inner {
            shared: shared.clone(),
            record,
            timings: OnceLock::new(),
            command: SetOnce::new(),
            since,
            cgroup,
            pids,
            pressure: PressureMeter::default(),
            process,
            mounts: Mounts::default(),
            end,
        }));
        Self {
            container,
            oom,
            ended,
        }
    }

    /// From a thread of the runtime where there are many: each that comes from elsewhere wakes one.
    pub(crate) fn watch(self) -> Container {
        let Self {
            container,
            oom,
            ended,
        } = self;
        let patience = container.0.shared.config.cgroups_destroy_timeout;
        let watched = container.clone();
        tokio::spawn(async move {
            let Some(termination) = watched.until_released(oom, patience).await else {
                return;
            };
            ended.send_replace(Some(termination));
            tokio::task::spawn_blocking(move || watched.0.mounts.let_go());
        });
        container
    }
}

/// What an earlier process left.
#[derive(Debug, Default)]
pub struct Recovered {
    pub containers: Vec<Container>,
    /// Of each of these something is there that cannot be taken over; it is left alone.
    pub failures: Vec<RecoverError>,
}

impl Container {
    /// Takes over a process that has just been started.
    pub(crate) fn watch(
        shared: &Arc<Shared>,
        record: Record,
        cgroup: Cgroup,
        pids: PidNamespace,
        process: Process,
        oom: Option<OomWatch>,
    ) -> Self {
        let since = Some(Instant::now());
        Unwatched::of(shared, record, cgroup, pids, Some(process), oom, since).watch()
    }

    /// Takes over what an earlier agent left, dead or alive. Blocks.
    pub(crate) fn recover(shared: &Arc<Shared>, record: Record) -> Result<Unwatched, RecoverError> {
        // Without its spec the container cannot be explained, but must still be ended properly.
        let spec = record.outline().inspect_err(
            |error| tracing::warn!(container = %record.id, %error, "a container's spec is lost"),
        );
        let spec = spec.ok();
        let cgroup = shared.recovered_cgroup(&record.id, spec.as_ref());
        let spawned = record
            .open_process()
            .map_err(|source| RecoverError::Process {
                id: record.id.clone(),
                source,
            })?;
        let process = spawned.map(Process::of).transpose();
        let process = process.map_err(|(_lives_on, source)| RecoverError::Watch {
            id: record.id.clone(),
            source,
        })?;
        if process.is_none() {
            // The agent died before it could record the pid, or init is gone: whoever is left in
            // the cgroup belongs to nobody.
            cgroup.kill();
        }
        // All that is in the cgroup is put away in any case.
        let pids = spec.as_ref().map_or(PidNamespace::Hosts, compile::pids);
        let oom = cgroup.watch_oom().unwrap_or(None);
        let timings = record.timings();
        let command = process.as_ref().and_then(|it| death::first_child(it.pid));
        let unwatched = Unwatched::of(shared, record, cgroup, pids, process, oom, None);
        let container = &unwatched.container;
        container.note_command(command);
        if spec.as_ref().is_some_and(compile::has_own_mounts) {
            let namespace = container.0.process.as_ref().and_then(Process::mounts);
            namespace
                .into_iter()
                .for_each(|namespace| container.hold(namespace));
        }
        timings
            .into_iter()
            .for_each(|timings| container.note(timings));
        Ok(unwatched)
    }

    pub fn id(&self) -> &ContainerId {
        &self.0.record.id
    }

    /// Host pid of the container's first process (`init`); 0 when it had ended before this agent
    /// started.
    pub fn pid(&self) -> u32 {
        self.0.process.as_ref().map_or(0, |process| process.pid)
    }

    /// Its first process.
    pub(crate) fn is_there(&self) -> bool {
        self.0.process.as_ref().is_some_and(Process::is_there)
    }

    pub(crate) fn record(&self) -> &Record {
        &self.0.record
    }

    /// What was executed, from its record: with its seccomp profile it is too large to be kept in
    /// memory for every container. Blocks. An error once the container is forgotten.
    pub fn spec(&self) -> Result<Spec, RecordError> {
        self.0.record.spec()
    }

    /// How long its launch took; `None` while it goes on, and when an earlier agent did not come to
    /// write that down.
    pub fn timings(&self) -> Option<&Timings> {
        self.0.timings.get()
    }

    /// The command runs, as host pid `command`. `file` takes the timings for the next agent, when
    /// there is time for that.
    pub(crate) fn launched(&self, command: Option<u32>, timings: Timings, file: Option<File>) {
        self.note_command(command);
        if let Some(mut file) = file {
            // A line or two into a new file: a thread of its own would take longer to wake.
            if let Err(error) = file.write_all(timings.to_string().as_bytes()) {
                tracing::warn!(container = %self.id(), %error, "cannot keep the timings of a launch");
            }
        }
        self.note(timings);
    }

    /// `mounts`: its namespace of them.
    pub(crate) fn hold(&self, mounts: OwnedFd) {
        self.0.mounts.hold(mounts);
    }

    fn note_command(&self, command: Option<u32>) {
        if let Some(pid) = command {
            // As below.
            let _ = self.0.command.set(pid);
        }
    }

    fn note(&self, timings: Timings) {
        // A container is launched once, so they are not there yet.
        let _ = self.0.timings.set(timings);
    }

    /// Waits until every process is gone and the host objects are released; only the mounts that it alone
    /// saw may take the kernel a moment more. Many may wait, before
    /// or after the end; all get the same answer. Cancel safe.
    pub async fn wait(&self) -> Termination {
        let mut end = self.0.end.clone();
        match end.wait_for(Option::is_some).await.map(|end| end.clone()) {
            Ok(Some(termination)) => termination,
            // The watching task sends before it ends; without it, the container was left to another
            // process, or the runtime is shutting down.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Waits, after [`Containerizer::leave`](crate::Containerizer::leave), until it is known who will tell
    /// the container's end: this process, which has seen it and whose `wait` returns, or the next.
    pub async fn is_left(&self) -> bool {
        let mut end = self.0.end.clone();
        end.wait_for(Option::is_some).await.is_err()
    }

    /// Asks every process of the container to end, with SIGTERM; or its command, by the signal that was asked
    /// for when it was launched. Not an error once it has ended.
    pub fn terminate(&self) {
        let spec = self.spec().ok();
        let said =
            spec.and_then(|spec| spec.annotations().as_ref()?.get(STOP_SIGNAL)?.parse().ok());
        self.signal(said.unwrap_or(libc::SIGTERM));
    }

    /// SIGKILL to every process of the container. Not an error once it has ended.
    pub fn kill(&self) {
        // The kernel kills a pid namespace with its first process.
        self.signal(libc::SIGKILL);
        self.end_the_rest();
        self.0.cgroup.let_die();
    }

    /// Stops every process of the container until `thaw`; gives up, and lets them go on, when that
    /// takes longer than `patience`. Blocks. A frozen container can be killed.
    pub fn freeze(&self, patience: Duration) -> Result<(), CgroupError> {
        self.0.cgroup.freeze(patience)
    }

    /// Not an error for one that is not frozen.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.0.cgroup.thaw()
    }

    pub fn is_frozen(&self) -> bool {
        self.0.cgroup.is_frozen()
    }

    /// Starts a command that joins the container, and returns once it has been exec'ed. Errors: `Frozen`.
    ///
    /// A future that is dropped leaves the command alone.
    pub async fn exec(&self, command: Command, stdio: Stdio) -> Result<Execution, LaunchError> {
        let turn = self.0.shared.turns.acquire().await;
        let turn = turn.map_err(|_closed| LaunchError::GivenUp)?;
        let container = self.clone();
        let started = tokio::task::spawn_blocking(move || container.join(&command, &stdio));
        let joining = started.await.map_err(|_panicked| LaunchError::GivenUp)??;
        drop(turn);
        joining.until_exec().await
    }

    fn join(&self, command: &Command, stdio: &Stdio) -> Result<Joining, LaunchError> {
        let shared = &self.0.shared;
        let process = self.0.process.as_ref().ok_or(LaunchError::Joined)?;
        let joined = Joined {
            spec: &self.spec()?,
            pidfd: process.as_fd(),
            cgroup: &self.0.cgroup,
            helper: &shared.helper,
            filters: &shared.filters,
        };
        joined.start(command, stdio)
    }

    /// Does `work` in the container's network, on a thread of its own. Errors: `ESRCH` once the container has
    /// ended.
    pub async fn within_network<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let ended = || io::Error::from_raw_os_error(libc::ESRCH);
        let process = self.0.process.as_ref().ok_or_else(ended)?;
        within::network_of(process.as_fd().try_clone_to_owned()?, work).await
    }

    /// That of a container which is to be nested in this one.
    pub(crate) fn cgroup_of_nested(&self, id: &ContainerId) -> Cgroup {
        self.0.cgroup.nest(id.as_str())
    }

    /// Its network, for one more container that is to be in it. Errors: `ESRCH` once this one has ended.
    pub async fn network(&self) -> io::Result<Network> {
        self.within_network(ahead::this_threads).await
    }

    /// Changes the limits that the resources name, at once, and leaves the others. Its record keeps
    /// telling what it was launched with. Blocks.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), UpdateError> {
        update::update(&self.0.cgroup, resources, &self.0.shared.device_programs)
    }

    fn signal(&self, signal: i32) {
        if let Some(process) = &self.0.process {
            process.signal(signal);
        }
    }

    /// What the container uses now.
    pub fn snapshot(&self) -> Result<Snapshot, StatisticsError> {
        snapshot::take(&self.0.cgroup, &self.0.pressure, self.network_use())
    }

    /// What has gone over its network; `None` when that is the host's, and once it has ended.
    fn network_use(&self) -> Option<NetworkUse> {
        let process = self.0.process.as_ref()?;
        let used = NetworkUse {
            traffic: Traffic::of(process.pid)?,
            protocols: ProtocolCounters::of(process.pid),
        };
        // While it is there, nobody else has had its number.
        Some(used).filter(|_| process.is_there())
    }

    /// Everything that the kernel counts for it: many files are read. Blocks.
    pub fn details(&self) -> Result<Details, StatisticsError> {
        self.0.cgroup.details()
    }

    /// Drops the record of a container that has ended: call it once the termination is stored
    /// elsewhere. Until then a later agent finds the container, and its id stays taken.
    pub fn forget(&self) {
        if let Err(error) = self.0.record.remove() {
            tracing::warn!(container = %self.id(), %error, "cannot remove a container's record");
        }
    }
}
