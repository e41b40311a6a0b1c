//! Freezing, thawing, and killing what is frozen.

use std::os::fd::OwnedFd;
use std::time::Duration;

use containerizer::{Command, ExitStatus, LaunchError, Stdio};
use serde_json::json;

use crate::support::{Host, until};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn root_a_frozen_container_stands_still_until_it_is_thawed() {
    let host = Host::new("frozen");
    // It forks all the time, so that the freezer must catch children, too.
    let container = host
        .launched("while :; do sleep 0.01; echo x; done", json!({}))
        .await;
    for _ in 0..2 {
        until("it runs", || !host.said().is_empty()).await;
        assert!(!container.is_frozen());
        container.freeze(PATIENCE).expect("freezes");
        container.freeze(PATIENCE).expect("is frozen already");
        assert!(container.is_frozen());
        let said = host.said().len();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(host.said().len(), said);
        container.thaw().expect("thaws");
        container.thaw().expect("is thawed already");
        assert!(!container.is_frozen());
        until("it goes on", || host.said().len() > said).await;
    }
    host.end(&container).await;
    host.finish();
}

#[tokio::test]
async fn root_a_frozen_container_can_be_killed() {
    let host = Host::new("killed");
    let container = host.launched("sleep 1000", json!({})).await;
    container.freeze(PATIENCE).expect("freezes");
    let termination = host.end(&container).await;
    assert_eq!(termination.status, Some(ExitStatus::Signaled(9)));
    container.thaw().expect("is gone, which is not an error");
    host.finish();
}

#[tokio::test]
async fn root_nothing_joins_a_frozen_container_and_another_program_can_thaw_it() {
    let host = Host::new("joined");
    let container = host.launched("sleep 1000", json!({})).await;
    let found = host.find();
    found.cgroup().freeze(PATIENCE).expect("freezes");
    assert!(container.is_frozen());
    let exec = || {
        let null = || -> OwnedFd {
            let null = std::fs::File::options().write(true).open("/dev/null");
            null.expect("it is there").into()
        };
        let command = Command {
            args: vec!["true".to_owned()],
            ..Command::default()
        };
        let stdio = Stdio {
            stdin: None,
            stdout: null(),
            stderr: null(),
        };
        let found = &found;
        async move { found.exec(&command, stdio).await }
    };
    assert!(matches!(exec().await, Err(LaunchError::Frozen)));
    found.cgroup().thaw().expect("thaws");
    assert_eq!(exec().await.expect("joins").wait().await, 0);
    host.end(&container).await;
    host.finish();
}
