//! Containers that are nested in another one.

use std::path::{Path, PathBuf};

use containerizer::{Container, ExitStatus, LaunchError, Place, Stopwatch};
use isolators::cgroups::Hierarchy;
use isolators::{ContainerId, Limit, Request, Share};

use crate::support::{Host, chain};

fn id(id: &str) -> ContainerId {
    ContainerId::try_from(id.to_owned()).expect("a good id")
}

/// With no limit but that of the one that it is in.
fn member(host: &Host, name: &str, command: &str) -> Request {
    Request {
        id: id(name),
        memory: Share {
            request: 32 << 20,
            limit: Limit::Parents,
        },
        ..host.request(command)
    }
}

async fn launched(host: &Host, parent: &Container, request: &Request) -> Container {
    let launched = nest(host, parent, request).await;
    launched.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

async fn nest(
    host: &Host,
    parent: &Container,
    request: &Request,
) -> Result<Container, LaunchError> {
    let place = Place {
        network: None,
        parent: Some(parent),
    };
    let containerizer = &host.containerizer;
    let out = host.streams();
    containerizer
        .launch_in(place, request, out, Stopwatch::start())
        .await
}

/// In each hierarchy that every container is in.
fn places(host: &Host, path: &str) -> Vec<PathBuf> {
    let mounts = match host.hierarchy() {
        Hierarchy::V1(mounts) => {
            let always = ["cpu", "cpuacct", "memory", "pids"];
            let mounts = mounts.into_iter();
            let used = mounts.filter(|mount| always.iter().any(|name| mount.has(name)));
            used.map(|mount| mount.path).collect()
        }
        Hierarchy::V2(mount) => vec![mount],
    };
    let root = Path::new(&host.config.cgroups_root);
    let below = mounts.iter().map(|mount| mount.join(root).join(path));
    below.collect()
}

async fn end(container: &Container) {
    container.kill();
    let termination = container.wait().await;
    container.forget();
    assert_eq!(termination.leftovers, [""; 0]);
}

#[tokio::test]
async fn root_a_nested_container_lies_in_the_other_and_ends_with_it() {
    let host = Host::new("nested");
    let parent = host.launch(&host.request("exec sleep 1000")).await;
    let parent = parent.expect("launches");
    let ends = launched(&host, &parent, &member(&host, "c2", "exit 3")).await;
    let ended = ends.wait().await;
    ends.forget();
    assert_eq!(ended.status, Some(ExitStatus::Exited(3)));
    assert_eq!(ended.leftovers, [""; 0]);
    let stays = launched(&host, &parent, &member(&host, "c3", "exec sleep 1000")).await;
    for place in places(&host, "c1/mesos/c3") {
        assert!(place.is_dir(), "{}", place.display());
    }
    for place in places(&host, "c1/mesos/c2") {
        assert!(!place.exists(), "{}", place.display());
    }
    end(&parent).await;
    let ended = stays.wait().await;
    stays.forget();
    assert_eq!(ended.status, Some(ExitStatus::Signaled(9)));
    assert_eq!(ended.leftovers, [""; 0]);
    host.finish();
}

#[tokio::test]
async fn root_one_that_runs_out_of_memory_of_its_own_ends_alone() {
    let host = Host::new("nested-oom");
    let with_room = |limit| Share {
        request: 32 << 20,
        limit: Limit::At(limit),
    };
    let parent = Request {
        memory: with_room(512 << 20),
        ..host.request("exec sleep 1000")
    };
    let parent = host.launch(&parent).await.expect("launches");
    let beside = launched(&host, &parent, &member(&host, "c2", "exec sleep 1000")).await;
    let greedy = Request {
        memory: with_room(32 << 20),
        ..member(&host, "c3", "tail /dev/zero; sleep 1000")
    };
    let greedy = launched(&host, &parent, &greedy).await;
    let ended = greedy.wait().await;
    greedy.forget();
    let told = ended.out_of_memory.expect("an out-of-memory kill");
    assert_eq!(told.limit, Some(32 << 20));
    assert_eq!(told.victim.expect("a victim").name, "tail");
    // The others go on, and are not told to have run out of memory.
    for (container, name) in [(&beside, "c2"), (&parent, "c1")] {
        container.kill();
        let termination = container.wait().await;
        container.forget();
        assert_eq!(termination.out_of_memory, None, "{name}");
        assert_eq!(termination.leftovers, [""; 0], "{name}");
    }
    host.finish();
}

#[tokio::test]
async fn root_memory_that_all_share_is_told_of_the_one_that_lost_a_process() {
    let host = Host::new("nested-shared");
    let parent = host.launch(&host.request("exec sleep 1000")).await;
    let parent = parent.expect("launches");
    let greedy = member(&host, "c2", "tail /dev/zero; sleep 1000");
    let greedy = launched(&host, &parent, &greedy).await;
    let ended = greedy.wait().await;
    greedy.forget();
    let told = ended.out_of_memory.expect("an out-of-memory kill");
    assert_eq!(told.limit, None);
    parent.kill();
    let termination = parent.wait().await;
    parent.forget();
    assert_eq!(termination.out_of_memory, None);
    host.finish();
}

#[tokio::test]
async fn root_nothing_is_nested_in_one_that_has_ended_and_nothing_is_left() {
    let host = Host::new("nested-late");
    let parent = host.launch(&host.request("exec sleep 1000")).await;
    let parent = parent.expect("launches");
    end(&parent).await;
    let refused = nest(&host, &parent, &member(&host, "c2", "true")).await;
    assert!(refused.is_err());
    for place in places(&host, "c1") {
        assert!(!place.exists(), "{}", place.display());
    }
    host.finish();
}

/// Where it is known too late that the other one ends.
#[tokio::test]
async fn root_no_cgroup_is_made_anew_for_one_that_is_nested() {
    let host = Host::new("nested-gone");
    let parent = host.launch(&host.request("exec sleep 1000")).await;
    let parent = parent.expect("launches");
    let mut launches = tokio::task::JoinSet::new();
    for number in 2..12 {
        let (host_of, parent_of) = (host.containerizer.clone(), parent.clone());
        let request = member(&host, &format!("c{number}"), "exec sleep 1000");
        let out = host.streams();
        launches.spawn(async move {
            let place = Place {
                network: None,
                parent: Some(&parent_of),
            };
            let launched = host_of.launch_in(place, &request, out, Stopwatch::start());
            if let Ok(container) = launched.await {
                container.wait().await;
                container.forget();
            }
        });
    }
    tokio::task::yield_now().await;
    parent.kill();
    let termination = parent.wait().await;
    parent.forget();
    assert_eq!(termination.leftovers, [""; 0]);
    while let Some(joined) = launches.join_next().await {
        joined.expect("no panic");
    }
    for place in places(&host, "c1") {
        assert!(!place.exists(), "{}", place.display());
    }
    host.finish();
}
