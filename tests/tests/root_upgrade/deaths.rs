//! One of both is killed in the middle, or is told to stop.

use nix::sys::signal::Signal;
use tests::cluster::Cluster;
use tests::eventually;

use crate::{Steady, cluster, ends_well, is_alone, steady};

/// In the middle, where the agent has let go of all that runs and its successor waits for a master.
async fn in_the_middle(cluster: &Cluster) {
    let agent = &cluster.agents[0];
    agent.install_with("master", "127.0.0.1:1");
    agent.signal(Signal::SIGHUP);
    agent.logs("no link to the master").await;
    eventually("there are two", || async {
        match agent.namesakes().len() {
            // That of the successor ends with another flag.
            1 if successor(cluster).is_some() => Ok(()),
            other => Err(format!("{other}")),
        }
    })
    .await;
}

/// The process that has the agent's directories open and is not the agent.
fn successor(cluster: &Cluster) -> Option<i32> {
    let agent = &cluster.agents[0];
    let first = i32::try_from(agent.program().pid()).unwrap();
    let children = format!("/proc/{first}/task/{first}/children");
    let text = std::fs::read_to_string(children).ok()?;
    let pids = text.split_whitespace().filter_map(|it| it.parse().ok());
    let is_agent = |pid: &i32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains("--master=127.0.0.1:1\0")
    };
    pids.into_iter().find(is_agent)
}

/// Nobody is the agent any more, and a new one starts like after any death.
async fn starts_afresh(mut cluster: Cluster, before: &Steady) {
    eventually("nobody has the agent's directories", || async {
        let started = format!("--work_dir={}", cluster.agents[0].directory().display());
        match with_word(&started).as_slice() {
            [] => Ok(()),
            some => Err(format!("{some:?}")),
        }
    })
    .await;
    cluster.agents[0].install();
    cluster.agents[0].start().await;
    cluster.registered(1).await;
    assert_eq!(&steady(&cluster).await, before);
    ends_well(cluster).await;
}

/// Processes with a word in their command line that begins so.
fn with_word(word: &str) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|it| it.file_name().to_str()?.parse::<i32>().ok());
    let has = |pid: &i32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split('\0').any(|it| it.starts_with(word))
    };
    pids.filter(has).collect()
}

#[tokio::test]
async fn root_the_agent_is_killed_in_the_middle_of_an_upgrade() {
    let (mut cluster, before) = cluster().await;
    in_the_middle(&cluster).await;
    cluster.agents[0].program_mut().kill();
    starts_afresh(cluster, &before).await;
}

#[tokio::test]
async fn root_the_agent_is_killed_before_the_new_program_has_come_up() {
    let (mut cluster, before) = cluster().await;
    let agent = &mut cluster.agents[0];
    agent.install_script("echo here it is >&2; sleep 2; exec \"$REAL\" \"$@\"");
    agent.signal(Signal::SIGHUP);
    agent.logs("here it is").await;
    agent.program_mut().kill();
    agent
        .logs("the agent that was to be replaced has gone")
        .await;
    starts_afresh(cluster, &before).await;
}

#[tokio::test]
async fn root_the_new_process_is_killed_in_the_middle_of_an_upgrade() {
    let (cluster, before) = cluster().await;
    in_the_middle(&cluster).await;
    let new = nix::unistd::Pid::from_raw(successor(&cluster).unwrap());
    nix::sys::signal::kill(new, Signal::SIGKILL).unwrap();
    cluster.agents[0].logs("the upgrade failed").await;
    cluster.registered(1).await;
    is_alone(&cluster).await;
    assert_eq!(steady(&cluster).await, before);
    ends_well(cluster).await;
}

#[tokio::test]
async fn root_an_agent_that_is_told_to_stop_in_the_middle_of_an_upgrade_stops() {
    let (mut cluster, before) = cluster().await;
    in_the_middle(&cluster).await;
    cluster.agents[0].signal(Signal::SIGTERM);
    let status = cluster.agents[0].program_mut().wait();
    assert!(status.success(), "{status:?}");
    starts_afresh(cluster, &before).await;
}
