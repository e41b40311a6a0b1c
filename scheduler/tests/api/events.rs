//! The stream of events.

use serde_json::json;

use crate::support::{FakeMaster, start};

#[tokio::test]
async fn who_listens_hears_of_an_app_from_its_deployment_to_its_tasks() {
    let master = FakeMaster::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (handle, client) = start(&master, directory.path()).await;
    let refused = client
        .send("GET", "/v2/events", "", "application/json")
        .await;
    assert_eq!(refused.status, 406);
    let mut events = client.stream("/v2/events").await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    client
        .post("/v2/apps", &json!({"id": "/a", "cmd": "sleep 1"}))
        .await;
    let mut heard = String::new();
    while !heard.contains("event: deployment_success\n") {
        let chunk = events.chunk().await.unwrap().unwrap();
        heard.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let kinds: Vec<&str> = heard
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(kinds[..2], ["event_stream_attached", "deployment_info"]);
    let running = r#""taskStatus":"TASK_RUNNING""#;
    assert!(heard.lines().any(|line| line.contains(running)), "{heard}");
    assert_eq!(
        kinds[kinds.len() - 2..],
        ["deployment_step_success", "deployment_success"]
    );
    // It does not wait for who listens.
    handle.stop().await;
    while let Ok(Some(_last)) = events.chunk().await {}
}
