//! What the kernel counts for a container, against what it is known to have done.

use std::fs;
use std::time::Duration;

use containerizer::{PressureCounts, Snapshot};
use serde_json::json;

use crate::support::{Host, until};

#[tokio::test]
async fn root_what_a_container_has_used_is_told_in_detail() {
    let host = Host::new("details");
    let asked = json!({
        "pids": {"limit": 50},
        "memory": {"limit": 134_217_728},
        "cpu": {"quota": 100_000, "period": 100_000},
    });
    // 5 MB in a file that nobody has written to a disk yet, processor time in user space, and time in
    // the kernel.
    let command = "head -c 5000000 /dev/zero >file
        i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done
        head -c 30000000 /dev/zero >/dev/null
        echo done; exec sleep 1000";
    let container = host.launched(command, asked).await;
    until("done", || host.said().contains("done")).await;
    let details = container.details().expect("counted");
    let basic = &details.basic;
    assert!(basic.cpus_user > Duration::from_millis(1), "{details:?}");
    assert!(basic.cpus_system > Duration::from_millis(1), "{details:?}");
    assert!(
        basic.cpus_nr_periods.is_some_and(|periods| periods > 0),
        "{details:?}"
    );
    assert_eq!(basic.mem_limit, Some(128 << 20));
    assert_eq!(details.memory.limit, Some(128 << 20));
    assert!(details.memory.now > 1 << 20, "{details:?}");
    assert_eq!(details.oom_kills, 0);
    let pids = details.pids.clone().expect("pids are counted");
    assert_eq!((pids.limit, pids.hits), (Some(50), Some(0)));
    assert_eq!(Some(pids.now), basic.threads);
    assert!(!details.memory_stat.is_empty());
    if host.is_v2() {
        assert!(basic.pressure.cpu.is_some(), "{details:?}");
        assert!(details.memory_stat.contains_key("anon"), "{details:?}");
        assert!(details.cpus.is_empty());
    } else {
        assert!(
            details.memory.peak >= Some(details.memory.now),
            "{details:?}"
        );
        assert!(details.memory_stat.contains_key("total_rss"), "{details:?}");
        let each: Duration = details.cpus.iter().sum();
        // What is user time is only sampled there, and may be told as more than it was.
        assert!(each * 2 >= basic.cpus_user, "{details:?}");
        assert_eq!(basic.pressure.cpu, None);
    }
    host.end(&container).await;
    host.finish();
}

#[tokio::test]
async fn root_a_limit_of_processes_that_was_in_the_way_is_counted() {
    let host = Host::new("hits");
    let command = "sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done'; echo done; sleep 1000";
    let container = host.launched(command, json!({"pids": {"limit": 6}})).await;
    until("fork is refused", || host.said().contains("fork")).await;
    let details = container.details().expect("counted");
    let hits = details.pids.and_then(|pids| pids.hits);
    assert!(hits.is_some_and(|hits| hits > 0), "{hits:?}");
    host.end(&container).await;
    host.finish();
}

#[tokio::test]
async fn root_pressure_on_memory_is_counted_on_v1_and_measured_on_v2() {
    let host = Host::new("pressure");
    let asked = json!({"memory": {"limit": 33_554_432}});
    // Four times what fits, read again and again once somebody has asked. A guest of v2 keeps its files
    // in memory, where they do not fit.
    let bytes = host.either(128 << 20, 1 << 20);
    let command = format!(
        "head -c {bytes} /dev/zero >file; echo ready
        while [ ! -e go ]; do sleep 0.01; done
        for i in 1 2 3 4; do cat file >/dev/null; done; echo done; exec sleep 1000"
    );
    let container = host.launched(&command, asked).await;
    until("ready", || host.said().contains("ready")).await;
    let before = container.snapshot().expect("counted");
    fs::write(host.sandbox().join("go"), "").expect("writes");
    until("done", || host.said().contains("done")).await;
    let after = container.snapshot().expect("counted");
    if host.is_v2() {
        assert_eq!(after.pressure_counts, None);
        let stalled = |snapshot: Snapshot| {
            let pressure = snapshot.cgroup.pressure.memory;
            pressure.expect("measured").some.total
        };
        assert!(stalled(after) >= stalled(before));
    } else {
        let PressureCounts {
            low,
            medium,
            critical,
        } = after.pressure_counts.expect("counted");
        assert!(low > 0, "{after:?}");
        assert!(low >= medium && medium >= critical, "{after:?}");
        let again = container.snapshot().expect("counted");
        let again = again.pressure_counts.expect("counted");
        assert!(again.low >= low, "what was read is not lost: {again:?}");
    }
    host.end(&container).await;
    host.finish();
}
