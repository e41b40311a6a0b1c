//! Starts an agent, and ends it.

mod error;
mod handle;
mod handover;
mod identity;
mod prepared;

pub use error::StartError;
pub use handle::Handle;
pub use handover::{Clinging, Relieved};
pub use prepared::Prepared;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use containerizer::audit::unmount_leftovers;
use containerizer::{Container, Containerizer, Recovered};
use failpoint::{Point, reach};
use handle::FAREWELL;
use identity::{identity, remember};
use isolators::seccomp::Profile;
use proto::v1;
use tokio::sync::{mpsc, watch};

use crate::audit::{Auditor, Node};
use crate::book::Book;
use crate::checkpoint;
use crate::docker::Docker;
use crate::drain::Drain;
use crate::flags::Flags;
use crate::garbage::Collector;
use crate::gc;
use crate::ground::Ground;
use crate::host::{HostError, boot_id, bounding_set};
use crate::link::Link;
use crate::logs::Keeper;
use crate::networks::Networks;
use crate::paths::Paths;
use crate::provisioning::{Images, OpenError};
use crate::quota::{self, Quotas};
use crate::recovery::{Recover, Stored};
use crate::secrets::{SecretFiles, Secrets};
use crate::supervisor::{Constants, Event, Supervisor};
use crate::task::desk::Desk;
use crate::task::environment::AgentVariables;
use crate::task::launch::Host;
use crate::task::turns::Turns;
use crate::task::user_namespace::UserNamespaces;
use crate::{adoption, fetching, networks, ports, recovery};

/// Events that wait for the supervisor; senders wait when it is full.
const QUEUE: usize = 1024;

/// Kept back of the time for a shutdown, for the clean-up after it.
/// Source: spec/mesos-agent.md section 13.
const CLEANUP: Duration = Duration::from_secs(2);

/// What an agent begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    Alone,
    /// After another process, whose orders come first: the link to the master is made at once.
    Relief,
}

/// Starts an agent: returns once it listens, has taken over what an earlier one left running, and
/// is about to register. With `--recover=cleanup` it never registers, and is to be destroyed.
pub async fn start(flags: Flags) -> Result<Handle, StartError> {
    let prepared = Prepared::new(flags)?;
    let mut ground = Ground::take(&prepared.flags).await?;
    // Before recovery, which may take its time: /health answers meanwhile.
    ground.open().map_err(StartError::Door)?;
    begin(prepared, ground, Entry::Alone).await
}

/// Takes over what runs, and stands on the ground from then on.
pub async fn begin(prepared: Prepared, ground: Ground, entry: Entry) -> Result<Handle, StartError> {
    // On a thread of the runtime: what is begun for a thousand tasks would wake one a thousand times from elsewhere.
    tokio::spawn(take_over(prepared, ground, entry)).await?
}

async fn take_over(prepared: Prepared, ground: Ground, entry: Entry) -> Result<Handle, StartError> {
    let Prepared {
        flags,
        config,
        profile,
        policy,
        authentication,
    } = prepared;
    let paths = Paths::new(&flags.work_dir);
    let (address, site) = (ground.address, Arc::clone(&ground.site));
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
    let docker = Docker::open(&flags, &flags.work_dir, containerizer.clone())?;
    let untaken = stored.untaken.iter().map(|it| it.id().to_string());
    let living = containers
        .iter()
        .map(|it| it.id().to_string())
        .chain(untaken);
    let living: BTreeSet<_> = living.collect();
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
    let (runtime_dir, work_dir) = (&flags.runtime_dir, &flags.work_dir);
    let networks = Networks::open(&flags.network, runtime_dir, work_dir, flags.strict)?;
    let fetcher = {
        let flags = flags.clone();
        Arc::new(tokio::task::spawn_blocking(move || fetching::fetcher(&flags)).await?)
    };
    let images = images(&flags, living).await?;
    site.measure_with(&quotas, &fetcher, &networks);
    site.show_pulls(&images.pulls);
    let turns = Arc::new(Turns::new());
    let host = Arc::new(Host {
        containerizer,
        docker: docker.clone(),
        paths: paths.clone(),
        variables: AgentVariables {
            operator: config.executor_variables,
            endpoint: address.to_string(),
            libprocess_ip: std::env::var("LIBPROCESS_IP").ok(),
            shutdown_grace: flags.executor_shutdown_grace_period,
            recovery_timeout: flags.recovery_timeout,
            reregistration_timeout: flags.executor_reregistration_timeout,
        },
        fetcher,
        frameworks_home: flags.frameworks_home.clone(),
        hard_links: flags.fetcher.hard_links,
        seccomp_profiles: flags.seccomp_config_dir.clone(),
        switch_user: flags.switch_user,
        user_namespaces: UserNamespaces {
            by_default: flags.user_namespaces,
            ids: flags.user_namespace_ids,
        },
        capabilities: config.capabilities,
        policy,
        authentication: Arc::clone(&authentication),
        log_limits: config.logs,
        keeper: Keeper::start(Arc::clone(&site.logs)),
        quotas: Arc::clone(&quotas),
        networks: networks.clone(),
        images: Arc::clone(&images),
        secrets: Secrets::new(flags.secrets_dir.clone()),
        secret_files: SecretFiles::new(&flags.runtime_dir),
        bounding_set: bounding_set(),
        start_timeout: flags.executor_registration_timeout,
        turns: turns.clone(),
        desk: Desk::new(),
        complaint: Arc::default(),
    });
    let watching = networks::watch(&networks, host.containerizer.clone());
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
    if entry == Entry::Relief {
        supervisor.wait_for_orders();
    }
    adoption::tell_losses(&mut supervisor, &stored);
    supervisor.book.counters.recovery_errors += networks.losses() as u64;
    let engines = tokio::task::spawn_blocking(move || docker.recover()).await?;
    let containers = containers
        .into_iter()
        .map(crate::container::Container::Native);
    let engines = engines.into_iter().map(crate::container::Container::Docker);
    let mut found = adoption::by_id(containers.chain(engines));
    let untaken: Vec<_> = stored
        .untaken
        .iter()
        .map(|it| it.id().to_string())
        .collect();
    let living = found.keys().chain(&untaken).cloned().collect();
    let secrets = host.secret_files.clone();
    tokio::task::spawn_blocking(move || secrets.remove_others(&living)).await?;
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
    if !flags.docker.kill_orphans {
        found.retain(|_, container| container.native().is_some());
    }
    let orphans = adoption::destroy_orphans(found, Some(&host));
    reach(Point::OrphansKilled);
    let node = Node::of(&flags)?;
    if let Some(policy) = ports::Policy::of(&flags) {
        policy.watch(node.scope.clone(), events.clone());
    }
    let auditor = Auditor::new(node, events.clone(), others);

    let link = Link::new(
        flags.master.clone(),
        flags.registration_backoff_factor,
        events.clone(),
    );
    let link = link.map_err(StartError::Client)?;
    site.open(events.clone(), authentication);
    let (rest, resting) = watch::channel(false);
    let collector = Collector {
        flags: flags.clone(),
        paths: paths.clone(),
        events: events.clone(),
        site,
        spared,
        auditor,
        quotas,
        images,
        resting,
        ages: gc::Ages::default(),
        turns,
    };
    let held = Arc::clone(&ground.lock);
    let supervisor = async move {
        supervisor.run(inbox).await;
        drop(held);
    };
    Ok(Handle {
        events,
        id: id_seen,
        dismissal: dismissed,
        supervisor: tokio::spawn(supervisor),
        link: match is_cleanup {
            true => tokio::spawn(std::future::ready(())),
            false => tokio::spawn(link.run()),
        },
        collector: tokio::spawn(collector.run()),
        rest,
        orphans,
        host,
        _watching: watching,
        destroy_timeout: shutdown_grace + flags.cgroups_destroy_timeout + FAREWELL,
        ground,
    })
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
        hidden: paths
            .of_images()
            .into_iter()
            .chain([paths.meta()])
            .chain(flags.secrets_dir.clone())
            .collect(),
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

/// Root file systems that are none of the `living` go.
async fn images(flags: &Flags, living: BTreeSet<String>) -> Result<Arc<Images>, StartError> {
    let flags = flags.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let images = Images::open(&flags)?;
        images.release_others(&living);
        Ok::<_, OpenError>(images)
    });
    Ok(Arc::new(opened.await??))
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
        inodes: flags.sandbox_inodes_limit,
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

#[cfg(test)]
mod tests;
