//! `longshore cleanup`: takes away what an agent has left on its node for the networks of tasks.

use network::{AttachError, HostError, JournalError, Node};

use crate::flags::Flags;
use crate::lock::{Lock, LockError};
use crate::paths::{self, Paths};

#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    #[error("a clean-up must run as root, this is user {0}")]
    NotRoot(nix::unistd::Uid),
    #[error("cannot make sure that no agent runs here")]
    Agent(#[from] LockError),
    #[error(
        "container {0} runs and has a network of its own: end it first, for example with longshore agent \
         --recover=cleanup"
    )]
    InUse(String),
    #[error(transparent)]
    Settings(#[from] network::BadSettings),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Release(#[from] AttachError),
    #[error(transparent)]
    NamedJournal(#[from] cni::JournalError),
    #[error("cannot take away what container {0} had of its networks")]
    Named(String, #[source] cni::ReleaseError),
    #[error("cannot remove the node's bridge and its rules")]
    Host(#[from] HostError),
}

/// Of an agent with these flags, which must not run. Blocks.
pub fn cleanup(flags: &Flags) -> Result<(), CleanupError> {
    let user = nix::unistd::geteuid();
    if !user.is_root() {
        return Err(CleanupError::NotRoot(user));
    }
    let settings = network::Settings::try_from(&flags.network)?;
    let directory = paths::network(&flags.runtime_dir);
    if !flags.runtime_dir.exists() {
        return Ok(network::remove(&settings)?);
    }
    let _held = Lock::take(&flags.runtime_dir, &Paths::new(&flags.work_dir))?;
    let node = Node::recover(settings, &directory)?;
    let named = cni::Node::recover(flags.network.named(&flags.runtime_dir, &flags.work_dir))?;
    let (leased, connected) = (node.containers(), named.containers());
    let is_there = |id: &&String| containerizer::runtime_dir::is_recorded(&flags.runtime_dir, id);
    if let Some(runs) = leased.iter().chain(&connected).find(is_there) {
        return Err(CleanupError::InUse(runs.clone()));
    }
    for container in &connected {
        let released = named.release(container);
        released.map_err(|error| CleanupError::Named(container.clone(), error))?;
    }
    for container in &leased {
        node.release(container)?;
    }
    Ok(node.remove()?)
}
