//! Starts an agent, and ends it.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use containerizer::audit::unmount_leftovers;
use containerizer::{Container, Containerizer, Recovered};
use failpoint::{Point, reach};
use isolators::seccomp::Profile;
use proto::v1;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::activation::{self, ActivationError};
use crate::audit::{AuditError, Auditor, Node};
use crate::book::Book;
use crate::checkpoint::{self, CheckpointError, Durability};
use crate::config::{Config, ConfigError};
use crate::devices::DevicesError;
use crate::disks::DiskError;
use crate::drain::Drain;
use crate::flags::Flags;
use crate::host::{HostError, HostFacts, boot_id};
use crate::http::{Site, serve};
use crate::link::Link;
use crate::lock::{Lock, LockError};
use crate::logs::Keeper;
use crate::paths::{Paths, Run};
use crate::profiles::ProfilesError;
use crate::quota::{self, Quotas};
use crate::recovery::{Recover, RecoveryError, Stored};
use crate::supervisor::{Constants, Dismissal, Event, Farewell, Leaving, Supervisor};
use crate::task::environment::AgentVariables;
use crate::task::launch::Host;
use crate::task::policy::Policy;
use crate::task::turns::Turns;
use crate::task::user_namespace::UserNamespaces;
use crate::{adoption, disks, gc, profiles, recovery};

/// Events that wait for the supervisor; senders wait when it is full.
const QUEUE: usize = 1024;

/// How long the last words to the master may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// Kept back of the time for a shutdown, for the clean-up after it.
/// Source: spec/mesos-agent.md section 13.
const CLEANUP: Duration = Duration::from_secs(2);

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
    #[error("cannot recover the agent's state")]
    Recovery(#[from] RecoveryError),
    #[error("cannot write the agent's state")]
    Checkpoint(#[from] CheckpointError),
    #[error("cannot set up an HTTP client for the link to the master")]
    Client(#[source] reqwest::Error),
    #[error("the agent's start was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// A running agent. Dropping it does not end it: say `stop` or `destroy`.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    events: mpsc::Sender<Event>,
    id: watch::Receiver<Option<String>>,
    dismissal: watch::Receiver<Option<Dismissal>>,
    supervisor: JoinHandle<()>,
    link: JoinHandle<()>,
    background: Vec<JoinHandle<()>>,
    orphans: Vec<JoinHandle<()>>,
    host: Arc<Host>,
    destroy_timeout: Duration,
    lock: Arc<Lock>,
}

/// Starts an agent: returns once it listens, has taken over what an earlier one left running, and
/// is about to register. With `--recover=cleanup` it never registers, and is to be destroyed.
pub async fn start(flags: Flags) -> Result<Handle, StartError> {
    let user = nix::unistd::geteuid();
    if !user.is_root() {
        return Err(StartError::NotRoot(user));
    }
    let flags = with_whole_paths(flags)?;
    let facts = HostFacts::gather(&flags.work_dir)?;
    let config = Config::new(&flags, &facts)?;
    disks::prepare(&config.resources.to_protos(), &flags.work_dir)?;
    let profile = profiles::of_tasks(&flags)?;
    let policy = Policy::of(&flags)?;
    for lack in &config.lacking_isolators {
        tracing::warn!(
            isolator = lack.isolator,
            "an isolator that was asked for is not in this build: without it, {}",
            lack.consequence
        );
    }
    let paths = Paths::new(&flags.work_dir);

    let (listener, bound) = activation::listen(&flags).await?;
    let address = endpoint::advertised(
        bound,
        flags.advertise_ip,
        flags.advertise_port,
        "advertise_ip",
    )?;
    let lock = lock(&flags, &paths).await?;
    reach(Point::Locked);
    // Before recovery, which may take its time: /health answers meanwhile.
    let site = Arc::new(Site::new(&flags, address));
    let server = tokio::spawn(serve(listener, Arc::clone(&site)));

    let (containerizer, mut stored) = open(&flags, paths.clone(), profile).await?;
    let found = containerizer
        .recover()
        .await
        .map_err(|source| StartError::Containers {
            runtime_dir: flags.runtime_dir.clone(),
            source,
        })?;
    reach(Point::ContainersFound);
    let containers = taken_over(found, &mut stored, flags.strict)?;
    let info = identity(&flags, &config, &paths, &stored, address.port())?;
    remember(&paths, &stored, &info).await?;
    reach(Point::Remembered);
    let is_cleanup = flags.recover == Recover::Cleanup;

    let (events, inbox) = mpsc::channel(QUEUE);
    let (id, id_seen) = watch::channel(info.id.as_ref().map(|id| id.value.clone()));
    let (dismissal, dismissed) = watch::channel(None);
    let shutdown_grace = flags.executor_shutdown_grace_period.saturating_sub(CLEANUP);
    let constants = Constants {
        address: v1::Address {
            hostname: Some(config.hostname.clone()),
            ip: Some(address.ip().to_string()),
            port: i32::from(address.port()),
        },
        ip: address.ip(),
        shutdown_grace,
    };
    let drain = drain(&paths, &info, flags.strict).await?;
    let quotas = quotas(&flags, &paths, &events).await?;
    site.measure_with(&quotas);
    let host = Arc::new(Host {
        containerizer,
        paths: paths.clone(),
        variables: AgentVariables {
            operator: config.executor_variables,
            endpoint: address.to_string(),
            libprocess_ip: std::env::var("LIBPROCESS_IP").ok(),
            shutdown_grace: flags.executor_shutdown_grace_period,
            recovery_timeout: flags.recovery_timeout,
            reregistration_timeout: flags.executor_reregistration_timeout,
        },
        fetch_helper: fetch_helper(&flags),
        frameworks_home: flags.frameworks_home.clone(),
        seccomp_profiles: flags.seccomp_config_dir.clone(),
        switch_user: flags.switch_user,
        user_namespaces: UserNamespaces {
            by_default: flags.user_namespaces,
            ids: flags.user_namespace_ids,
        },
        capabilities: config.capabilities,
        policy,
        log_limits: config.logs,
        keeper: Keeper::start(Arc::clone(&site.logs)),
        quotas: Arc::clone(&quotas),
        start_timeout: flags.executor_registration_timeout,
        turns: Turns::new(),
    });
    let is_known = info.id.is_some();
    let book = Book::new(info, flags.max_completed_executors_per_framework);
    let mut supervisor = Supervisor::new(
        constants,
        Arc::clone(&host),
        book,
        events.clone(),
        dismissal,
        id,
    );
    adoption::tell_losses(&mut supervisor, &stored);
    let mut found = adoption::by_id(containers);
    let untaken: Vec<_> = stored
        .untaken
        .iter()
        .map(|it| it.id().to_string())
        .collect();
    let mut unread = std::mem::take(&mut stored.unread);
    if is_cleanup {
        unread = recovery::Unread::default();
    }
    if is_known {
        adoption::adopt(&mut supervisor, stored, &mut found);
        reach(Point::TasksTakenOver);
    }
    if let Some(drain) = drain {
        supervisor.go_on_draining(drain);
    }
    let mut spared = adoption::spare(&mut found, &unread);
    spared.extend(untaken);
    let others = spared.iter().chain(found.keys()).cloned().collect();
    let orphans = adoption::destroy_orphans(found);
    reach(Point::OrphansKilled);
    let auditor = Auditor::new(Node::of(&flags)?, events.clone(), others);

    let link = Link::new(
        flags.master.clone(),
        flags.registration_backoff_factor,
        events.clone(),
    );
    let link = link.map_err(StartError::Client)?;
    site.open(events.clone());
    let collector = tokio::spawn(collect_garbage(
        flags.clone(),
        paths.clone(),
        events.clone(),
        Arc::clone(&site),
        spared,
        auditor,
        quotas,
    ));
    let held = Arc::clone(&lock);
    let supervisor = async move {
        supervisor.run(inbox).await;
        drop(held);
    };
    Ok(Handle {
        address,
        events,
        id: id_seen,
        dismissal: dismissed,
        supervisor: tokio::spawn(supervisor),
        link: match is_cleanup {
            true => tokio::spawn(std::future::ready(())),
            false => tokio::spawn(link.run()),
        },
        background: vec![server, collector],
        orphans,
        host,
        destroy_timeout: shutdown_grace + flags.cgroups_destroy_timeout + FAREWELL,
        lock,
    })
}

/// Tasks hear of these directories, and their own working directory is another than ours.
fn with_whole_paths(mut flags: Flags) -> Result<Flags, StartError> {
    let directories = [
        ("work_dir", Some(&mut flags.work_dir)),
        ("runtime_dir", Some(&mut flags.runtime_dir)),
        ("frameworks_home", flags.frameworks_home.as_mut()),
        ("seccomp_config_dir", flags.seccomp_config_dir.as_mut()),
    ];
    for (flag, directory) in directories {
        if let Some(path) = directory {
            *path = std::path::absolute(&*path).map_err(|source| StartError::Directory {
                flag,
                path: path.clone(),
                source,
            })?;
        }
    }
    Ok(flags)
}

async fn lock(flags: &Flags, paths: &Paths) -> Result<Arc<Lock>, StartError> {
    let (runtime_dir, paths) = (flags.runtime_dir.clone(), paths.clone());
    let lock = tokio::task::spawn_blocking(move || Lock::take(&runtime_dir, &paths));
    Ok(Arc::new(lock.await??))
}

/// What of the start blocks: looks at the host, reads the state.
async fn open(
    flags: &Flags,
    paths: Paths,
    seccomp: Profile,
) -> Result<(Containerizer, Stored), StartError> {
    let config = containerizer::Config {
        runtime_dir: flags.runtime_dir.clone(),
        cgroups_hierarchy: flags.cgroups_hierarchy.clone(),
        cgroups_root: flags.cgroups_root.clone(),
        cgroups_enable_cfs: flags.cgroups_enable_cfs,
        cgroups_destroy_timeout: flags.cgroups_destroy_timeout,
        hidden: vec![paths.meta()],
        seccomp,
    };
    let strict = flags.strict;
    let opened = tokio::task::spawn_blocking(move || {
        let meta = paths.meta();
        std::fs::create_dir_all(&meta)
            .map_err(|source| HostError::WorkDir { path: meta, source })?;
        // Before anything of containers is removed: what is mounted there would be, too.
        for mount in unmount_leftovers(&config.runtime_dir)? {
            tracing::warn!(mount = %mount.display(), "unmounted what nothing uses");
        }
        let stored = recovery::recover(&paths, boot_id().as_deref(), strict)?;
        reach(Point::StateRead);
        Ok((Containerizer::open(config)?, stored))
    });
    opened.await?
}

/// What an earlier agent was asked for and nobody has taken back.
async fn drain(
    paths: &Paths,
    info: &v1::AgentInfo,
    strict: bool,
) -> Result<Option<Drain>, StartError> {
    let Some(id) = &info.id else { return Ok(None) };
    let file = paths.drain_config(&id.value);
    match tokio::task::spawn_blocking(move || checkpoint::read(&file)).await? {
        Err(error) if !strict => {
            let error = proto::error::chain(&error);
            tracing::error!(
                error,
                "whether this agent is to drain cannot be told: it does not"
            );
            Ok(None)
        }
        read => Ok(read?),
    }
}

async fn quotas(
    flags: &Flags,
    paths: &Paths,
    events: &mpsc::Sender<Event>,
) -> Result<Arc<Quotas>, StartError> {
    let policy = quota::Policy {
        enforces: flags.enforce_container_disk_quota,
        kills: flags.xfs_kill_containers,
        headroom: flags.xfs_quota_headroom,
        interval: flags.container_disk_watch_interval,
    };
    let (paths, range, events) = (paths.clone(), flags.xfs_project_range, events.clone());
    let open = move || Quotas::open(&paths, policy, range, events);
    Ok(Arc::new(tokio::task::spawn_blocking(open).await?))
}

/// The others go on, too, and nobody may end them or take them for lost.
fn taken_over(
    found: Recovered,
    stored: &mut Stored,
    strict: bool,
) -> Result<Vec<Container>, StartError> {
    let Recovered {
        containers,
        failures,
    } = found;
    for failure in failures {
        if strict {
            return Err(StartError::Container(failure));
        }
        stored.leave_alone(failure);
    }
    Ok(containers)
}

/// The agent of before, or a new one.
fn identity(
    flags: &Flags,
    config: &Config,
    paths: &Paths,
    stored: &Stored,
    port: u16,
) -> Result<v1::AgentInfo, StartError> {
    let id = stored.id.clone().map(|value| v1::AgentId { value });
    let Some(old) = &stored.info else {
        return Ok(config.agent_info(port, id));
    };
    if flags.recover == Recover::Cleanup {
        return Ok(old.clone());
    }
    // With port 0 the operator has said that any will do.
    let asked = (flags.port != 0).then_some(port);
    let policy = flags.reconfiguration_policy;
    match recovery::check_unchanged(old, config, asked, policy, paths.latest_agent()) {
        Ok(()) => Ok(config.agent_info(port, id)),
        // Nothing of the old agent runs any more.
        Err(change) if stored.rebooted => {
            tracing::warn!(%change, "starting as a new agent after a reboot");
            Ok(config.agent_info(port, None))
        }
        Err(change) => Err(RecoveryError::from(change).into()),
    }
}

/// Writes down how a known agent has changed, for the next start is compared with that; that the old one is
/// no more; and, last, which boot all that was decided in.
async fn remember(paths: &Paths, stored: &Stored, info: &v1::AgentInfo) -> Result<(), StartError> {
    let known = info.id.clone();
    let changed = known
        .as_ref()
        .filter(|_| stored.info.as_ref() != Some(info));
    let changed = changed.map(|id| (paths.agent_info(&id.value), info.clone()));
    let forgotten = (stored.id.is_some() && known.is_none()).then(|| paths.latest_agent());
    let boot_id = boot_id().filter(|now| stored.boot_id.as_ref() != Some(now));
    let boot_id = boot_id.map(|now| (paths.boot_id(), now));
    let write = move || {
        if let Some((file, info)) = changed {
            checkpoint::write(&file, &info, Durability::Reboot)?;
        }
        if let Some(latest) = forgotten {
            checkpoint::remove(&latest, Durability::Reboot)?;
        }
        if let Some((file, boot_id)) = boot_id {
            checkpoint::replace(&file, boot_id.as_bytes(), Durability::Reboot)?;
        }
        Ok::<(), CheckpointError>(())
    };
    Ok(tokio::task::spawn_blocking(write).await??)
}

/// This program again, even if its file has been replaced meanwhile.
fn fetch_helper(flags: &Flags) -> Vec<String> {
    match flags.fetch_helper.is_empty() {
        true => ["/proc/self/exe", "fetcher"].map(str::to_owned).to_vec(),
        false => flags.fetch_helper.clone(),
    }
}

/// Containers that are `spared` keep their sandboxes.
async fn collect_garbage(
    flags: Flags,
    paths: Paths,
    events: mpsc::Sender<Event>,
    site: Arc<Site>,
    spared: BTreeSet<String>,
    mut auditor: Auditor,
    quotas: Arc<Quotas>,
) {
    let policy = gc::Policy {
        delay: flags.gc_delay,
        headroom: flags.gc_disk_headroom,
    };
    // A zero interval would be a busy loop.
    let interval = flags.disk_watch_interval.max(Duration::from_secs(1));
    // What an earlier agent left, and then what comes about: never while garbage is collected.
    let mut repairs = true;
    loop {
        match auditor.round(repairs).await {
            Some(tally) => site.audited(tally),
            None => return,
        }
        repairs = false;
        // A burst of tasks leaves much of it, and so does a start among many.
        containerizer::release_unused_memory();
        tokio::time::sleep(interval).await;
        match collect_once(&policy, &paths, &events, &spared).await {
            Ok(Some(collected)) => {
                site.collected(&collected);
                let quotas = Arc::clone(&quotas);
                // An agent that goes leaves them to the next.
                let _ = tokio::task::spawn_blocking(move || quotas.sweep()).await;
            }
            Ok(None) => return,
            Err(error) => tracing::warn!(%error, "cannot look for sandboxes to remove"),
        }
    }
}

/// `None` once the agent has gone.
async fn collect_once(
    policy: &gc::Policy,
    paths: &Paths,
    events: &mpsc::Sender<Event>,
    spared: &BTreeSet<String>,
) -> io::Result<Option<gc::Collected>> {
    let listed = paths.clone();
    let mut candidates = tokio::task::spawn_blocking(move || gc::candidates(&listed)).await??;
    candidates
        .runs
        .retain(|candidate| !spared.contains(&candidate.run.container));
    let (ask, answer) = oneshot::channel();
    if events.send(Event::Snapshot(ask)).await.is_err() {
        return Ok(None);
    }
    let Ok(book) = answer.await else {
        return Ok(None);
    };
    let live: BTreeSet<Run> = book
        .executors()
        .map(|(_, executor)| executor.run.clone())
        .collect();
    let (policy, paths) = (policy.clone(), paths.clone());
    let collect = move || gc::collect(&paths, &policy, candidates, &live);
    Ok(Some(tokio::task::spawn_blocking(collect).await??))
}

impl Handle {
    /// Where the agent's HTTP API is reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn events(&self) -> mpsc::Sender<Event> {
        self.events.clone()
    }

    /// Given by the master; `None` before the first registration.
    pub fn agent_id(&self) -> Option<String> {
        self.id.borrow().clone()
    }

    /// Waits until the master has taken the agent, and returns its id; `None` if it never will.
    pub async fn registered(&self) -> Option<String> {
        let mut id = self.id.clone();
        let id = id.wait_for(Option::is_some).await.ok()?;
        id.clone()
    }

    /// Waits until the master dismisses the agent: one that was told to shut down is to be destroyed,
    /// one that was refused only stopped, for its tasks may belong to another master.
    pub async fn dismissed(&self) -> Option<Dismissal> {
        let mut dismissal = self.dismissal.clone();
        let dismissal = dismissal.wait_for(Option::is_some).await.ok()?;
        dismissal.clone()
    }

    /// The agent goes away. Tasks of frameworks that checkpoint keep running, for the next one.
    pub async fn stop(mut self) {
        self.leave(Leaving::Stop).await;
        self.link.abort();
        self.background.iter().for_each(JoinHandle::abort);
        reach(Point::Left);
        self.host.remove_cgroups_root().await;
        drop(self.lock);
    }

    /// Kills every task, waits until nothing is left of them, and leaves the cluster.
    pub async fn destroy(mut self) {
        let farewell = self.leave(Leaving::Destroy).await;
        let mut link = self.link;
        if farewell == Farewell::OnItsWay {
            // The link ends by itself once it has passed that on.
            let ended = tokio::time::timeout(FAREWELL, &mut link).await;
            tracing::debug!(
                in_time = ended.is_ok(),
                "told the master that this agent leaves"
            );
        }
        link.abort();
        self.background.iter().for_each(JoinHandle::abort);
        let orphans = futures_util::future::join_all(std::mem::take(&mut self.orphans));
        if tokio::time::timeout(self.destroy_timeout, orphans)
            .await
            .is_err()
        {
            tracing::error!("containers that belong to no task would not end in time");
        }
        // The id is spent: the next start is a new agent.
        let latest = self.host.paths.latest_agent();
        let forget = move || checkpoint::remove(&latest, Durability::Reboot);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(forget).await {
            let error = proto::error::chain(&error);
            tracing::warn!(error, "cannot forget the agent id");
        }
        self.host.remove_cgroups_root().await;
        drop(self.lock);
    }

    async fn leave(&mut self, how: Leaving) -> Farewell {
        let (done, left) = oneshot::channel();
        if self.events.send(Event::Leave { how, done }).await.is_err() {
            return Farewell::Unsaid;
        }
        let farewell = tokio::time::timeout(self.destroy_timeout, left).await;
        self.supervisor.abort();
        // It has a share in the lock. Ended or aborted, it is gone.
        let _ = (&mut self.supervisor).await;
        match farewell {
            Ok(farewell) => farewell.unwrap_or(Farewell::Unsaid),
            Err(_elapsed) => {
                tracing::error!("tasks of this agent would not end in time");
                Farewell::Unsaid
            }
        }
    }
}

#[cfg(test)]
mod tests;
