//! An agent that is out of reach while its containers run on, and its return.

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::apps::{Task, shell};
use tests::cluster::{Agent, Cluster};
use tests::eventually;

/// An agent is lost after ten seconds without an answer: nothing but a stop takes one that long.
const PINGS: [&str; 2] = ["--agent_ping_timeout=2secs", "--max_agent_ping_timeouts=4"];

#[tokio::test]
async fn root_tasks_of_an_agent_that_answers_no_pings_move_and_are_not_doubled_by_its_return() {
    let cluster = Cluster::start_with(&PINGS, 2).await;
    let mut app = shell("moving", "exec sleep 1000");
    app["instances"] = 3.into();
    let before = cluster.run(&app).await;
    let lost = cluster.agent_of(&before[0]);
    let kept = cluster.agents.iter().find(|agent| agent.name != lost.name);
    let kept = kept.unwrap();
    let left_behind = lost.processes();

    lost.signal(Signal::SIGSTOP);
    cluster.registered(1).await;
    let moved = all_on(&cluster, kept).await;
    // What ran on the other agent was left alone, and what moved has new names.
    for task in &before {
        assert_eq!(moved.contains(task), task.host == kept.name, "{moved:?}");
    }
    let on_lost = before.iter().filter(|task| task.host == lost.name);
    let on_lost = sorted(on_lost.map(|task| task.id.clone()).collect());
    assert_eq!(on_lost, known(&cluster, "unreachable_tasks").await);
    assert_eq!(ids(&moved), known(&cluster, "tasks").await);
    assert_eq!(left_behind, lost.processes(), "they end with their agent");
    let processes = kept.processes();

    lost.signal(Signal::SIGCONT);
    cluster.registered(2).await;
    eventually("nothing runs on the agent that was lost", || async {
        lost.nothing_left()
    })
    .await;
    // Only then has the scheduler heard of their end, and could have started others for them.
    eventually("what moved has ended for good", || async {
        let ended = known(&cluster, "completed_tasks").await;
        match ended == on_lost {
            true => Ok(()),
            false => Err(format!("{ended:?}")),
        }
    })
    .await;
    cluster.settled().await;
    assert_eq!(all_on(&cluster, kept).await, moved);
    assert_eq!(processes, kept.processes(), "a process was replaced");
    assert_eq!(ids(&moved), known(&cluster, "tasks").await);
    assert_eq!(known(&cluster, "unreachable_tasks").await, [""; 0]);
    cluster.remove("moving").await;
    cluster.nothing_left().await;
}

/// Waits until the three instances run on this agent.
async fn all_on(cluster: &Cluster, agent: &Agent) -> Vec<Task> {
    eventually(&format!("all run on {}", agent.name), || async {
        let mut tasks = cluster.running("moving", 3).await;
        tasks.sort_by(|one, other| one.id.cmp(&other.id));
        match tasks.iter().all(|task| task.host == agent.name) {
            true => Ok(tasks),
            false => Err(format!("{tasks:?}")),
        }
    })
    .await
}

/// Ids of the scheduler's tasks that the master has under this key, sorted.
async fn known(cluster: &Cluster, key: &str) -> Vec<String> {
    let state = cluster.api.json("/frameworks").await;
    let tasks = state["frameworks"][0][key].as_array().into_iter().flatten();
    let id = |task: &Value| task["id"].as_str().unwrap_or_default().to_owned();
    sorted(tasks.map(id).collect())
}

fn ids(tasks: &[Task]) -> Vec<String> {
    sorted(tasks.iter().map(|task| task.id.clone()).collect())
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_unstable();
    ids
}
