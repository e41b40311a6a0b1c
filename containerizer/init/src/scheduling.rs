//! How the kernel runs the command.

use init::Scheduling;

use crate::failure::{Failure, because};
use crate::sys;

/// Only the command: a process with a deadline could not even fork.
pub fn apply(scheduling: &Scheduling) -> Result<(), Failure> {
    if let Some(personality) = scheduling.personality {
        sys::set_personality(personality)
            .map_err(because(format!("set personality {personality:#x}")))?;
    }
    if let Some(priority) = scheduling.io_priority {
        sys::set_io_priority(priority)
            .map_err(because(format!("set I/O priority {priority:#x}")))?;
    }
    if let Some(policy) = &scheduling.memory_policy {
        sys::set_memory_policy(policy.mode, &policy.nodes).map_err(because(format!(
            "set {policy:?} (does this machine have these nodes?)"
        )))?;
    }
    if let Some(scheduler) = &scheduling.scheduler {
        sys::set_scheduler(scheduler).map_err(because(format!("set {scheduler:?}")))?;
    }
    Ok(())
}
