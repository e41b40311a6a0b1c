//! What tasks of an agent with these flags may do, for those who try out whether that holds.

use isolators::seccomp::Profile;
use isolators::{CapabilitySets, Device, Swap};

use crate::flags::Flags;
use crate::start::StartError;
use crate::task::policy::Policy;
use crate::{config, profiles};

/// Of tasks that ask for nothing else.
#[derive(Debug, Clone)]
pub struct Rights {
    pub seccomp: Profile,
    pub capabilities: CapabilitySets,
    /// Processes and threads, at most.
    pub pids: Option<u64>,
    pub swap: Swap,
    /// Beside those that every container may use.
    pub devices: Vec<Device>,
}

impl Rights {
    /// Reads the files that the flags name.
    pub fn of(flags: &Flags) -> Result<Self, StartError> {
        let policy = Policy::of(flags)?;
        Ok(Self {
            seccomp: profiles::of_tasks(flags)?,
            capabilities: config::capabilities(flags)?,
            pids: policy.pids,
            swap: policy.swap,
            devices: policy.devices,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::parse;

    #[test]
    fn rights_are_what_the_flags_say() {
        let default = Rights::of(&parse(&[])).unwrap();
        assert_eq!((default.pids, default.swap), (None, Swap::Unlimited));
        assert_eq!(default.devices, []);
        let devices =
            r#"{"allowed_devices": [{"device": {"path": "/dev/full"}, "access": {"read": true}}]}"#;
        let devices = format!("--allowed_devices={devices}");
        let rights = Rights::of(&parse(&[
            "--pids_limit=9",
            "--cgroups_limit_swap",
            &devices,
        ]));
        let rights = rights.unwrap();
        assert_eq!((rights.pids, rights.swap), (Some(9), Swap::Never));
        let device = rights.devices.first().unwrap();
        assert_eq!((device.major, device.minor), (1, 7));
        let missing = r#"--allowed_devices={"allowed_devices": [{"device": {"path": "/no"}, "access": {"read": true}}]}"#;
        assert!(Rights::of(&parse(&[missing])).is_err());
    }
}
