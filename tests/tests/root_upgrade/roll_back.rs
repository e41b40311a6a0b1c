//! A new program that does not come up: the agent goes on as it was.

use std::os::unix::fs::PermissionsExt as _;

use tests::cluster::Cluster;

use crate::{Steady, cluster, ends_well, is_alone, steady};

/// What lies where the program was cannot take over, for a reason that is told.
async fn fails(cluster: &Cluster, before: &Steady, reason: &str) {
    let agent = &cluster.agents[0];
    let old = agent.holder();
    let told = agent.upgrade_fails().await;
    assert!(told.contains("goes on as it was"), "{told}");
    assert!(told.contains(reason), "{told}");
    assert_eq!(agent.holder(), old);
    cluster.registered(1).await;
    assert_eq!(&steady(cluster).await, before);
    is_alone(cluster).await;
}

/// With the real program it goes well, after whatever went wrong.
async fn succeeds(cluster: Cluster, before: &Steady) {
    let agent = &cluster.agents[0];
    agent.install();
    let answer = agent.upgrade().await;
    assert!(answer.success, "{answer:?}");
    assert_eq!(&steady(&cluster).await, before);
    ends_well(cluster).await;
}

#[tokio::test]
async fn root_what_is_no_program_or_ends_at_once_does_not_replace_the_agent() {
    let (cluster, before) = cluster().await;
    let agent = &cluster.agents[0];
    std::fs::remove_file(&agent.executable).unwrap();
    fails(&cluster, &before, "cannot start").await;
    agent.replace(|place| {
        std::fs::write(place, "no program").unwrap();
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o644)).unwrap();
    });
    fails(&cluster, &before, "cannot start").await;
    agent.install_script("exit 3");
    fails(&cluster, &before, "exit status: 3").await;
    agent.install_script("exec \"$REAL\" \"$@\" --no-such-flag");
    fails(&cluster, &before, "the new program ended").await;
    succeeds(cluster, &before).await;
}

#[tokio::test]
async fn root_a_program_that_hangs_does_not_replace_the_agent() {
    let (cluster, before) = quick(20).await;
    cluster.agents[0].install_script("exec sleep 1000");
    let reason = "did not say in time that it can take over";
    fails(&cluster, &before, reason).await;
    succeeds(cluster, &before).await;
}

/// The agent lets go of everything, and has to take it up again.
#[tokio::test]
async fn root_a_program_that_fails_where_it_takes_over_does_not_replace_the_agent() {
    let (cluster, before) = cluster().await;
    // Which the agent's record of itself does not allow.
    cluster.agents[0].install_with("hostname", "other");
    fails(&cluster, &before, "hostname").await;
    succeeds(cluster, &before).await;
}

#[tokio::test]
async fn root_a_program_that_hangs_where_it_takes_over_does_not_replace_the_agent() {
    let (cluster, before) = quick(20).await;
    cluster.agents[0].install_with("master", "127.0.0.1:1");
    let reason = "did not say in time that it has taken over";
    fails(&cluster, &before, reason).await;
    succeeds(cluster, &before).await;
}

/// As `cluster`, with an agent that waits no longer than `seconds` for a new program.
async fn quick(seconds: u32) -> (Cluster, Steady) {
    let (mut cluster, before) = cluster().await;
    cluster.agents[0].upgrade_timeout(seconds).await;
    cluster.registered(1).await;
    assert_eq!(steady(&cluster).await, before);
    (cluster, before)
}
