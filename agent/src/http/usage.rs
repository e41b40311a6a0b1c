//! What a container uses and may use, as Mesos' `ResourceStatistics`.
//!
//! Source: spec/mesos-agent.md sections 21.2 and 22.

use containerizer::{Snapshot, Statistics};
use isolators::cgroups::{Amount, DeviceIo};
use proto::task::is_terminal;
use proto::v1;
use proto::v1::cgroup_info::blkio;

use super::snmp::snmp;
use super::state::seconds;
use crate::book::{Executor, total};
use crate::host::system;
use crate::quota::Use;

const MB: f64 = (1 << 20) as f64;

/// Processors and bytes of memory; `None`: what the host has.
#[derive(Debug, PartialEq)]
struct Limits {
    cpus: Option<f64>,
    memory: Option<u64>,
}

pub fn usage(
    snapshot: &Snapshot,
    executor: &Executor,
    disk: Option<Use>,
) -> v1::ResourceStatistics {
    let Snapshot {
        cgroup: statistics,
        pressure_counts,
        network,
    } = snapshot;
    let traffic = network.as_ref().map(|network| network.traffic);
    let requested = total(&executor.resources());
    let memory = (requested.mem() * MB) as u64;
    let limits = limits(statistics, executor, requested.cpus());
    let hosts = || match limits {
        Limits {
            cpus: Some(_),
            memory: Some(_),
        } => None,
        Limits { .. } => Some(system()),
    };
    let host = hosts();
    let host = host.as_ref();
    let cpus_of_host = host.map(|host| host.cpus as f64);
    let memory_of_host = host.and_then(|host| host.memory.as_ref().map(|memory| memory.total));
    let narrow = |n: Option<u64>| n.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    v1::ResourceStatistics {
        timestamp: seconds(statistics.timestamp),
        cpus_user_time_secs: Some(statistics.cpus_user.as_secs_f64()),
        cpus_system_time_secs: Some(statistics.cpus_system.as_secs_f64()),
        cpus_soft_limit: Some(requested.cpus()),
        cpus_limit: limits.cpus.or(cpus_of_host),
        cpus_nr_periods: narrow(statistics.cpus_nr_periods),
        cpus_nr_throttled: narrow(statistics.cpus_nr_throttled),
        cpus_throttled_time_secs: statistics.cpus_throttled.map(|d| d.as_secs_f64()),
        mem_total_bytes: Some(statistics.mem_total),
        mem_total_memsw_bytes: statistics.mem_with_swap,
        mem_rss_bytes: Some(statistics.mem_rss),
        mem_anon_bytes: Some(statistics.mem_rss),
        mem_cache_bytes: Some(statistics.mem_cache),
        mem_file_bytes: Some(statistics.mem_cache),
        mem_mapped_file_bytes: Some(statistics.mem_mapped_file),
        mem_swap_bytes: statistics.mem_swap,
        mem_unevictable_bytes: Some(statistics.mem_unevictable),
        mem_kmem_usage_bytes: statistics.mem_kernel,
        mem_kmem_tcp_usage_bytes: statistics.mem_sockets,
        mem_limit_bytes: limits.memory.or(memory_of_host),
        mem_soft_limit_bytes: Some(statistics.mem_soft_limit.unwrap_or(memory)),
        disk_used_bytes: disk.and_then(|disk| disk.used),
        disk_limit_bytes: disk.and_then(|disk| disk.limit),
        processes: narrow(Some(statistics.processes)),
        threads: narrow(statistics.threads),
        blkio_statistics: block_io(&statistics.io),
        mem_low_pressure_counter: pressure_counts.map(|counts| counts.low),
        mem_medium_pressure_counter: pressure_counts.map(|counts| counts.medium),
        mem_critical_pressure_counter: pressure_counts.map(|counts| counts.critical),
        net_rx_bytes: traffic.map(|traffic| traffic.received.bytes),
        net_rx_packets: traffic.map(|traffic| traffic.received.packets),
        net_rx_errors: traffic.map(|traffic| traffic.received.errors),
        net_rx_dropped: traffic.map(|traffic| traffic.received.dropped),
        net_tx_bytes: traffic.map(|traffic| traffic.sent.bytes),
        net_tx_packets: traffic.map(|traffic| traffic.sent.packets),
        net_tx_errors: traffic.map(|traffic| traffic.sent.errors),
        net_tx_dropped: traffic.map(|traffic| traffic.sent.dropped),
        net_snmp_statistics: network
            .as_ref()
            .and_then(|network| snmp(&network.protocols)),
        ..Default::default()
    }
}

/// A limit that is not said is the request: clients read it as what the container has.
fn limits(statistics: &Statistics, executor: &Executor, requested: f64) -> Limits {
    let live: Vec<_> = executor
        .tasks()
        .filter(|task| !is_terminal(task.state()))
        .collect();
    let cpus = |task: &&v1::Task| match task.limits.get("cpus") {
        Some(limit) => limit.value,
        None => total(&task.resources).cpus(),
    };
    let limited = live.iter().any(|task| task.limits.contains_key("cpus"));
    let cpus = match limited {
        true => total(&executor.info.resources).cpus() + live.iter().map(cpus).sum::<f64>(),
        false => requested,
    };
    Limits {
        cpus: cpus.is_finite().then_some(cpus),
        memory: statistics.mem_limit,
    }
}

/// `None` where nothing was read or written, or it is not counted.
fn block_io(devices: &[DeviceIo]) -> Option<blkio::Statistics> {
    let throttling: Vec<_> = devices.iter().map(of_device).collect();
    (!throttling.is_empty()).then(|| blkio::Statistics {
        throttling,
        ..Default::default()
    })
}

fn of_device(io: &DeviceIo) -> blkio::throttling::Statistics {
    blkio::throttling::Statistics {
        device: Some(v1::device::Number {
            major_number: io.major.into(),
            minor_number: io.minor.into(),
        }),
        io_serviced: values(io.operations),
        io_service_bytes: values(io.bytes),
    }
}

fn values(amount: Amount) -> Vec<blkio::Value> {
    use blkio::Operation::{Discard, Read, Total, Write};
    let all = [amount.read, amount.written, amount.discarded];
    let sum = all.into_iter().fold(0, u64::saturating_add);
    let value = |(op, value): (blkio::Operation, u64)| blkio::Value {
        op: Some(op.into()),
        value: Some(value),
    };
    let rows = [
        (Read, amount.read),
        (Write, amount.written),
        (Discard, amount.discarded),
        (Total, sum),
    ];
    rows.into_iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, SystemTime};

    use containerizer::{Counters, NetworkUse, PressureCounts, ProtocolCounters, Traffic};
    use isolators::cgroups::Pressures;
    use proto::resources::Resources;
    use serde_json::json;

    use super::*;
    use crate::book::ExecutorState;
    use crate::paths::Run;

    fn statistics() -> Statistics {
        let amount = |read| Amount {
            read,
            written: 2,
            discarded: 0,
        };
        Statistics {
            timestamp: SystemTime::UNIX_EPOCH,
            cpus_user: Duration::from_secs(1),
            cpus_system: Duration::from_secs(2),
            cpus_nr_periods: None,
            cpus_nr_throttled: None,
            cpus_throttled: None,
            mem_total: 5,
            mem_rss: 4,
            mem_cache: 3,
            mem_mapped_file: 2,
            mem_unevictable: 1,
            mem_swap: Some(6),
            mem_with_swap: Some(11),
            mem_kernel: Some(7),
            mem_sockets: Some(8),
            mem_limit: Some(64 << 20),
            mem_soft_limit: None,
            processes: 2,
            threads: Some(3),
            io: vec![DeviceIo {
                major: 8,
                minor: 16,
                bytes: amount(4096),
                operations: amount(1),
            }],
            pressure: Pressures::default(),
        }
    }

    fn snapshot() -> Snapshot {
        let counters = |first| Counters {
            bytes: first,
            packets: first + 1,
            errors: first + 2,
            dropped: first + 3,
        };
        let traffic = Traffic {
            received: counters(21),
            sent: counters(31),
        };
        let tcp = ProtocolCounters {
            protocol: "Tcp".to_owned(),
            counters: vec![("ActiveOpens".to_owned(), 61)],
        };
        Snapshot {
            cgroup: statistics(),
            pressure_counts: Some(PressureCounts {
                low: 43,
                medium: 42,
                critical: 41,
            }),
            network: Some(NetworkUse {
                traffic,
                protocols: vec![tcp],
            }),
        }
    }

    fn executor(limit: Option<f64>) -> Executor {
        let resources = |text: &str| Resources::parse(text, "*").unwrap().to_protos();
        let limit = limit.map(|value| ("cpus".to_owned(), v1::value::Scalar { value }));
        let task = v1::Task {
            resources: resources("cpus:1;mem:32"),
            limits: limit.into_iter().collect(),
            ..Default::default()
        };
        Executor {
            kind: crate::book::Kind::Command,
            completed_tasks: Default::default(),
            members: Default::default(),
            info: v1::ExecutorInfo {
                resources: resources("cpus:0.5;mem:32"),
                ..Default::default()
            },
            run: Run {
                agent: "S0".into(),
                framework: "F".into(),
                executor: "T".into(),
                container: "C".into(),
            },
            sandbox: "/s".into(),
            state: ExecutorState::Running,
            tasks: BTreeMap::from([("T".to_owned(), Box::new(task))]),
            container: None,
        }
    }

    #[test]
    fn all_that_is_counted_has_mesos_names() {
        let disk = Use {
            used: Some(51),
            limit: Some(52),
            project: None,
        };
        let usage = usage(&snapshot(), &executor(None), Some(disk));
        let json = proto::json::to_value(&usage);
        let wanted = json!({
            "cpus_limit": 1.5, "cpus_soft_limit": 1.5, "mem_total_bytes": 5,
            "mem_total_memsw_bytes": 11, "mem_swap_bytes": 6, "mem_kmem_usage_bytes": 7,
            "mem_kmem_tcp_usage_bytes": 8, "mem_limit_bytes": 64 << 20,
            "mem_soft_limit_bytes": 64 << 20, "processes": 2, "threads": 3, "disk_used_bytes": 51, "disk_limit_bytes": 52,
            "mem_low_pressure_counter": 43, "mem_medium_pressure_counter": 42,
            "mem_critical_pressure_counter": 41,
            "net_rx_bytes": 21, "net_rx_packets": 22, "net_rx_errors": 23, "net_rx_dropped": 24,
            "net_tx_bytes": 31, "net_tx_packets": 32, "net_tx_errors": 33, "net_tx_dropped": 34,
            "net_snmp_statistics": {"tcp_stats": {"ActiveOpens": 61}},
        });
        for (key, value) in wanted.as_object().unwrap() {
            assert_eq!(json[key], *value, "{key}");
        }
        let device = &json["blkio_statistics"]["throttling"][0];
        assert_eq!(
            device["device"],
            json!({"major_number": 8, "minor_number": 16})
        );
        let total = |values: &serde_json::Value| values[3].clone();
        assert_eq!(
            total(&device["io_service_bytes"]),
            json!({"op": "TOTAL", "value": 4098})
        );
        assert_eq!(
            total(&device["io_serviced"]),
            json!({"op": "TOTAL", "value": 3})
        );
        let idle = Snapshot {
            cgroup: Statistics {
                io: vec![],
                ..statistics()
            },
            pressure_counts: None,
            network: None,
        };
        let usage = super::usage(&idle, &executor(None), None);
        assert_eq!(usage.blkio_statistics, None);
        let json = proto::json::to_value(&usage);
        let keys = json.as_object().unwrap().keys();
        // Of the host's network nothing is told.
        let untold = |key: &&String| key.starts_with("net_") || key.contains("_pressure_");
        assert_eq!(keys.filter(untold).count(), 0);
    }

    #[test]
    fn a_limit_is_the_tasks_and_the_overhead_or_what_the_host_has() {
        let limited = |limit| limits(&statistics(), &executor(limit), 1.5).cpus;
        assert_eq!(limited(None), Some(1.5));
        assert_eq!(limited(Some(2.0)), Some(2.5));
        assert_eq!(limited(Some(f64::INFINITY)), None);
        let free = Snapshot {
            cgroup: Statistics {
                mem_limit: None,
                ..statistics()
            },
            ..snapshot()
        };
        let usage = usage(&free, &executor(Some(f64::INFINITY)), None);
        let host = system();
        assert_eq!(usage.cpus_limit, Some(host.cpus as f64));
        assert_eq!(
            usage.mem_limit_bytes,
            host.memory.map(|memory| memory.total)
        );
    }
}
