//! The Docker apps by which many have learned Marathon, in our words: what each is, and what it must do, whoever
//! runs it. All that differs is what images are called.

use serde_json::{Value, json};

use crate::apps::{Task, shell};
use crate::cluster::Cluster;
use crate::eventually;
use crate::image::Layer;

/// Says what it is given, and stays.
pub const ENTRYPOINT: &str = "/arg-example";

/// Of the image whose entry point that is.
pub fn arguments() -> Layer {
    let script = "#!/bin/sh\necho \"$2 lives in $4\"\nexec sleep 1000\n";
    Layer::busybox().program(ENTRYPOINT.trim_start_matches('/'), script)
}

pub fn docker(id: &str, image: &str, cmd: &str) -> Value {
    let mut app = shell(id, cmd);
    app["container"] = json!({"type": "DOCKER", "docker": {"image": image}});
    app
}

/// docker-hello. There its instances end after a while; here none does while it is looked at.
pub async fn hello(cluster: &Cluster, image: &str) {
    let mut app = docker("docker-hello", image, "echo Johannes && sleep 1000");
    app["instances"] = json!(3);
    for task in cluster.run(&app).await {
        let agent = &cluster.agents[0];
        agent.says(&task.id, "stdout", "Johannes\n").await;
    }
    cluster.settled().await;
    cluster.remove("docker-hello").await;
    cluster.settled().await;
}

/// arg-example.
pub async fn arguments_of(cluster: &Cluster, image: &str) {
    let mut app = docker("arg-example", image, "");
    app.as_object_mut().unwrap().remove("cmd");
    app["args"] = json!(["-name", "Bert", "-street", "Sesame Street"]);
    let task = cluster.run(&app).await.remove(0);
    let agent = &cluster.agents[0];
    let said = agent
        .says(&task.id, "stdout", "Bert lives in Sesame Street\n")
        .await;
    assert_eq!(said.lines().count(), 1, "{said}");
    cluster.remove("arg-example").await;
    cluster.settled().await;
}

/// docker-python-server, whose page is seen at the port that the task was given. `page`: what is said at a port.
pub async fn server(
    cluster: &Cluster,
    image: &str,
    page: impl AsyncFn(u16) -> Result<String, String>,
) {
    let cmd = "python3 -m http.server 8080";
    let mut app = docker("docker-python-server", image, cmd);
    app["mem"] = json!(64);
    let docker = &mut app["container"]["docker"];
    docker["network"] = json!("BRIDGE");
    docker["portMappings"] = json!([{"containerPort": 8080, "hostPort": 0}]);
    let task = cluster.run(&app).await.remove(0);
    let said = eventually("its page is seen", || page(task.ports[0])).await;
    assert!(said.contains("Directory listing for /"), "{said}");
    cluster.remove("docker-python-server").await;
    cluster.settled().await;
}

/// write-to-disk and read-from-disk, which may not write there.
pub async fn disk(cluster: &Cluster, image: &str) {
    let shared = cluster.agents[0].directory().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let app = |id: &str, cmd: &str, mode: &str| {
        let mut app = docker(id, image, cmd);
        app["container"]["volumes"] =
            json!([{"containerPath": "/tmp", "hostPath": shared, "mode": mode}]);
        app
    };
    let write = "while [ true ]; do echo $(date) > /tmp/date.txt; sleep 5; done";
    let read =
        "while [ true ]; do cat /tmp/date.txt; echo no > /tmp/no || echo kept; sleep 1; done";
    cluster.run(&app("write-to-disk", write, "RW")).await;
    let reader = cluster
        .run(&app("read-from-disk", read, "RO"))
        .await
        .remove(0);
    let date = eventually("the writer has written", || async {
        let text = std::fs::read_to_string(shared.join("date.txt"));
        text.ok()
            .filter(|date| date.len() > 10)
            .ok_or_else(|| "nothing".to_owned())
    })
    .await;
    // The weekday and the day stay, the time goes on.
    let agent = &cluster.agents[0];
    agent.says(&reader.id, "stdout", &date[..10]).await;
    agent.says(&reader.id, "stdout", "kept\n").await;
    assert!(!shared.join("no").exists());
    cluster.settled().await;
    for app in ["write-to-disk", "read-from-disk"] {
        cluster.remove(app).await;
    }
    cluster.settled().await;
}

/// privileged, with its parameters.
pub fn privileged(image: &str) -> Value {
    let cmd = "grep CapEff /proc/self/status; sleep 600";
    let mut app = docker("privileged", image, cmd);
    let docker = &mut app["container"]["docker"];
    docker["privileged"] = json!(true);
    docker["parameters"] = json!([
        {"key": "name", "value": "busy-container"},
        {"key": "restart", "value": "no"},
    ]);
    app
}

/// What of the host it may do: all that anybody here may, and that engines of some years know.
pub async fn may_all(cluster: &Cluster, task: &Task) {
    let known = (1 << 38) - 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let said = cluster.agents[0].says(&task.id, "stdout", "CapEff:").await;
    let (all, may) = (
        capabilities(&status, "CapBnd:"),
        capabilities(&said, "CapEff:"),
    );
    assert_eq!(may & known, all & known, "{said}");
}

/// Of a process's status, as bits.
fn capabilities(status: &str, set: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(set));
    u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
}

/// One of a registry that lets in who shows the credentials that are packed there.
pub async fn private(cluster: &Cluster, image: &str, packed: &std::path::Path) {
    let mut app = docker("private", image, "echo pulled; exec sleep 1000");
    app["container"]["docker"]["forcePullImage"] = json!(true);
    app["uris"] = json!([packed.display().to_string()]);
    let task = cluster.run(&app).await.remove(0);
    cluster.agents[0].says(&task.id, "stdout", "pulled\n").await;
    cluster.remove("private").await;
    cluster.settled().await;
}
