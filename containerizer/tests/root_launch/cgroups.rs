//! What the kernel knows of a container's limits, and containers that it gives no cgroup.

use std::fs;
use std::path::PathBuf;

use containerizer::Containerizer;
use isolators::cgroups::Hierarchy;
use isolators::{Limit, Request, Share};

use crate::support::{Host, cgroups};

/// A path in our subtree, in the hierarchy of the controller that its last part is named after. On
/// v2 there is one for all.
fn file(host: &Host, path: &str) -> PathBuf {
    let last = path.rsplit('/').next().unwrap_or(path);
    let controller = last.split('.').next().unwrap_or(last);
    let mount = match host.hierarchy() {
        Hierarchy::V1(mounts) => {
            let mut mounts = mounts.into_iter();
            let found = mounts.find(|mount| mount.controllers.iter().any(|c| c == controller));
            found.expect("a mount of the controller").path
        }
        Hierarchy::V2(mount) => mount,
    };
    mount.join(&host.config.cgroups_root).join(path)
}

/// Launches the request, and holds these files of its cgroup against what should be in them.
async fn has_limits(host: &Host, request: &Request, expected: &[(&str, &str)]) {
    let container = host.launch(request).await.expect("launches");
    for (name, value) in expected {
        let path = file(host, &format!("c1/{name}"));
        let content = fs::read_to_string(&path).expect("reads");
        assert_eq!(content.trim_end(), *value, "{}", path.display());
        let members = match host.hierarchy() {
            Hierarchy::V1(_) => path.with_file_name("cgroup.procs"),
            Hierarchy::V2(_) => path.with_file_name("leaf").join("cgroup.procs"),
        };
        let pids = fs::read_to_string(members).expect("reads");
        let first = container.pid().to_string();
        assert!(pids.lines().any(|pid| pid == first), "{first} in {pids:?}");
    }
    container.kill();
    container.wait().await;
    container.forget();
}

#[tokio::test]
async fn root_what_a_container_may_take_is_in_the_files_of_its_cgroup() {
    let host = Host::new("limits");
    let request = Request {
        cpus: Share {
            request: 0.5,
            limit: Limit::At(1.5),
        },
        memory: Share {
            request: 64 << 20,
            limit: Limit::At(96 << 20),
        },
        ..host.request("sleep 1000")
    };
    let expected = match host.hierarchy() {
        Hierarchy::V1(_) => vec![
            ("cpu.shares", "512"),
            ("cpu.cfs_period_us", "100000"),
            ("cpu.cfs_quota_us", "150000"),
            ("memory.soft_limit_in_bytes", "67108864"),
            ("memory.limit_in_bytes", "100663296"),
        ],
        Hierarchy::V2(_) => vec![
            ("cpu.weight", "50"),
            ("cpu.max", "150000 100000"),
            ("memory.low", "67108864"),
            ("memory.max", "100663296"),
        ],
    };
    has_limits(&host, &request, &expected).await;
    host.finish();
}

#[tokio::test]
async fn root_without_limits_of_its_own_a_container_has_all_free_cpus_and_the_memory_it_asked_for()
{
    let host = Host::new("nolimits");
    let expected = match host.hierarchy() {
        Hierarchy::V1(_) => [
            ("cpu.cfs_quota_us", "-1"),
            ("memory.limit_in_bytes", "33554432"),
        ],
        Hierarchy::V2(_) => [("cpu.max", "max 100000"), ("memory.max", "33554432")],
    };
    has_limits(&host, &host.request("sleep 1000"), &expected).await;
    host.finish();
}

#[tokio::test]
async fn root_with_enable_cfs_cpus_are_capped_at_the_request() {
    let mut host = Host::new("cfs");
    host.config.cgroups_enable_cfs = true;
    host.containerizer = Containerizer::open(host.config.clone()).expect("opens");
    let expected = match host.hierarchy() {
        Hierarchy::V1(_) => [("cpu.cfs_quota_us", "10000")],
        Hierarchy::V2(_) => [("cpu.max", "10000 100000")],
    };
    has_limits(&host, &host.request("sleep 1000"), &expected).await;
    host.finish();
}

#[tokio::test]
async fn root_a_container_that_gets_no_cgroup_is_refused_with_the_reason_and_leaves_nothing() {
    let host = Host::new("refused");
    let request = Request {
        cpus: Share {
            request: 0.1,
            limit: Limit::At(1.5),
        },
        ..host.request("echo up")
    };
    // Only v2 bounds the number of cgroups: here to none, then to none for the processes. On v1 a
    // quota above the parent's is refused, at a time when all directories are there.
    let (obstacle, none, cases) = match host.hierarchy() {
        Hierarchy::V1(_) => (
            "cpu.cfs_quota_us",
            "-1",
            vec![("50000", "c1/cpu.cfs_quota_us (a period is ")],
        ),
        Hierarchy::V2(_) => (
            "cgroup.max.descendants",
            "max",
            vec![
                ("0", "c1 (a limit on cgroups is reached: "),
                ("1", "c1/leaf (a limit on cgroups is reached: "),
            ],
        ),
    };
    let obstacle = file(&host, obstacle);
    for (limit, reason) in cases {
        fs::write(&obstacle, limit).expect("limits");
        let refusal = host.refusal(&request).await;
        assert!(
            refusal.starts_with("cannot set up the container's cgroup: cannot "),
            "{refusal}"
        );
        let reason = format!("{}/{reason}", host.config.cgroups_root);
        assert!(refusal.contains(&reason), "{refusal}");
        for root in cgroups(&host.config.cgroups_root) {
            assert!(!root.join("c1").exists(), "{} is left", root.display());
        }
    }
    fs::write(&obstacle, none).expect("limits no more");
    assert_eq!(host.output(&request).await, "up");
    host.finish();
}
