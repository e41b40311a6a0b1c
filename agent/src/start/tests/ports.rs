//! Tasks with the host's network that listen on ports, on a host whose network is not ours.

use std::net::TcpListener;
use std::time::Duration;

use proto::v1::TaskState;
use proto::v1::task_status::Reason;

use super::networks::{apart, got, runs};
use super::*;

/// Holds port 31000 + `at` and listens on another, or on that.
fn listening(id: &str, at: u32, port: u32) -> v1::TaskInfo {
    let command = format!("echo {id} > index.html; exec busybox httpd -f -p {port}");
    let mut task = task(id, &command);
    let held = 31000 + at;
    let resources = format!("cpus:0.1;mem:32;ports:[{held}-{held}]");
    task.resources = Resources::parse(&resources, "*").unwrap().to_protos();
    task
}

/// An end that the agent of before has told, and whose acknowledgement came too late for it, is told again.
async fn is_killed_for(link: &mut FakeLink, task: &str, port: u32) {
    let last = loop {
        let last = story(link).await.pop().unwrap();
        if last.task_id.value == task {
            break last;
        }
    };
    assert_eq!(last.state(), TaskState::TaskFailed, "{last:?}");
    assert_eq!(last.reason(), Reason::ContainerLimitation);
    let message = last.message();
    let wanted = format!(" is listening on unallocated port(s): [{port}-{port}]");
    assert!(
        message.starts_with("Container ") && message.ends_with(&wanted),
        "{message}"
    );
    let limitation = last.limitation.as_ref().unwrap();
    assert_eq!(limitation.resources[0].name, "ports");
}

#[test]
fn root_a_task_that_listens_on_anothers_port_is_killed_where_that_is_asked_for() {
    apart(|| async {
        let mut node = node().await;
        node.flags.isolation += ",network/ports";
        node.flags.ports.interval = Duration::from_millis(100);
        let (handle, mut link) = node.start().await;
        link.say(run(listening("other", 5, 8080))).await;
        runs(&mut link).await;
        assert_eq!(got("127.0.0.1:8080"), "other");
        link.say(run(listening("good", 0, 31000))).await;
        runs(&mut link).await;
        assert_eq!(got("127.0.0.1:31000"), "good");
        stop(handle, link).await;

        // Only of the ports that are offered, and it is in nobody's way.
        node.flags.ports.enforce = true;
        node.flags.ports.offered_only = true;
        let (handle, mut link) = node.start().await;
        link.say(run(listening("bad", 1, 31002))).await;
        is_killed_for(&mut link, "bad", 31002).await;
        for (port, id) in [(8080, "other"), (31000, "good")] {
            assert_eq!(got(&format!("127.0.0.1:{port}")), id);
        }
        stop(handle, link).await;

        node.flags.ports.offered_only = false;
        let (handle, mut link) = node.start().await;
        is_killed_for(&mut link, "other", 8080).await;
        assert_eq!(got("127.0.0.1:31000"), "good");
        link.say(kill("good")).await;
        while story(&mut link).await.pop().unwrap().state() != TaskState::TaskKilled {}
        node.end(handle).await;
    });
}

#[test]
fn root_a_port_that_somebody_else_has_is_told_before_a_task_starts_that_says_to_serve_it() {
    apart(|| async {
        let mut node = node().await;
        let (handle, mut link) = node.start().await;
        let listener = TcpListener::bind("127.0.0.1:31000").unwrap();
        let serving = |id: &str| {
            let port = v1::Port {
                number: 31000,
                ..Default::default()
            };
            let ports = Some(v1::Ports { ports: vec![port] });
            let mut task = listening(id, 0, 31000);
            task.discovery = Some(v1::DiscoveryInfo {
                ports,
                ..Default::default()
            });
            task
        };
        link.say(run(serving("late"))).await;
        let last = story(&mut link).await.pop().unwrap();
        assert_eq!(last.state(), TaskState::TaskFailed, "{last:?}");
        assert_eq!(last.reason(), Reason::ContainerLaunchFailed);
        let us = format!(
            "port 31000/tcp of this host is in use by process {} (",
            std::process::id()
        );
        assert!(last.message().contains(&us), "{last:?}");
        // One that says nothing of the kind holds it, and may not need it.
        link.say(run(listening("other", 0, 8080))).await;
        runs(&mut link).await;
        link.say(kill("other")).await;
        story(&mut link).await;
        drop(listener);
        link.say(run(serving("next"))).await;
        runs(&mut link).await;
        assert_eq!(got("127.0.0.1:31000"), "next");
        link.say(kill("next")).await;
        story(&mut link).await;
        node.end(handle).await;
    });
}
