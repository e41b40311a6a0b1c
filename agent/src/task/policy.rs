//! What the operator has decided for every task, where a task does not or may not say.

use isolators::{Device, Swap};

use super::namespaces::Sharing;
use crate::devices::{self, DevicesError};
use crate::flags::Flags;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    pub sharing: Sharing,
    /// Processes and threads of each, at most.
    pub pids: Option<u64>,
    pub swap: Swap,
    /// Devices that all may use.
    pub devices: Vec<Device>,
}

impl Policy {
    /// Looks up the devices that the flags name.
    pub fn of(flags: &Flags) -> Result<Self, DevicesError> {
        Ok(Self {
            sharing: Sharing {
                default_shm_size: flags.default_container_shm_size,
                refuses_ipc: flags.disallow_sharing_agent_ipc_namespace,
                refuses_pids: flags.disallow_sharing_agent_pid_namespace,
            },
            pids: flags.pids_limit,
            swap: match flags.cgroups_limit_swap {
                true => Swap::Never,
                false => Swap::Unlimited,
            },
            devices: devices::allowed(flags.allowed_devices.as_deref())?,
        })
    }
}
