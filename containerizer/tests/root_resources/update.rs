//! Limits of a running container, changed.

use serde_json::json;

use crate::support::{Host, chain, resources};

#[tokio::test]
async fn root_limits_of_a_running_container_can_be_raised_and_lowered() {
    let host = Host::new("update");
    let memory = |limit: u64| json!({"limit": limit, "swap": 2 * limit});
    let asked = json!({"memory": memory(64 << 20), "cpu": {"quota": 10_000, "period": 20_000}});
    let container = host.launched("sleep 1000", asked).await;
    for (limit, quota, period) in [
        (256_u64 << 20, 50_000, 100_000),
        (32 << 20, 5000, 10_000),
        (64 << 20, 20_000, 20_000),
    ] {
        let cpu = json!({"quota": quota, "period": period, "burst": quota / 2});
        let change = json!({"memory": memory(limit), "cpu": cpu, "pids": {"limit": 50}});
        container
            .update(&resources(change))
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        let (limit, both) = (limit.to_string(), (2 * limit).to_string());
        let (quota, period, max) = (
            quota.to_string(),
            period.to_string(),
            format!("{quota} {period}"),
        );
        host.holds(&[("pids.max", "50")]);
        if host.is_v2() {
            host.holds(&[
                ("memory.max", &limit),
                ("memory.swap.max", &limit),
                ("cpu.max", &max),
            ]);
        } else {
            host.holds(&[
                ("memory.limit_in_bytes", &limit),
                ("memory.memsw.limit_in_bytes", &both),
                ("cpu.cfs_quota_us", &quota),
                ("cpu.cfs_period_us", &period),
            ]);
        }
    }
    host.end(&container).await;
    host.finish();
}

#[tokio::test]
async fn root_a_controller_that_a_container_does_without_can_be_had_later() {
    let host = Host::new("later");
    let container = host.launched("sleep 1000 & sleep 1000", json!({})).await;
    if !host.is_v2() {
        assert!(!host.directory_of("cpuset").exists());
    }
    let change = resources(json!({"cpu": {"cpus": "0"}}));
    host.find().update(&change).expect("changes");
    host.holds(&[("cpuset.cpus", "0")]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid()));
    let status = status.expect("runs");
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    host.end(&container).await;
    host.finish();
}

#[tokio::test]
async fn root_a_change_that_is_refused_half_way_is_taken_back() {
    let host = Host::new("halfway");
    let asked = json!({
        "pids": {"limit": 30},
        "memory": {"limit": 67_108_864},
        "cpu": {"cpus": "0", "quota": 10_000},
    });
    let container = host.launched("sleep 1000", asked).await;
    let change = json!({
        "pids": {"limit": 60},
        "memory": {"limit": 134_217_728},
        "cpu": {"cpus": "4000", "quota": 20_000},
    });
    let error = container.update(&resources(change)).expect_err("refused");
    let told = chain(&error);
    assert!(told.contains("cannot write \"4000\" to "), "{told}");
    assert!(told.contains("c1/cpuset.cpus"), "{told}");
    let memory = host.either("memory.limit_in_bytes", "memory.max");
    host.holds(&[
        ("pids.max", "30"),
        (memory, "67108864"),
        ("cpuset.cpus", "0"),
    ]);
    host.end(&container).await;
    host.finish();
}

#[tokio::test]
async fn root_a_container_that_has_ended_gets_no_cgroup_any_more() {
    let host = Host::new("ended");
    let container = host.launched("sleep 1000", json!({})).await;
    host.end(&container).await;
    for change in [
        json!({"memory": {"limit": 67_108_864}, "cpu": {"cpus": "0"}}),
        // Of controllers that every container has, as when an executor's tasks come and go.
        json!({"memory": {"limit": 67_108_864}, "cpu": {"shares": 512}}),
        json!({"pids": {"limit": 30}}),
    ] {
        let changed = container.update(&resources(change));
        changed.expect_err("it has ended");
    }
    host.finish();
}
