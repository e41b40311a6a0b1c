//! Freezing, thawing, and killing what is frozen.

use std::time::Duration;

use containerizer::ExitStatus;
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
