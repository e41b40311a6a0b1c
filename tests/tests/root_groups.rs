//! Task groups, from a framework's operation to their end, on a host whose network is not ours.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::apart::apart;
use tests::cluster::Cluster;
use tests::eventually;
use tests::framework::Framework;

fn scalar(name: &str, value: f64) -> Value {
    json!({ "name": name, "type": "SCALAR", "scalar": { "value": value } })
}

/// On the bridge, with a port of the host that leads to port 8080.
fn executor(port: u16) -> Value {
    let ports = json!({ "range": [{ "begin": port, "end": port }] });
    json!({
        "type": "DEFAULT",
        "executor_id": { "value": "pod" },
        "resources": [
            scalar("cpus", 0.1),
            scalar("mem", 32.0),
            { "name": "ports", "type": "RANGES", "ranges": ports },
        ],
        "container": { "type": "MESOS", "network_infos": [{
            "name": "mesos-bridge",
            "port_mappings": [{ "host_port": port, "container_port": 8080 }],
        }] },
    })
}

fn task(offer: &Value, id: &str, command: &str) -> Value {
    json!({
        "name": id,
        "task_id": { "value": id },
        "agent_id": offer["agent_id"],
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)],
        "command": { "value": command },
    })
}

const SERVES: &str = "echo served > index.html; exec busybox httpd -f -p 8080";

/// Ends well once another task of its group answers at the loopback that they share.
const ASKS: &str =
    r#"until [ "$(busybox wget -q -O - http://127.0.0.1:8080/)" = served ]; do sleep 0.05; done"#;

/// The last update of each task, once each of these is in that state.
async fn told(framework: &mut Framework, wanted: &[(&str, &str)]) -> BTreeMap<String, Value> {
    let mut told: BTreeMap<String, Value> = BTreeMap::new();
    let is_in = |told: &BTreeMap<String, Value>, (task, state): &(&str, &str)| {
        told.get(*task).is_some_and(|last| last["state"] == *state)
    };
    while !wanted.iter().all(|wanted| is_in(&told, wanted)) {
        let update = framework.update().await;
        let task = update["task_id"]["value"].as_str().unwrap();
        told.insert(task.to_owned(), update);
    }
    told
}

/// What is served at a port of the host.
async fn page(port: u16) -> String {
    eventually("somebody answers", || async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("http://127.0.0.1:{port}/")).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        answer.text().await.map_err(|error| error.to_string())
    })
    .await
}

#[test]
fn root_a_group_shares_its_loopback_outlives_its_agent_and_ends_as_one() {
    apart(|| async {
        let mut cluster = Cluster::start(1).await;
        let port = cluster.agents[0].ports.0;
        let mut framework = Framework::subscribe(&cluster.api.address, "pods").await;
        let offer = framework
            .launch_group(&executor(port), |offer| {
                vec![
                    task(offer, "web", SERVES),
                    task(offer, "asks", ASKS),
                    task(offer, "stays", "exec sleep 1000"),
                ]
            })
            .await;
        let begun = [
            ("web", "TASK_RUNNING"),
            ("asks", "TASK_FINISHED"),
            ("stays", "TASK_RUNNING"),
        ];
        let begun = told(&mut framework, &begun).await;
        let mut containers = Vec::new();
        for update in begun.values() {
            assert_eq!(update["executor_id"]["value"], "pod", "{update:#}");
            let status = &update["container_status"];
            let network = &status["network_infos"][0];
            assert_eq!(network["ip_addresses"][0]["ip_address"], "10.211.0.2");
            let id = &status["container_id"];
            assert_eq!(
                id["parent"],
                begun["web"]["container_status"]["container_id"]["parent"]
            );
            assert!(!containers.contains(&id["value"]), "{id} is another's, too");
            containers.push(id["value"].clone());
        }
        assert_eq!(page(port).await, "served\n");
        // That of the executor, too.
        let state = cluster.api.json("/state").await;
        let frameworks = state["frameworks"].as_array().unwrap();
        let shown = frameworks.iter().find(|it| it["name"] == "pods").unwrap();
        assert_eq!(shown["used_resources"]["mem"], 96.0, "{shown:#}");

        let processes = cluster.agents[0].processes();
        cluster.agents[0].kill();
        cluster.agents[0].start().await;
        cluster.registered(1).await;
        // None is new, and one that answered may have ended.
        assert!(cluster.agents[0].processes().is_subset(&processes));
        assert_eq!(page(port).await, "served\n");

        let kill = json!({ "task_id": { "value": "web" }, "agent_id": offer["agent_id"] });
        framework.call("KILL", kill).await;
        let both = [("web", "TASK_KILLED"), ("stays", "TASK_KILLED")];
        let ended = told(&mut framework, &both).await;
        let why = ended["stays"]["message"].as_str().unwrap();
        assert!(why.contains("another task of its group"), "{why}");
        let failure = framework.hear("FAILURE").await;
        assert_eq!(failure["executor_id"]["value"], "pod", "{failure:#}");
        assert_eq!(failure["status"], 0);
        cluster.nothing_left().await;
    });
}
