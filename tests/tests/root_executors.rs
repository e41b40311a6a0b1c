//! A framework's own executor, through the whole cluster.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::eventually;
use tests::framework::{Framework, executor};

fn resources(cpus: f64, mem: f64) -> Value {
    let scalar =
        |name, value: f64| json!({ "name": name, "type": "SCALAR", "scalar": { "value": value } });
    json!([scalar("cpus", cpus), scalar("mem", mem)])
}

fn task(offer: &Value, id: &str, command: &str) -> Value {
    json!({
        "name": id,
        "task_id": { "value": id },
        "agent_id": offer["agent_id"],
        "resources": resources(0.1, 32.0),
        "labels": { "labels": [{ "key": "command", "value": command }] },
        "executor": {
            "executor_id": { "value": "crew" },
            "name": "a crew",
            "command": { "value": executor() },
            "resources": resources(0.1, 64.0),
        },
    })
}

/// From here on the agent listens to executors only that show their token.
async fn demand_tokens(cluster: &mut Cluster) {
    use std::os::unix::fs::PermissionsExt as _;
    let agent = &mut cluster.agents[0];
    agent.kill();
    let key = agent.directory().join("key");
    std::fs::write(&key, [7; 32]).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    agent.add_argument(format!("--jwt_secret_key={}", key.display()));
    agent.add_argument("--authenticate_http_executors".to_owned());
    agent.start().await;
    cluster.registered(1).await;
}

#[tokio::test]
async fn root_a_frameworks_executor_works_on_while_its_agent_is_killed_and_comes_back() {
    let mut cluster = Cluster::start(1).await;
    demand_tokens(&mut cluster).await;
    let end = tempfile::tempdir().unwrap();
    let flag = end.path().join("end");
    let waits = format!("until [ -e {} ]; do sleep 0.05; done", flag.display());
    let mut framework = Framework::subscribe(&cluster.api.address, "crews").await;
    let offer = framework
        .launch(|offer| {
            vec![
                task(offer, "ends", &waits),
                task(offer, "stays", "exec sleep 1000"),
            ]
        })
        .await;
    let mut containers = Vec::new();
    for _ in ["ends", "stays"] {
        let update = framework.update().await;
        assert_eq!(update["state"], "TASK_RUNNING", "{update:#}");
        assert_eq!(update["executor_id"]["value"], "crew");
        containers.push(update["container_status"]["container_id"].clone());
    }
    assert_eq!(
        containers[0], containers[1],
        "one executor has one container"
    );
    let state = cluster.api.json("/state").await;
    let shown = &state["frameworks"].as_array().unwrap().iter();
    let shown = shown.clone().find(|it| it["name"] == "crews").unwrap();
    assert_eq!(shown["executors"][0]["executor_id"], "crew");
    assert_eq!(shown["used_resources"]["mem"], 128.0, "{shown:#}");
    let processes = cluster.agents[0].processes();

    cluster.agents[0].kill();
    std::fs::write(&flag, "").unwrap();
    // Its end is told to an agent that is not there.
    eventually("the task has ended", || async {
        let now = cluster.agents[0].processes();
        match now.len() < processes.len() {
            true => Ok(()),
            false => Err(format!("{now:?}")),
        }
    })
    .await;
    assert!(cluster.agents[0].processes().is_subset(&processes));
    cluster.agents[0].start().await;
    cluster.registered(1).await;
    let finished = framework.update().await;
    assert_eq!(finished["task_id"]["value"], "ends", "{finished:#}");
    assert_eq!(finished["state"], "TASK_FINISHED");
    assert_eq!(finished["source"], "SOURCE_EXECUTOR");
    assert_eq!(finished["container_status"]["container_id"], containers[0]);

    // The same executor takes tasks and messages as before.
    let again = framework
        .launch(|offer| vec![task(offer, "more", "exit 3")])
        .await;
    assert_eq!(again["executor_ids"][0]["value"], "crew");
    for state in ["TASK_RUNNING", "TASK_FAILED"] {
        let update = framework.update().await;
        assert_eq!(update["task_id"]["value"], "more", "{update:#}");
        assert_eq!(update["state"], state);
        assert_eq!(update["container_status"]["container_id"], containers[0]);
    }
    let to = json!({
        "agent_id": offer["agent_id"],
        "executor_id": { "value": "crew" },
        "data": "aGVsbG8=",
    });
    framework.call("MESSAGE", to).await;
    let echo = framework.hear("MESSAGE").await;
    assert_eq!(echo["data"], "aGVsbG8=");
    assert_eq!(echo["executor_id"]["value"], "crew");

    let kill = json!({ "task_id": { "value": "stays" }, "agent_id": offer["agent_id"] });
    framework.call("KILL", kill).await;
    let killed = framework.update().await;
    assert_eq!(killed["task_id"]["value"], "stays", "{killed:#}");
    assert_eq!(killed["state"], "TASK_KILLED");
    let shutdown = json!({
        "executor_id": { "value": "crew" },
        "agent_id": offer["agent_id"],
    });
    framework.call("SHUTDOWN", shutdown).await;
    let failure = framework.hear("FAILURE").await;
    assert_eq!(failure["executor_id"]["value"], "crew");
    assert_eq!(failure["status"], 0, "{failure:#}");
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_a_frameworks_executor_works_on_while_its_agent_is_upgraded() {
    let mut cluster = Cluster::start_upgradable().await;
    demand_tokens(&mut cluster).await;
    let mut framework = Framework::subscribe(&cluster.api.address, "crews").await;
    let offer = framework
        .launch(|offer| vec![task(offer, "stays", "exec sleep 1000")])
        .await;
    let running = framework.update().await;
    assert_eq!(running["state"], "TASK_RUNNING", "{running:#}");
    let mut number = 0;
    for _ in 0..3 {
        let answer = cluster.agents[0].upgrade().await;
        assert!(answer.success, "{answer:?}");
        // The master takes back what it offers of an agent that registers, and a framework may not know yet.
        let begun = loop {
            number += 1;
            framework
                .launch(|offer| vec![task(offer, &format!("t{number}"), "exit 3")])
                .await;
            let update = framework.update().await;
            if update["reason"] != "REASON_INVALID_OFFERS" {
                break update;
            }
        };
        for (update, state) in [
            (begun, "TASK_RUNNING"),
            (framework.update().await, "TASK_FAILED"),
        ] {
            assert_eq!(update["state"], state, "{update:#}");
            // The same executor.
            assert_eq!(
                update["container_status"]["container_id"],
                running["container_status"]["container_id"]
            );
        }
    }
    let shutdown = json!({
        "executor_id": { "value": "crew" },
        "agent_id": offer["agent_id"],
    });
    framework.call("SHUTDOWN", shutdown).await;
    let failure = framework.hear("FAILURE").await;
    assert_eq!(failure["executor_id"]["value"], "crew");
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_a_framework_hears_of_the_end_of_an_executor_that_is_killed() {
    let cluster = Cluster::start(1).await;
    let mut framework = Framework::subscribe(&cluster.api.address, "crews").await;
    framework
        .launch(|offer| vec![task(offer, "stays", "exec sleep 1000")])
        .await;
    let running = framework.update().await;
    assert_eq!(running["state"], "TASK_RUNNING", "{running:#}");
    let first = running["container_status"]["executor_pid"]
        .as_i64()
        .unwrap();
    let first = nix::unistd::Pid::from_raw(i32::try_from(first).unwrap());
    nix::sys::signal::kill(first, nix::sys::signal::Signal::SIGKILL).unwrap();
    let failed = framework.update().await;
    assert_eq!(failed["state"], "TASK_FAILED", "{failed:#}");
    assert_eq!(failed["reason"], "REASON_EXECUTOR_TERMINATED");
    let failure = framework.hear("FAILURE").await;
    assert_eq!(failure["executor_id"]["value"], "crew");
    assert_eq!(failure["status"], 9);
    // All that it had is free again.
    framework
        .launch(|offer| {
            let mut task = task(offer, "again", "exit 0");
            task["executor"]["executor_id"]["value"] = "next".into();
            vec![task]
        })
        .await;
    for state in ["TASK_RUNNING", "TASK_FINISHED"] {
        assert_eq!(framework.update().await["state"], state);
    }
    framework.call("TEARDOWN", json!({})).await;
    cluster.nothing_left().await;
}
