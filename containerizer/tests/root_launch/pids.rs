//! Containers that see the host's processes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use containerizer::{ExitStatus, PassedOn, Sender};
use isolators::{PidNamespace, Request};

use crate::support::{Host, exited, until_output};

fn sharing(host: &Host, command: &str) -> Request {
    Request {
        pid_namespace: PidNamespace::Hosts,
        ..host.request(command)
    }
}

/// A line of the output that is a pid of the host.
fn pid_told(host: &Host) -> String {
    let said = fs::read_to_string(host.sandbox().join("stdout")).expect("an output");
    said.lines().last().expect("a line").to_owned()
}

fn runs(pid: &str) -> bool {
    // What has ended and waits for its parent is no process any more.
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

async fn until_ended(pid: &str) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while runs(pid) {
        assert!(tokio::time::Instant::now() < deadline, "{pid} runs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn root_processes_of_the_host_are_seen_by_who_shares_them_and_its_own_are_not_hidden() {
    let host = Host::new("pids-seen");
    let us = std::process::id();
    let script = format!("readlink /proc/self/ns/pid; [ -e /proc/{us}/stat ] && echo seen");
    let output = host.output(&sharing(&host, &script)).await;
    let ours = fs::read_link("/proc/self/ns/pid").expect("reads");
    assert_eq!(output, format!("{}\nseen", ours.display()));
    host.finish();
}

#[tokio::test]
async fn root_what_leaves_its_session_ends_with_the_command_also_among_the_hosts_processes() {
    let host = Host::new("pids-left");
    let script = "setsid sleep 1000 & echo $!; exit 3";
    let termination = host.run(&sharing(&host, script)).await;
    assert_eq!(termination.status, exited(3));
    assert_eq!(termination.leftovers, [""; 0]);
    until_ended(&pid_told(&host)).await;
    host.finish();
}

#[tokio::test]
async fn root_a_kill_reaches_all_of_a_container_among_the_hosts_processes() {
    let host = Host::new("pids-kill");
    let script = "setsid sleep 1000 & echo $!; wait";
    let container = host.launch(&sharing(&host, script)).await;
    let container = container.expect("launches");
    until_output(&host, "\n").await;
    let pid = pid_told(&host);
    assert!(runs(&pid));
    container.kill();
    let termination = container.wait().await;
    container.forget();
    assert_eq!(termination.leftovers, [""; 0]);
    until_ended(&pid).await;
    host.finish();
}

#[tokio::test]
async fn root_a_task_among_the_hosts_processes_is_asked_to_end_and_nobody_else() {
    let host = Host::new("pids-term");
    // A bystander of the same user, who would end by it.
    let mut bystander = std::process::Command::new("sleep");
    let mut bystander = bystander.arg("1000").spawn().expect("sleeps");
    let script = "sleep 1000 & echo $!; wait";
    let container = host.launch(&sharing(&host, script)).await;
    let container = container.expect("launches");
    until_output(&host, "\n").await;
    container.terminate();
    let termination = container.wait().await;
    container.forget();
    assert_eq!(termination.status, Some(ExitStatus::Signaled(15)));
    let by = Sender::Outside { uid: 0 };
    let passed_on = Some(PassedOn { signal: 15, by });
    assert_eq!(termination.death.passed_on, passed_on);
    until_ended(&pid_told(&host)).await;
    assert!(runs(&bystander.id().to_string()), "somebody else ended");
    bystander.kill().expect("ends");
    bystander.wait().expect("reaped");
    host.finish();
}
