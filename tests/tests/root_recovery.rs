//! The death of a daemon is not the death of a task.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::apps::shell;
use tests::cluster::Cluster;
use tests::eventually;

/// Writes without ever forking, so that the same processes are there all the time.
const TICKING: &str =
    "mkfifo never; exec 3<>never; while true; do echo tick; read -t 0.2 -u 3; done";

#[tokio::test]
async fn root_tasks_run_on_while_the_master_is_killed_and_comes_back() {
    let mut cluster = Cluster::start(2).await;
    let mut app = shell("steady", TICKING);
    app["instances"] = 4.into();
    // An agent offers 2 cpus, so each runs two.
    app["cpus"] = 1.into();
    let before = cluster.run(&app).await;
    longer(&cluster, &before, &vec![0; before.len()]).await;
    let processes = processes(&cluster);

    cluster.kill_master();
    let lines = output_lengths(&cluster, &before).await;
    longer(&cluster, &before, &lines).await;
    cluster.start_master().await;
    cluster.registered(2).await;

    let after = cluster.running("steady", 4).await;
    assert_eq!(ids(&before), ids(&after));
    assert_eq!(
        processes,
        self::processes(&cluster),
        "a process of a task was replaced"
    );
    cluster.remove("steady").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_tasks_run_on_while_a_scheduler_of_its_own_is_killed_and_comes_back() {
    let mut cluster = Cluster::start_with_scheduler_apart(1).await;
    let mut app = shell("steady", TICKING);
    app["instances"] = 2.into();
    let before = cluster.run(&app).await;
    longer(&cluster, &before, &vec![0; before.len()]).await;
    let processes = processes(&cluster);
    let framework = framework_id(&cluster).await;

    cluster.kill_scheduler();
    let lines = output_lengths(&cluster, &before).await;
    longer(&cluster, &before, &lines).await;
    cluster.start_scheduler().await;

    assert_eq!(ids(&before), ids(&cluster.running("steady", 2).await));
    // What it says of itself it could have read from its store: this takes the master, too.
    let answer = cluster
        .marathon
        .put("/v2/apps/steady", &serde_json::json!({ "instances": 3 }))
        .await;
    assert!(answer.status.is_success(), "{}", answer.text);
    let after = cluster.running("steady", 3).await;
    let after = ids(&after);
    assert!(
        ids(&before).iter().all(|id| after.contains(id)),
        "{after:?}"
    );
    assert_eq!(framework, framework_id(&cluster).await, "it is a new one");
    assert!(
        processes[0].is_subset(&self::processes(&cluster)[0]),
        "a process of a task was replaced"
    );
    let lines = output_lengths(&cluster, &before).await;
    longer(&cluster, &before, &lines).await;
    cluster.settled().await;
    cluster.remove("steady").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_tasks_run_on_while_an_agent_is_killed_and_comes_back() {
    let mut cluster = Cluster::start(1).await;
    let mut app = shell("steady", TICKING);
    app["instances"] = 2.into();
    // Somebody other than the agent must hold the other end of their terminals.
    app["tty"] = true.into();
    let before = cluster.run(&app).await;
    longer(&cluster, &before, &vec![0; before.len()]).await;
    let processes = processes(&cluster);
    let identity = agent_id(&cluster).await;

    cluster.agents[0].kill();
    assert_eq!(
        processes,
        self::processes(&cluster),
        "tasks died with the agent"
    );
    cluster.agents[0].start().await;
    cluster.registered(1).await;

    assert_eq!(identity, agent_id(&cluster).await, "the agent is a new one");
    assert_eq!(ids(&before), ids(&cluster.running("steady", 2).await));
    assert_eq!(
        processes,
        self::processes(&cluster),
        "a process of a task was replaced"
    );
    let lines = output_lengths(&cluster, &before).await;
    longer(&cluster, &before, &lines).await;
    cluster.remove("steady").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_a_task_that_ended_while_its_agent_was_dead_is_reported() {
    let mut cluster = Cluster::start(1).await;
    let end = tempfile::tempdir().unwrap();
    let flag = end.path().join("end");
    let mut app = shell(
        "brief",
        "while [ ! -e /end/end ]; do sleep 0.1; done; exit 7",
    );
    app["container"] = serde_json::json!({
        "type": "MESOS",
        "volumes": [{ "hostPath": end.path(), "containerPath": "/end", "mode": "RO" }],
    });
    cluster.run(&app).await;

    cluster.agents[0].kill();
    std::fs::write(&flag, "").unwrap();
    eventually("the task has ended", || async {
        let left = cluster.agents[0].processes();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    })
    .await;
    cluster.agents[0].start().await;

    let failure = cluster.failure("brief").await;
    let message = failure["message"].as_str().unwrap_or_default();
    assert!(message.contains("status 7"), "{message}");
    cluster.remove("brief").await;
    cluster.nothing_left().await;
}

/// Host pids in the containers of each agent.
fn processes(cluster: &Cluster) -> Vec<BTreeSet<i32>> {
    cluster
        .agents
        .iter()
        .map(tests::cluster::Agent::processes)
        .collect()
}

fn ids(tasks: &[tests::apps::Task]) -> Vec<(&str, &str)> {
    let mut ids: Vec<_> = tasks
        .iter()
        .map(|task| (task.id.as_str(), task.started_at.as_str()))
        .collect();
    ids.sort_unstable();
    ids
}

async fn output_lengths(cluster: &Cluster, tasks: &[tests::apps::Task]) -> Vec<usize> {
    let mut lengths = Vec::new();
    for task in tasks {
        let stdout = cluster.agent_of(task).file(&task.id, "stdout").await;
        lengths.push(stdout.map_or(0, |text| text.len()));
    }
    lengths
}

/// Until every task has written more.
async fn longer(cluster: &Cluster, tasks: &[tests::apps::Task], than: &[usize]) {
    eventually("every task has written more", || async {
        let now = output_lengths(cluster, tasks).await;
        let grown = now.iter().zip(than).all(|(now, then)| now > then);
        if grown {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await;
}

async fn agent_id(cluster: &Cluster) -> Value {
    cluster.api.json("/slaves").await["slaves"][0]["id"].clone()
}

/// Of the only framework that the master has ever had.
async fn framework_id(cluster: &Cluster) -> Value {
    let state = cluster.api.json("/frameworks").await;
    let all = ["frameworks", "completed_frameworks"];
    let known = all.iter().filter_map(|key| state[key].as_array()).flatten();
    let ids: Vec<_> = known.map(|framework| framework["id"].clone()).collect();
    let [id] = &ids[..] else {
        panic!("one was expected: {state:#}");
    };
    id.clone()
}
