//! `longshore audit`: the node as whoever is not its agent sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use containerizer::audit::{self, Keeper, Remedy, Scope, foreign_listeners};
use isolators::seccomp::Profile;
use network::audit::Presence;
use proto::resources::Ranges;

use super::compare::{Seen, compare};
use super::difference::{Difference, Finding, Outcome};
use super::disk::{Disk, Next};
use super::repair::{OrphansError, end_orphans, mend};
use crate::flags::Flags;
use crate::host::boot_id;
use crate::lock::{Lock, LockError, holder_of};
use crate::paths::{self, Paths, Run};
use crate::quota::{ProjectRange, UnownedError, unowned};
use crate::recovery::RecoveryError;
use crate::runs::ListError;

/// Between two looks: longer than what comes or goes takes to be on both sides.
const MOMENT: Duration = Duration::from_millis(500);

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Process id of the agent that runs on these directories.
    pub agent: Option<u32>,
    pub findings: Vec<Finding>,
}

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("an audit must run as root, this is user {0}: others see only their own processes")]
    NotRoot(nix::unistd::Uid),
    #[error("bad --{flag} {}", .path.display())]
    Directory {
        flag: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Containers(#[from] audit::AuditError),
    #[error(transparent)]
    Disk(#[from] ListError),
    #[error("cannot tell which projects of the file system are in use")]
    Projects(#[from] UnownedError),
    #[error("cannot tell what the next agent would take over")]
    Recovery(#[from] RecoveryError),
    #[error("the flags of the agent's bridge are not valid")]
    Bridge(#[from] network::BadSettings),
    #[error(transparent)]
    Network(#[from] network::audit::AuditError),
    #[error("cannot read which networks containers are in")]
    Named(#[from] cni::JournalError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Orphans(#[from] OrphansError),
    #[error("the audit was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Where the agent of a node keeps its things.
#[derive(Debug, Clone)]
pub struct Node {
    pub paths: Paths,
    pub scope: Scope,
    /// Of sandboxes.
    pub projects: ProjectRange,
    /// Of tasks.
    pub bridge: network::Settings,
    pub named: cni::Settings,
}

/// What the agent that runs knows of its tasks.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    pub containers: BTreeSet<String>,
    pub ports: BTreeMap<String, Ranges>,
    pub offered: Ranges,
}

/// Who looks.
#[derive(Debug, Clone)]
pub enum Asker {
    Agent(Tasks),
    BesideAgent,
    WithoutAgent,
}

/// What one look came to.
#[derive(Debug, Default)]
pub struct Look {
    pub differences: Vec<Difference>,
    /// What containers were made for.
    pub runs: BTreeMap<String, Run>,
}

impl Node {
    /// The directories without links, as the kernel tells paths.
    pub fn of(flags: &Flags) -> Result<Node, AuditError> {
        let whole = |flag, path: &PathBuf| {
            let absolute = std::path::absolute(path).map_err(|source| AuditError::Directory {
                flag,
                path: path.clone(),
                source,
            });
            absolute.map(|path| path.canonicalize().unwrap_or(path))
        };
        let paths = Paths::new(&whole("work_dir", &flags.work_dir)?);
        let runtime_dir = whole("runtime_dir", &flags.runtime_dir)?;
        Ok(Node {
            named: flags.network.named(&runtime_dir, paths.work_dir()),
            scope: Scope {
                runtime_dir,
                cgroups_hierarchy: flags.cgroups_hierarchy.clone(),
                cgroups_root: flags.cgroups_root.clone(),
                directories: vec![paths.agents()],
                oci_root: containerizer::stored::ROOT.into(),
            },
            paths,
            projects: flags.xfs_project_range,
            bridge: network::Settings::try_from(&flags.network)?,
        })
    }

    /// Blocks.
    pub fn look(&self, asker: Asker) -> Result<Look, AuditError> {
        let disk = Disk::read(&self.paths)?;
        let runs: BTreeMap<_, _> = disk
            .runs()
            .map(|run| (run.container.clone(), run.clone()))
            .collect();
        let known = runs.keys().cloned().collect();
        // Who answers for what is recorded is told below: it takes the records.
        let (inventory, mut journal) = audit::look(&self.scope, known, Keeper::Running)?;
        let next = || Next::read(&self.paths, boot_id().as_deref());
        let (ports, offered) = match asker {
            Asker::Agent(tasks) => {
                journal.keeper = Keeper::Us(tasks.containers);
                (tasks.ports, tasks.offered)
            }
            Asker::BesideAgent => {
                let next = next()?;
                (next.ports(&inventory.living), next.offered())
            }
            Asker::WithoutAgent => {
                let next = next()?;
                let kept = journal.records.keys().filter(|id| next.keeps(id));
                journal.keeper = Keeper::Next(kept.cloned().collect());
                (next.ports(&inventory.living), next.offered())
            }
        };
        let is_free = |port: &u16| !ports.values().any(|held| held.contains(u64::from(*port)));
        let is_meant = |port: u16| offered.contains(u64::from(port)) && is_free(&port);
        let listeners = foreign_listeners(&self.scope, is_meant);
        let directory = paths::network(&self.scope.runtime_dir);
        let records = &journal.records;
        let network = network::audit::audit(&self.bridge, &directory, |container| {
            if inventory.living.contains(container) {
                Presence::Lives
            } else if records.contains_key(container) {
                Presence::Recorded
            } else {
                Presence::Gone
            }
        })?;
        let networks = cni::Node::recover(self.named.clone())?;
        let named = networks.containers();
        let seen = Seen {
            network,
            namespaces: named.iter().map(|it| networks.namespace(it)).collect(),
            named,
            bridge: self.bridge.bridge.clone(),
            inventory,
            journal,
            disk,
            ports,
            listeners,
            projects: unowned(&self.paths, self.projects)?,
        };
        Ok(Look {
            differences: compare(&self.scope, &self.paths, &seen),
            runs,
        })
    }

    /// Whether an agent runs here at this moment.
    fn asker(&self) -> Asker {
        match holder_of(&self.scope.runtime_dir) {
            Some(_) => Asker::BesideAgent,
            None => Asker::WithoutAgent,
        }
    }
}

impl Look {
    /// What both looks saw, as the second did: the rest was on its way.
    pub fn lasting(first: &[Difference], second: Look) -> Look {
        let was_there = |now: &Difference| first.iter().any(|before| before.is_same(now));
        let Look { differences, runs } = second;
        let differences = differences.into_iter().filter(was_there).collect();
        Look { differences, runs }
    }

    pub fn explain(&self, difference: &Difference) -> Finding {
        let container = difference.container();
        difference.explain(container.and_then(|container| self.runs.get(container)))
    }
}

/// Looks at this node, and mends it when it is to: what an agent that runs answers for stays its.
pub async fn audit(flags: &Flags, repairs: bool) -> Result<Audit, AuditError> {
    let user = nix::unistd::geteuid();
    if !user.is_root() {
        return Err(AuditError::NotRoot(user));
    }
    let node = Node::of(flags)?;
    let first = blocking(&node, |node| node.look(node.asker())).await??;
    let agent = holder_of(&node.scope.runtime_dir);
    if first.differences.is_empty() {
        let findings = Vec::new();
        return Ok(Audit { agent, findings });
    }
    tokio::time::sleep(MOMENT).await;
    let lock = match (repairs, agent) {
        (true, None) => lock(&node).await?,
        (true, Some(_)) | (false, _) => None,
    };
    // With the lock in our hands no agent runs, although somebody holds it.
    let is_alone = lock.is_some();
    let second = blocking(&node, move |node| {
        node.look(if is_alone {
            Asker::WithoutAgent
        } else {
            node.asker()
        })
    });
    let look = Look::lasting(&first.differences, second.await??);
    let findings = match repairs {
        true => repaired(&node, flags, look, is_alone).await?,
        false => look.differences.iter().map(|it| look.explain(it)).collect(),
    };
    drop(lock);
    Ok(Audit { agent, findings })
}

async fn blocking<T: Send + 'static>(
    node: &Node,
    work: impl FnOnce(&Node) -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    let node = node.clone();
    tokio::task::spawn_blocking(move || work(&node)).await
}

/// `None` when an agent has come up meanwhile.
async fn lock(node: &Node) -> Result<Option<Lock>, AuditError> {
    let taken = blocking(node, |node| {
        Lock::take(&node.scope.runtime_dir, &node.paths)
    });
    match taken.await? {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::InUse { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn repaired(
    node: &Node,
    flags: &Flags,
    look: Look,
    is_alone: bool,
) -> Result<Vec<Finding>, AuditError> {
    let orphans: Vec<_> = look.differences.iter().filter_map(orphan).collect();
    let mut ended = BTreeMap::new();
    let mut findings = Vec::new();
    for difference in &look.differences {
        let mut finding = look.explain(difference);
        let can = matches!(finding.remedy, Remedy::Repair(_));
        finding.outcome = match orphan(difference) {
            _ if !can => Outcome::Untried,
            // An agent that has come up since has taken them over.
            Some(_) if !is_alone => Outcome::Untried,
            Some(container) => {
                // Mounts in their places come before them, and are gone by now.
                if ended.is_empty() {
                    ended = end_orphans(config(node, flags), &orphans).await?;
                }
                ended.remove(container).unwrap_or(Outcome::Untried)
            }
            None => {
                let difference = difference.clone();
                blocking(node, move |node| mend(node, &difference)).await?
            }
        };
        findings.push(finding);
    }
    Ok(findings)
}

fn orphan(difference: &Difference) -> Option<&str> {
    match difference {
        Difference::Container(audit::Difference::Orphan { container, .. }) => Some(container),
        _ => None,
    }
}

/// As far as it matters for containers that end.
fn config(node: &Node, flags: &Flags) -> containerizer::Config {
    containerizer::Config {
        runtime_dir: node.scope.runtime_dir.clone(),
        cgroups_hierarchy: flags.cgroups_hierarchy.clone(),
        cgroups_root: flags.cgroups_root.clone(),
        cgroups_enable_cfs: flags.cgroups_enable_cfs,
        cgroups_destroy_timeout: flags.cgroups_destroy_timeout,
        hidden: vec![node.paths.meta()],
        seccomp: Profile::builtin(),
    }
}
