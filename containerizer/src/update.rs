//! Changing the limits of a container that runs.

use isolators::cgroups::{Cgroup, CgroupError};
use oci_spec::runtime::LinuxResources;

use crate::devices::{DevicesError, Programs};

/// A change of limits that the kernel refused. What was changed before it has been changed back.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error("cannot change the container's limits")]
    Cgroup(#[from] CgroupError),
    #[error(
        "cannot change the container's devices{}{}",
        if also.is_empty() { "" } else { "; taking the other changes back failed, too: " },
        also.join("; ")
    )]
    Devices {
        source: DevicesError,
        also: Vec<String>,
    },
}

/// For a container that no containerizer holds. Sets what the resources name, and leaves the rest.
pub fn update_limits(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), UpdateError> {
    update(cgroup, resources, &Programs::default())
}

pub fn update(
    cgroup: &Cgroup,
    resources: &LinuxResources,
    programs: &Programs,
) -> Result<(), UpdateError> {
    let changed = cgroup.update(resources)?;
    let (Some(program), Some(directory)) = (changed.device_program(), cgroup.directory()) else {
        return Ok(());
    };
    match programs.replace(program, &directory) {
        Ok(()) => Ok(()),
        Err(source) => Err(UpdateError::Devices {
            source,
            also: changed.back(),
        }),
    }
}
