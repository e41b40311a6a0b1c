//! Who an agent is: the one of before, or a new one.

use proto::v1;

use super::StartError;
use crate::checkpoint::{self, CheckpointError, Durability};
use crate::config::Config;
use crate::flags::Flags;
use crate::host::boot_id;
use crate::paths::Paths;
use crate::recovery::{self, Recover, RecoveryError, Stored};

/// The agent of before, or a new one.
pub fn identity(
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
pub async fn remember(
    paths: &Paths,
    stored: &Stored,
    info: &v1::AgentInfo,
) -> Result<(), StartError> {
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
