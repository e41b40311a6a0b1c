//! Changing the limits of a container that runs.

use isolators::cgroups::{Cgroup, CgroupError};
use isolators::{PlanError, Request};
use oci_spec::runtime::{LinuxMemory, LinuxResources};

use crate::devices::{DevicesError, Programs};
use crate::{Container, Containerizer};

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
    #[error("cannot plan what the container is to have")]
    Plan(#[from] PlanError),
}

impl Containerizer {
    /// Gives a container that runs the processors and the memory of `request`, as its launch would. What it
    /// may take of memory only grows: what its processes have by now would cost them their lives. Of one that has
    /// ended nothing is changed, which is no error: its end is told elsewhere.
    ///
    /// Blocks. Source: spec/mesos-agent.md section 21.3.
    pub fn resize(&self, container: &Container, request: &Request) -> Result<(), UpdateError> {
        let spec = self.plan(request)?;
        let planned = (spec.linux().as_ref()).and_then(|linux| linux.resources().as_ref());
        let Some(planned) = planned else {
            return Ok(());
        };
        let now = container.snapshot();
        let memory = planned.memory().map(|memory| match now {
            Ok(now) => no_lower(memory, now.cgroup.mem_limit),
            // It may have ended a moment ago.
            Err(_untold) => memory,
        });
        let mut resources = LinuxResources::default();
        resources.set_cpu(planned.cpu().clone());
        resources.set_memory(memory);
        match container.update(&resources) {
            Err(_no_cgroup) if !container.is_there() => Ok(()),
            updated => updated,
        }
    }
}

/// Pure. `now`: `None` without a limit.
fn no_lower(mut memory: LinuxMemory, now: Option<u64>) -> LinuxMemory {
    let now = now.map_or(-1, |now| i64::try_from(now).unwrap_or(i64::MAX));
    let grown = |limit: i64| match (limit, now) {
        (-1, _) | (_, -1) => -1,
        (limit, now) => limit.max(now),
    };
    let (limit, swap) = (memory.limit().map(grown), memory.swap().map(grown));
    memory.set_limit(limit);
    memory.set_swap(swap);
    memory
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

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxMemoryBuilder;

    use super::*;

    #[test]
    fn memory_is_given_and_never_taken() {
        let of = |limit: i64, now| {
            let memory = LinuxMemoryBuilder::default().limit(limit).swap(limit);
            let memory = no_lower(memory.build().unwrap(), now);
            (memory.limit(), memory.swap())
        };
        let both = |limit| (Some(limit), Some(limit));
        assert_eq!(of(64, Some(32)), both(64));
        assert_eq!(of(32, Some(64)), both(64));
        assert_eq!(of(-1, Some(64)), both(-1));
        assert_eq!(of(64, None), both(-1));
    }
}
