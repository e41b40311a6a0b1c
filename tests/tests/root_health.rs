//! Apps with health checks, from their JSON to their replacement, on a host whose network is not ours.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::PathBuf;

use serde_json::{Value, json};
use tests::apart::apart;
use tests::eventually;
use tests::local::Local;

/// One that is as good as a file of its sandbox is there.
fn app(id: &str, cmd: &str, network: &str, check: Value) -> Value {
    let mut app = json!({
        "id": id, "cmd": format!("echo good > good; exec {cmd}"), "cpus": 0.1, "mem": 32,
        "networks": [{"mode": network}],
        "healthChecks": [{
            "delaySeconds": 0, "intervalSeconds": 1, "maxConsecutiveFailures": 2,
        }]
    });
    let given = check.as_object().unwrap().clone();
    app["healthChecks"][0]
        .as_object_mut()
        .unwrap()
        .extend(given);
    if network == "container/bridge" {
        app["container"] =
            json!({"type": "MESOS", "portMappings": [{"containerPort": 80, "hostPort": 0}]});
    }
    app
}

/// The one task of `app`, once it is another than `before` and healthy, and nothing is deployed any more.
async fn healthy(local: &Local, app: &str, before: &str) -> String {
    eventually(&format!("{app} is healthy"), || async {
        let found = local.scheduler.json(&format!("/v2/apps{app}")).await;
        let task = &found["app"]["tasks"][0];
        let id = task["id"].as_str().unwrap_or_default();
        let is_deployed = found["app"]["deployments"] == json!([]);
        let counts = ["tasksRunning", "tasksHealthy", "tasksUnhealthy"];
        let counts = counts.map(|count| found["app"][count].as_u64());
        let is_healthy = task["healthCheckResults"][0]["alive"] == true;
        match is_deployed && is_healthy && counts == [Some(1), Some(1), Some(0)] && id != before {
            true => Ok(id.to_owned()),
            false => Err(format!("{found:#}")),
        }
    })
    .await
}

fn sandbox(local: &Local, task: &str) -> PathBuf {
    let mut place = local.directory().join("work/slaves");
    for below in ["frameworks", "executors"] {
        let only = std::fs::read_dir(&place).unwrap().flatten();
        // A link to the newest may lie beside them.
        let mut real = only.filter(|entry| entry.file_type().unwrap().is_dir());
        place = real.next().unwrap().path().join(below);
    }
    place.join(task).join("runs/latest")
}

#[test]
fn root_apps_are_healthy_in_every_network_and_replaced_when_they_are_not() {
    apart(|| async {
        let local = Local::new("health");
        let up = local.start(&["up"]);
        local.scheduler.ready("/v2/apps").await;
        let web = "busybox httpd -f -p 80";
        let (host, bridge) = ("host", "container/bridge");
        let apps = [
            app(
                "/inside",
                web,
                bridge,
                json!({"protocol": "MESOS_HTTP", "path": "/good"}),
            ),
            app(
                "/outside",
                web,
                bridge,
                json!({"protocol": "HTTP", "path": "/good"}),
            ),
            app(
                "/command",
                "sleep 1000",
                host,
                json!({
                    "protocol": "COMMAND", "command": {"value": "test -e $MESOS_SANDBOX/good || { echo bad; exit 3; }"}
                }),
            ),
        ];
        for app in &apps {
            let posted = local.scheduler.post("/v2/apps", app).await;
            assert_eq!(posted.status, 201, "{}", posted.text);
        }
        let ids = ["/inside", "/outside", "/command"];
        let mut first = Vec::new();
        for id in ids {
            first.push(healthy(&local, id, "").await);
        }
        for task in &first {
            std::fs::remove_file(sandbox(&local, task).join("good")).unwrap();
        }
        for (id, before) in ids.iter().zip(&first) {
            healthy(&local, id, before).await;
            let path = format!("/v2/apps{id}?embed=app.lastTaskFailure");
            let failure = local.scheduler.json(&path).await["app"]["lastTaskFailure"].clone();
            assert_eq!(failure["taskId"], before.as_str(), "{failure}");
            assert_eq!(failure["state"], "TASK_KILLED", "{failure}");
            let message = failure["message"].as_str().unwrap();
            assert!(message.contains("health check failed"), "{failure}");
        }
        local.ends(up, &ids).await;
    });
}
