//! Each resource in the files of the kernel, and within the container.

use std::fs;

use serde_json::json;

use crate::support::Host;

#[tokio::test]
async fn root_every_resource_of_a_spec_is_in_its_file() {
    let host = Host::new("files");
    let asked = json!({
        "pids": {"limit": 77},
        "memory": {"limit": 67_108_864, "swap": 134_217_728, "reservation": 33_554_432},
        "cpu": {
            "shares": 2048, "quota": 50_000, "period": 50_000, "burst": 20_000,
            "cpus": "0", "mems": "0",
        },
    });
    let container = host.launched("sleep 1000", asked).await;
    host.holds(&[
        ("pids.max", "77"),
        ("cpuset.cpus", "0"),
        ("cpuset.mems", "0"),
    ]);
    host.holds(host.either(
        &[
            ("memory.limit_in_bytes", "67108864"),
            ("memory.memsw.limit_in_bytes", "134217728"),
            ("memory.soft_limit_in_bytes", "33554432"),
            ("cpu.shares", "2048"),
            ("cpu.cfs_quota_us", "50000"),
            ("cpu.cfs_period_us", "50000"),
            ("cpu.cfs_burst_us", "20000"),
        ],
        &[
            ("memory.max", "67108864"),
            ("memory.swap.max", "67108864"),
            ("memory.low", "33554432"),
            ("cpu.weight", "174"),
            ("cpu.max", "50000 50000"),
        ],
    ));
    host.end(&container).await;
    host.finish();
}

#[tokio::test]
async fn root_a_container_lives_within_its_processors_and_its_number_of_processes() {
    let host = Host::new("inside");
    let asked = json!({"pids": {"limit": 12}, "cpu": {"cpus": "0"}});
    // Not bash itself, which tries again for half a minute.
    let command = "grep Cpus_allowed_list /proc/self/status
        sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do sleep 1000 & done'";
    let said = host.output(command, asked).await;
    assert!(said.contains("Cpus_allowed_list:\t0\n"), "{said}");
    assert!(said.contains("fork"), "{said}");
    host.finish();
}

#[tokio::test]
async fn root_a_disk_is_read_as_fast_as_it_may_be() {
    let host = Host::new("io");
    let Some(device) = disk() else {
        panic!("no block device to limit");
    };
    let (major, minor) = device.split_once(':').expect("two numbers");
    let number = |text: &str| text.trim().parse::<u32>().expect("a number");
    let (major, minor) = (number(major), number(minor));
    let limit = json!([{"major": major, "minor": minor, "rate": 1_048_576}]);
    let asked = json!({"blockIO": {"throttleReadBpsDevice": limit}});
    let container = host.launched("sleep 1000", asked).await;
    let (file, line) = host.either(
        (
            "blkio.throttle.read_bps_device",
            format!("{major}:{minor} 1048576"),
        ),
        (
            "io.max",
            format!("{major}:{minor} rbps=1048576 wbps=max riops=max wiops=max"),
        ),
    );
    host.holds(&[(file, &line)]);
    host.end(&container).await;
    host.finish();
}

/// Of one that has a queue, as `MAJOR:MINOR`.
fn disk() -> Option<String> {
    let disks = fs::read_dir("/sys/block").ok()?;
    let mut disks: Vec<_> = disks
        .flatten()
        .map(|disk| disk.path().join("dev"))
        .collect();
    disks.sort();
    disks.iter().find_map(|dev| fs::read_to_string(dev).ok())
}

#[tokio::test]
async fn root_what_cannot_be_set_is_refused_by_name_and_leaves_nothing() {
    let host = Host::new("refused");
    // Whether or not the host has the controllers: it has no such page size and no such device.
    let table = [
        (
            json!({"hugepageLimits": [{"pageSize": "3MB", "limit": 5}]}),
            "hugetlb",
        ),
        (json!({"rdma": {"none": {"hcaHandles": 5}}}), "rdma"),
        (json!({"cpu": {"cpus": "4000"}}), "cpuset.cpus"),
        (
            json!({"unified": {"memory.nonsense": "5"}}),
            host.either("unified is an invalid configuration", "memory.nonsense"),
        ),
    ];
    let network = json!({"network": {"classID": 5}});
    let not_on_v2 = host
        .is_v2()
        .then_some((network, "cgroup v2 has no net_cls"));
    for (asked, reason) in table.into_iter().chain(not_on_v2) {
        let refusal = host.refusal(asked).await;
        assert!(refusal.contains(reason), "{refusal}");
        assert!(
            !host.directory_of("memory").exists(),
            "left after {refusal}"
        );
    }
    host.finish();
}

#[tokio::test]
async fn root_files_of_v2_are_set_by_name() {
    let host = Host::new("unified");
    if host.is_v2() {
        let asked = json!({"unified": {"memory.high": "33554432", "memory.oom.group": "1"}});
        let container = host.launched("sleep 1000", asked).await;
        host.holds(&[("memory.high", "33554432"), ("memory.oom.group", "1")]);
        host.end(&container).await;
    } else {
        let refusal = host.refusal(json!({"unified": {"memory.high": "5"}})).await;
        assert!(
            refusal.contains("memory.high by its classic field"),
            "{refusal}"
        );
    }
    host.finish();
}
