//! The Docker containerizer: tasks of the type DOCKER as containers of a Docker Engine.
//!
//! ```text
//! task ─► plan ─► pull ─► record ─► create ─► start ─► watch, follow ─► forget ─► remove, after a while
//! ```
//!
//! What is the engine's is written down before the engine hears of it, so that a restart knows it without
//! asking. Who waits for an answer waits within bounds, and asks again: an engine that hangs or restarts keeps
//! nobody from anything else. What a container writes comes into its sandbox by a stream of the engine, and how
//! far it has come is written down with it.

pub mod choice;
mod container;
mod ending;
mod hidden;
mod launch;
mod output;
pub mod plan;
mod record;
mod remover;
mod shared;
#[cfg(test)]
mod tests;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use containerizer::Containerizer;
use isolators::ContainerId;
use proto::v1;

use crate::flags::Flags;
use crate::task::launch::Job;
use crate::task::machine::Policy;
use choice::{Containerizers, Kind};
pub use container::Container;
pub use ending::{describe, in_dockers_words};
pub use launch::DockerError;
use plan::{BadDns, DefaultDns};
use record::Records;
use shared::Shared;

/// How long the containers that are watched may take to be let go of.
const LETTING_GO: Duration = Duration::from_secs(5);

/// The engine of this host, and what this agent has with it. Clones share everything.
#[derive(Debug, Clone)]
pub struct Docker {
    shared: Arc<Shared>,
    containerizers: Containerizers,
    caps_cpus: bool,
    stop_timeout: Option<Duration>,
    dns: Arc<DefaultDns>,
}

impl Docker {
    /// `owner`: whose containers these are, among all of the engine. Containers of another boot are nobody's.
    pub fn open(
        flags: &Flags,
        owner: &Path,
        containerizer: Containerizer,
    ) -> Result<Docker, BadDns> {
        let dns = DefaultDns::read(flags.network.default_container_dns.as_deref())?;
        let records = Records::new(&flags.runtime_dir, crate::host::boot_id());
        let settings = shared::Settings {
            socket: flags.docker.socket.clone(),
            remove_delay: flags.docker.remove_delay,
            kills_orphans: flags.docker.kill_orphans,
            owner: owner.display().to_string(),
        };
        let shared = Shared::new(settings, records, Some(containerizer));
        if flags
            .docker
            .containerizers
            .has(choice::Containerizer::Docker)
        {
            remover::start(&shared);
        }
        Ok(Docker {
            shared,
            containerizers: flags.docker.containerizers.clone(),
            caps_cpus: flags.cgroups_enable_cfs,
            stop_timeout: Some(flags.docker.stop_timeout).filter(|it| !it.is_zero()),
            dns: Arc::new(dns),
        })
    }

    /// Who runs a task of this kind; `None`: nobody here can.
    pub async fn choose(&self, kind: Kind) -> Option<choice::Containerizer> {
        let has_engine =
            self.containerizers.may_need_engine(kind) && self.shared.is_reachable().await;
        self.containerizers.choose(kind, has_engine)
    }

    pub fn containerizers(&self) -> &Containerizers {
        &self.containerizers
    }

    /// A task that says nothing of it may be given another time to end.
    pub fn graced(&self, policy: Policy, task: &v1::TaskInfo) -> Policy {
        let says = task.kill_policy.as_ref();
        let says = says.is_some_and(|policy| policy.grace_period.is_some());
        let has_docker = self.containerizers.has(choice::Containerizer::Docker);
        let is_meant = !says && has_docker && Kind::of(task) == Kind::Docker;
        match self.stop_timeout {
            Some(grace) if is_meant => Policy { grace, ..policy },
            _ => policy,
        }
    }

    /// Also those that name no limit.
    pub fn caps_cpus(&self) -> bool {
        self.caps_cpus
    }

    /// Of tasks that say nothing of names.
    pub fn dns(&self) -> &DefaultDns {
        &self.dns
    }

    pub fn owner(&self) -> &str {
        &self.shared.settings.owner
    }

    /// What earlier processes of this agent had begun, be it there or not: that is found out by who watches it.
    /// Blocks.
    pub fn recover(&self) -> Vec<Container> {
        let found = self.shared.records.list().into_iter();
        let watched = found.map(|(id, record)| {
            let sandbox = record.sandbox();
            watch::begin(&self.shared, id, sandbox, watch::Since::Earlier)
        });
        watched.collect()
    }

    /// Leaves the containers that run to another process; returns when nothing is done for them here any more.
    pub async fn leave(&self) {
        if tokio::time::timeout(LETTING_GO, self.shared.leave())
            .await
            .is_err()
        {
            tracing::warn!(
                "an engine's containers are let go of while something of them is under way"
            );
        }
    }
}

/// As Mesos has it.
fn name(id: &ContainerId) -> String {
    format!("mesos-{id}")
}

const OWNER: &str = "longshore.work_dir";
const CONTAINER: &str = "longshore.container";

/// By which a container is found again, and told by who looks at the engine.
fn labels(owner: &str, job: &Job, id: &ContainerId) -> [(String, String); 4] {
    let run = &job.run;
    [
        (OWNER, owner),
        (CONTAINER, id.as_str()),
        ("longshore.framework", &run.framework),
        ("longshore.task", &job.task.task_id.value),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// Where records are, for who draws what lies on disk.
fn directory(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("docker")
}
