//! Every app of the folder `examples`, run for real.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::apps::example;
use tests::cluster::Cluster;
use tests::{eventually, serve};

#[tokio::test]
async fn root_hello_runs_and_its_output_is_readable_while_it_is_written() {
    let cluster = Cluster::start(1).await;
    let tasks = cluster.run(&example("hello")).await;
    cluster.agents[0]
        .says(&tasks[0].id, "stdout", "Hello from Longshore\n")
        .await;
    cluster.remove("hello").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_counter_counts_because_the_shell_knows_brace_ranges() {
    let cluster = Cluster::start(1).await;
    let tasks = cluster.run(&example("counter")).await;
    cluster.agents[0]
        .says(&tasks[0].id, "stdout", "1\n2\n3\n")
        .await;
    cluster.remove("counter").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_the_volume_pair_shares_a_host_directory() {
    let shared = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(1).await;
    let mut reader = String::new();
    for name in ["write-to-disk", "read-from-disk"] {
        let mut app = example(name);
        // The example shares /tmp, which other tests use at the same time.
        let source = &mut app["container"]["volumes"][0]["hostPath"];
        assert_eq!(*source, "/tmp");
        *source = shared.path().to_str().unwrap().into();
        reader = cluster.run(&app).await[0].id.clone();
    }
    let date = eventually("the writer has written", || async {
        let text = std::fs::read_to_string(shared.path().join("date.txt"));
        text.ok()
            .filter(|date| !date.is_empty())
            .ok_or_else(|| "nothing".to_owned())
    })
    .await;
    // The weekday and the day stay, the time goes on.
    cluster.agents[0].says(&reader, "stdout", &date[..10]).await;
    for name in ["write-to-disk", "read-from-disk"] {
        cluster.remove(name).await;
    }
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_a_script_is_fetched_and_run() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/files");
    let port = serve::directory(files).await;
    let cluster = Cluster::start(1).await;
    let tasks = cluster.run(&fetching(example("remote-script"), port)).await;
    cluster.agents[0]
        .says(&tasks[0].id, "stdout", "Hello from a fetched script")
        .await;
    cluster.agents[0]
        .says(&tasks[0].id, "stderr", "Successfully fetched all URIs")
        .await;
}

#[tokio::test]
async fn root_an_archive_is_fetched_unpacked_and_run() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/files");
    let packed = tempfile::tempdir().unwrap();
    // As examples/README.md says.
    let status = Command::new("tar")
        .arg("-czf")
        .arg(packed.path().join("app.tar.gz"))
        .arg("-C")
        .args([&files, Path::new("app")])
        .status()
        .unwrap();
    assert!(status.success());
    let port = serve::directory(packed.path().to_owned()).await;
    let cluster = Cluster::start(1).await;
    let tasks = cluster.run(&fetching(example("archive"), port)).await;
    cluster.agents[0]
        .says(&tasks[0].id, "stdout", "which came as an archive")
        .await;
}

#[tokio::test]
async fn root_a_file_that_cannot_be_fetched_fails_the_task_with_the_reason() {
    let empty = tempfile::tempdir().unwrap();
    let port = serve::directory(empty.path().to_owned()).await;
    let cluster = Cluster::start(1).await;
    let (_, message) = cluster
        .failure_of(&fetching(example("archive"), port))
        .await;
    let uri = format!("http://127.0.0.1:{port}/app.tar.gz");
    assert!(
        message.contains(&uri) && message.contains("404 Not Found"),
        "{message}"
    );
    cluster.remove("archive").await;
    cluster.nothing_left().await;
}

/// The example with its files on another port.
fn fetching(mut app: Value, port: u16) -> Value {
    let uri = app["uris"][0].as_str().unwrap_or_default();
    assert!(uri.contains(":9000/"), "{uri}");
    app["uris"][0] = uri.replace(":9000/", &format!(":{port}/")).into();
    app
}
