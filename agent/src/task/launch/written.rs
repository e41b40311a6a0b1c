//! That a task has been written down, which goes on beside the making of its sandbox: both wait for the disk.

use proto::error::chain;
use tokio::sync::oneshot;

use super::LaunchError;
use crate::gc;
use crate::paths::{Paths, Run};

/// From then on a restart knows of the task. Before, nothing is done for it but making its sandbox, which an
/// agent that dies leaves to the garbage collection.
#[derive(Debug)]
pub struct Written(oneshot::Receiver<Result<(), String>>);

impl Written {
    /// And where it is to be said: that it is, or why it cannot be, in one line.
    pub fn pending() -> (oneshot::Sender<Result<(), String>>, Written) {
        let (tell, written) = oneshot::channel();
        (tell, Written(written))
    }

    pub(super) async fn wait(self) -> Result<(), LaunchError> {
        match self.0.await {
            Ok(written) => written.map_err(LaunchError::Unwritten),
            Err(_the_agent_has_gone) => Err(LaunchError::Unheard),
        }
    }
}

/// Removes what was made for a task that cannot be written down: a sandbox that no record explains, and that
/// nothing was done in.
pub(super) async fn take_back(paths: Paths, run: Run) {
    let removed = tokio::task::spawn_blocking(move || gc::remove(&paths, &run)).await;
    let why = match removed {
        Ok(Ok(())) => return,
        Ok(Err(error)) => chain(&error),
        Err(error) => chain(&error),
    };
    tracing::warn!(why, "an unused sandbox stays until garbage collection");
}
