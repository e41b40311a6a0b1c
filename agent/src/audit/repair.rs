//! Carries out what a difference says that a repair does.

use std::collections::BTreeMap;

use containerizer::audit::{self, RepairError};
use containerizer::{Containerizer, OpenError, RecordError};
use isolators::ContainerId;
use proto::error::chain;

use super::difference::{Difference, Outcome};
use super::node::Node;
use crate::adoption;
use crate::checkpoint::{self, CheckpointError, Durability};
use crate::container::Container;
use crate::lock::holder_of;
use crate::paths;
use crate::quota::{UnownedError, disown};
use crate::sandbox::{self, SandboxError};

#[derive(Debug, thiserror::Error)]
enum MendError {
    #[error(transparent)]
    Container(#[from] RepairError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Project(#[from] UnownedError),
    #[error("the agent that runs here does it by itself, within a minute")]
    Agents,
    #[error(transparent)]
    Leases(#[from] network::JournalError),
    #[error(transparent)]
    Bridge(#[from] network::HostError),
    #[error(transparent)]
    Release(#[from] network::AttachError),
    #[error(transparent)]
    Attachments(#[from] cni::JournalError),
    #[error(transparent)]
    Plugins(#[from] cni::ReleaseError),
    #[error("its other half is back: somebody makes use of it")]
    InUse,
    #[error("it is not for a repair to decide")]
    NotOurs,
}

/// One that is not an orphan. Blocks.
pub fn mend(node: &Node, difference: &Difference) -> Outcome {
    match attempt(node, difference) {
        Ok(()) => Outcome::Repaired,
        Err(error) => Outcome::Failed(chain(&error)),
    }
}

fn attempt(node: &Node, difference: &Difference) -> Result<(), MendError> {
    let paths = &node.paths;
    match difference {
        Difference::Container(difference) => Ok(audit::repair(&node.scope, difference)?),
        Difference::Sandbox { run, .. } => {
            // Alone it says that the run is over, and of which there is nothing more to tell.
            unless(paths.meta_run(run).exists())?;
            Ok(checkpoint::replace(
                &paths.sentinel(run),
                b"",
                Durability::Process,
            )?)
        }
        // Root's own: its task goes on in the one that was removed.
        Difference::Checkpoint { run, .. } => {
            unless(paths.sandbox(run).exists())?;
            sandbox::create(paths, run, None)?.give_away()?;
            Ok(())
        }
        Difference::Project(used) => Ok(disown(paths, node.projects, used.project)?),
        Difference::Network(difference) => mend_network(node, difference),
        Difference::Attachment { container } => {
            ours_alone(node)?;
            Ok(cni::Node::recover(node.named.clone())?.release(container)?)
        }
        Difference::Mount { .. }
        | Difference::Loop { .. }
        | Difference::Port { .. }
        | Difference::Listener(_) => Err(MendError::NotOurs),
    }
}

/// The agent that runs knows which addresses it has given away.
fn mend_network(node: &Node, difference: &network::audit::Difference) -> Result<(), MendError> {
    ours_alone(node)?;
    let directory = paths::network(&node.scope.runtime_dir);
    let bridge = network::Node::recover(node.bridge.clone(), &directory)?;
    if let network::audit::Difference::Lease { container } = difference {
        bridge.release(container)?;
    }
    Ok(bridge.mend()?)
}

/// With the lock in our hands no agent runs.
fn ours_alone(node: &Node) -> Result<(), MendError> {
    match holder_of(&node.scope.runtime_dir) {
        Some(pid) if pid == std::process::id() => Ok(()),
        _ => Err(MendError::Agents),
    }
}

fn unless(in_use: bool) -> Result<(), MendError> {
    match in_use {
        true => Err(MendError::InUse),
        false => Ok(()),
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OrphansError {
    #[error("cannot prepare the host for ending containers")]
    Open(#[from] OpenError),
    #[error(transparent)]
    Records(#[from] RecordError),
}

/// Ends orphans as an agent that starts does. No agent may run meanwhile.
pub async fn end_orphans(
    config: containerizer::Config,
    orphans: &[&str],
) -> Result<BTreeMap<String, Outcome>, OrphansError> {
    let opened = tokio::task::spawn_blocking(move || Containerizer::open(config));
    let containerizer = match opened.await {
        Ok(opened) => opened?,
        // Whoever asked is on its way out.
        Err(_interrupted) => return Ok(BTreeMap::new()),
    };
    let is_meant = |id: &ContainerId| orphans.contains(&id.as_str());
    let recovered = containerizer.recover_those(is_meant).await?;
    let native = recovered.containers.into_iter().map(Container::Native);
    for ended in adoption::destroy_orphans(adoption::by_id(native), None) {
        // One that was interrupted shows by its record.
        let _ = ended.await;
    }
    containerizer.remove_cgroups_root();
    let mut failures: BTreeMap<String, String> = recovered
        .failures
        .iter()
        .map(|failure| (failure.id().to_string(), chain(failure)))
        .collect();
    let mut outcome = |id: &&str| {
        let is_there =
            ContainerId::try_from((*id).to_owned()).is_ok_and(|id| containerizer.holds(&id));
        let failure = failures.remove(*id);
        let outcome = match is_there {
            true => Outcome::Failed(failure.unwrap_or("its record is still there".to_owned())),
            false => Outcome::Repaired,
        };
        ((*id).to_owned(), outcome)
    };
    Ok(orphans.iter().map(&mut outcome).collect())
}
