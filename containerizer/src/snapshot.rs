//! What monitors poll: all that a container uses at one moment.

use std::sync::OnceLock;

use isolators::cgroups::{Cgroup, PressureCounts, PressureLevels, Statistics, StatisticsError};
use isolators::network::{ProtocolCounters, Traffic};

#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub cgroup: Statistics,
    /// cgroup v1: since the container was first asked.
    pub pressure_counts: Option<PressureCounts>,
    /// `None` where its network is the host's.
    pub network: Option<NetworkUse>,
}

/// Of a network of the container's own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NetworkUse {
    pub traffic: Traffic,
    pub protocols: Vec<ProtocolCounters>,
}

/// Made when it is first asked: a launch does not wait for it, and a container that nobody monitors has
/// none.
#[derive(Debug, Default)]
pub struct PressureMeter(OnceLock<Option<PressureLevels>>);

impl PressureMeter {
    pub fn read(&self, cgroup: &Cgroup) -> Option<PressureCounts> {
        let levels = self.0.get_or_init(|| begin(cgroup));
        levels.as_ref().map(PressureLevels::counts)
    }
}

fn begin(cgroup: &Cgroup) -> Option<PressureLevels> {
    let begun = cgroup.count_pressure();
    // It may have ended a moment ago, and is not asked again then.
    begun.unwrap_or_else(|error| {
        tracing::debug!(cgroup = %cgroup.path().display(), %error, "memory pressure is not counted");
        None
    })
}

pub fn take(
    cgroup: &Cgroup,
    meter: &PressureMeter,
    network: Option<NetworkUse>,
) -> Result<Snapshot, StatisticsError> {
    // Before what fails once the cgroup is gone: its removal counts as an event, too.
    let pressure_counts = meter.read(cgroup);
    Ok(Snapshot {
        cgroup: cgroup.statistics()?,
        pressure_counts,
        network,
    })
}
