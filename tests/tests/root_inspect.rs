//! `longshore inspect`, as an operator asks what a task runs in.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::{Value, json};
use tests::apps::shell;
use tests::cluster::Cluster;
use tests::{eventually, program};

#[tokio::test]
async fn root_a_task_is_explained_also_by_an_agent_that_was_restarted() {
    let mut cluster = Cluster::start(1).await;
    let mut app = shell("explained", "exec sleep 1000");
    app["env"] = json!({ "PASSWORD": "geheim" });
    app["portDefinitions"] = json!([{ "port": 0 }]);
    let task = cluster.run(&app).await.remove(0);

    let answer = explained(&cluster, &task.id).await;
    assert_eq!(answer["task_id"], task.id);
    let container = answer["container_id"].as_str().unwrap().to_owned();
    let sandbox = answer["sandbox"].as_str().unwrap();
    assert!(sandbox.ends_with(&container), "{sandbox}");

    let spec = &answer["spec"];
    let args = spec["process"]["args"].as_array().unwrap();
    assert_eq!(args.last().unwrap(), "exec sleep 1000");
    let namespaces = spec["linux"]["namespaces"].as_array().unwrap();
    for kind in ["pid", "mount", "ipc", "uts", "cgroup"] {
        let has = namespaces.iter().any(|it| it["type"] == kind);
        assert!(has, "{kind}: {namespaces:?}");
    }
    let cgroup = format!("/{}/{container}", cluster.agents[0].cgroups_root);
    assert_eq!(spec["linux"]["cgroupsPath"], cgroup);
    let env = spec["process"]["env"].as_array().unwrap();
    for shown in [
        "PASSWORD=<hidden>".to_owned(),
        "MARATHON_APP_ID=/explained".to_owned(),
        format!("PORT0={}", task.ports[0]),
    ] {
        assert!(env.contains(&shown.as_str().into()), "{shown}: {env:?}");
    }
    assert!(!answer.to_string().contains("geheim"));
    assert_phases_make_up_the_total(&answer["launch"]);
    let containers = cluster.agents[0].api.json("/containers").await;
    assert_eq!(containers[0]["launch"], answer["launch"]);

    // Whichever way the task is named.
    for name in [
        "explained",
        "/explained",
        "expl",
        &container,
        &container[..9],
    ] {
        assert_eq!(explained(&cluster, name).await, answer, "{name}");
    }

    cluster.agents[0].kill();
    cluster.agents[0].start().await;
    assert_eq!(explained(&cluster, &task.id).await, answer);
    cluster.remove("explained").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_the_phases_of_a_launch_are_a_table() {
    let cluster = Cluster::start(1).await;
    cluster.run(&shell("timed", "exec sleep 1000")).await;
    let said = inspect(&cluster, &["--timings", "timed"]).unwrap();
    let phases: Vec<_> = said
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        phases,
        [
            "PHASE",
            "checkpoint",
            "turn",
            "sandbox",
            "fetch",
            "plan",
            "queue",
            "compile",
            "record",
            "cgroup",
            "spawn",
            "setup",
            "exec",
            "total"
        ],
        "{said}"
    );
}

#[tokio::test]
async fn root_what_cannot_be_inspected_is_told_in_plain_words() {
    let cluster = Cluster::start(1).await;
    let nothing = inspect(&cluster, &["web"]).unwrap_err();
    assert!(nothing.contains("no task runs there"), "{nothing}");

    let mut app = shell("twice", "exec sleep 1000");
    app["instances"] = 2.into();
    let tasks = cluster.run(&app).await;
    for (name, words) in [("web", "runs there, but"), ("twice", "several tasks")] {
        let refused = inspect(&cluster, &[name]).unwrap_err();
        assert!(refused.contains(words), "{refused}");
        for task in &tasks {
            assert!(refused.contains(&task.id), "{refused}");
        }
    }

    let master = format!("--agent={}", cluster.api.address);
    let refused = inspect(&cluster, &["twice", &master]).unwrap_err();
    assert!(refused.contains("there is no agent"), "{refused}");
}

/// Waits for an agent that recovers.
async fn explained(cluster: &Cluster, task: &str) -> Value {
    let what = format!("{task} is explained");
    let said = eventually(&what, || async { inspect(cluster, &[task]) }).await;
    let mut said: Value = serde_json::from_str(&said).unwrap();
    // That is measured again and again.
    said.as_object_mut().unwrap().remove("disk").unwrap();
    said
}

/// What the program prints; the words of its refusal where it ends with 1.
fn inspect(cluster: &Cluster, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program::longshore());
    command.arg("inspect");
    if !words.iter().any(|word| word.starts_with("--agent")) {
        command.arg(format!("--agent={}", cluster.agents[0].api.address));
    }
    let output = command.args(words).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.code() {
        Some(0) => Ok(text(&output.stdout)),
        Some(1) => Err(text(&output.stderr)),
        other => panic!("{other:?}: {}", text(&output.stderr)),
    }
}

fn assert_phases_make_up_the_total(launch: &Value) {
    let mut phases = launch.as_object().unwrap().clone();
    let total = phases.remove("total_ms").unwrap().as_f64().unwrap();
    for phase in ["sandbox_ms", "queue_ms", "cgroup_ms", "setup_ms", "exec_ms"] {
        assert!(phases.contains_key(phase), "{phase}: {launch:#}");
    }
    let sum: f64 = phases.values().filter_map(Value::as_f64).sum();
    assert!(sum > 0.0, "{launch:#}");
    // Each is cut to microseconds, and sums of fractions are inexact.
    assert!(sum <= total + 0.000_001, "{sum} of {total}: {launch:#}");
}
