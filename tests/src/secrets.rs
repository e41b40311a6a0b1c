//! A Docker app with a secret in a file and one in its environment: what must hold, whoever runs it.

use std::path::Path;

use serde_json::json;

use crate::cluster::Cluster;
use crate::{course, eventually};

/// Nothing else on this host says it.
const SECRET: &str = "xyzzy-geheim";

/// The task has its secrets before and after its agent's death, nobody else is told of them, and none is left
/// when it has ended. The only agent is begun anew for it.
pub async fn are_the_tasks_alone(cluster: &mut Cluster, image: &str) {
    cluster.agents[0].kill();
    let kept = cluster.agents[0].directory().join("kept");
    std::fs::create_dir_all(kept.join("team")).unwrap();
    std::fs::write(kept.join("team/key"), SECRET).unwrap();
    let in_memory = cluster.keep_in_memory();
    cluster.agents[0].add_argument(format!("--secrets_dir={}", kept.display()));
    cluster.agents[0].start().await;
    cluster.registered(1).await;

    let shout = "tr a-z A-Z </run/key; echo; echo $KEY | tr a-z A-Z";
    let waits = "until [ -e $MESOS_SANDBOX/go ]; do sleep 0.1; done";
    let mut app = course::docker(
        "keeper",
        image,
        &format!("{waits}; {shout}; exec sleep 1000"),
    );
    app["secrets"] = json!({"k": {"source": "/team/key"}});
    app["env"] = json!({"KEY": {"secret": "k"}});
    app["container"]["volumes"] = json!([{"containerPath": "/run/key", "secret": "k"}]);
    let task = cluster.run(&app).await.remove(0);
    cluster.agents[0].kill();
    cluster.agents[0].start().await;
    cluster.registered(1).await;
    let agent = &cluster.agents[0];
    let sandbox = agent.sandbox(&task.id).await.unwrap();
    std::fs::write(format!("{sandbox}/go"), "").unwrap();
    let shouted = SECRET.to_uppercase();
    let both = format!("{shouted}\n{shouted}\n");
    agent.says(&task.id, "stdout", &both).await;

    for path in [
        "/state",
        "/containers",
        &format!("/inspect?task_id={}", task.id),
    ] {
        let told = agent.api.get(path).await.text;
        assert!(!told.contains(SECRET), "{path}: {told}");
    }
    let told = cluster
        .marathon
        .get("/v2/apps/keeper?embed=app.tasks")
        .await;
    assert!(!told.text.contains(SECRET), "{}", told.text);
    assert_eq!(telling(&agent.directory().join("work")), [""; 0]);

    let files = in_memory.join("secrets");
    assert_eq!(std::fs::read_dir(&files).unwrap().count(), 1);
    cluster.remove("keeper").await;
    cluster.settled().await;
    eventually("no secret is left", || async {
        let left = std::fs::read_dir(&files).unwrap().count();
        (left == 0).then_some(()).ok_or(format!("{left}"))
    })
    .await;
}

/// The files below that have the secret in them.
fn telling(directory: &Path) -> Vec<String> {
    let found = std::process::Command::new("grep")
        .args(["-rlsF", SECRET])
        .arg(directory)
        .output();
    let names = String::from_utf8(found.unwrap().stdout).unwrap();
    names.lines().map(str::to_owned).collect()
}
