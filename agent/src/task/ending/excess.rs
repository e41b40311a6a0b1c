//! What is reported of a task that took more than it may have.

use containerizer::OutOfMemory;
use proto::resources::Resources;
use proto::v1::task_status::Reason;
use proto::v1::{self, TaskState};

use super::chain::{self, megabytes};
use super::{Report, linked};
use crate::excess::Excess;
use crate::ports::Listening;
use crate::quota::{Overrun, amount};

/// More than it may have of what no limit of the kernel keeps it from.
pub fn exceeded(excess: &Excess) -> Report {
    match excess {
        Excess::Disk(overrun) => disk_exceeded(overrun),
        Excess::Ports(listening) => ports_exceeded(listening),
    }
}

/// Mesos' own words.
fn ports_exceeded(listening: &Listening) -> Report {
    let Listening { container, ports } = listening;
    let message = format!("Container {container} is listening on unallocated port(s): {ports}");
    let reason = Reason::ContainerLimitation;
    let mut report = Report::agent(TaskState::TaskFailed, reason, message);
    let resources = Resources::parse(&format!("ports:{ports}"), "*");
    // They are written here, and nowhere else.
    let resources = resources.map(|it| it.to_protos()).unwrap_or_default();
    report.limitation = Some(v1::TaskResourceLimitation { resources });
    report
}

/// Mesos' own words, and where most of it is.
fn disk_exceeded(overrun: &Overrun) -> Report {
    let Overrun { used, limit, .. } = overrun;
    let words = format!(
        "Disk usage ({}) exceeds quota ({})",
        amount(*used),
        amount(*limit)
    );
    let largest = format!("largest directories: {}", overrun.largest);
    let links = Some(largest).filter(|_| !overrun.largest.is_empty());
    let reason = Reason::ContainerLimitationDisk;
    let mut report = Report::agent(TaskState::TaskFailed, reason, linked(words, links));
    report.limitation = Some(limitation("disk", *used));
    report
}

fn limitation(resource: &str, bytes: u64) -> v1::TaskResourceLimitation {
    v1::TaskResourceLimitation {
        resources: vec![v1::Resource {
            name: resource.to_owned(),
            r#type: v1::value::Type::Scalar as i32,
            scalar: Some(v1::value::Scalar {
                value: bytes as f64 / f64::from(1 << 20),
            }),
            ..Default::default()
        }],
    }
}

pub(super) fn memory_exceeded(out_of_memory: &OutOfMemory) -> Report {
    let requested = match out_of_memory.limit {
        Some(limit) => format!("Requested: {}MB", megabytes(limit)),
        None => {
            "the task has no limit of its own, its group or the host ran out of memory:".to_owned()
        }
    };
    let words = format!(
        "Memory limit exceeded: {requested} Maximum Used: {}MB",
        megabytes(out_of_memory.peak)
    );
    let mut report = Report::agent(
        TaskState::TaskFailed,
        Reason::ContainerLimitationMemory,
        linked(words, chain::of_memory(out_of_memory)),
    );
    report.limitation = Some(limitation("mem", out_of_memory.peak));
    report
}

#[cfg(test)]
mod tests {
    use proto::resources::Ranges;

    use super::*;

    #[test]
    fn a_task_that_listens_elsewhere_says_where() {
        let report = exceeded(&Excess::Ports(Listening {
            container: "c1".into(),
            ports: "[80-80, 8080-8081]".into(),
        }));
        assert_eq!(report.state, TaskState::TaskFailed);
        assert_eq!(report.reason, Some(Reason::ContainerLimitation));
        assert_eq!(
            report.message.as_deref(),
            Some("Container c1 is listening on unallocated port(s): [80-80, 8080-8081]")
        );
        let limitation = report.limitation.unwrap().resources;
        let ports = Resources::from_protos(&limitation).unwrap().ports();
        assert_eq!(ports, Ranges::parse("[80-80, 8080-8081]").unwrap());
    }

    #[test]
    fn a_task_that_filled_its_disk_says_how_far_and_where() {
        let report = disk_exceeded(&Overrun {
            used: 70 << 20,
            limit: 64 << 20,
            largest: "cache (60MB), . (8MB)".into(),
        });
        assert_eq!(report.state, TaskState::TaskFailed);
        assert_eq!(report.reason, Some(Reason::ContainerLimitationDisk));
        assert_eq!(
            report.message.as_deref(),
            Some(
                "Disk usage (70MB) exceeds quota (64MB); largest directories: cache (60MB), . (8MB)"
            )
        );
        let limitation = report.limitation.unwrap().resources.remove(0);
        let value = limitation.scalar.map(|scalar| scalar.value);
        assert_eq!((limitation.name.as_str(), value), ("disk", Some(70.0)));
    }
}
