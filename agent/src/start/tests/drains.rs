//! An agent that is drained: by the end of its tasks, by a deadline, across a restart, and not any more.

use proto::link::from_agent;
use proto::v1::task_status::Reason;
use proto::v1::{DrainState, TaskState};
use reqwest::Method;
use serde_json::json;

use super::logs::until;
use super::*;

pub async fn ask(handle: &Handle, method: Method, body: Option<Value>) -> (u16, Value) {
    ask_at(handle.address(), method, body).await
}

pub async fn ask_at(
    address: std::net::SocketAddr,
    method: Method,
    body: Option<Value>,
) -> (u16, Value) {
    let url = format!("http://{address}/drain");
    let mut request = reqwest::Client::new().request(method, url);
    if let Some(body) = body {
        request = request
            .header("content-type", "application/json")
            .body(body.to_string());
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

/// What the master is told of a drain next.
async fn told(link: &mut FakeLink) -> Option<DrainState> {
    loop {
        if let from_agent::Message::Drain(drain) = link.hear().await {
            return drain.drain_info.map(|info| info.state());
        }
    }
}

/// The last updates of that many tasks, which come while the master is told that the agent is drained.
async fn drained(link: &mut FakeLink, tasks: usize) -> Vec<TaskStatus> {
    // They may have ended before the agent came up, on a slow machine: then it has registered as drained.
    let registered = link.register.drain_info.as_ref().map(v1::DrainInfo::state);
    let (mut ended, mut is_drained) = (Vec::new(), registered == Some(DrainState::Drained));
    while ended.len() < tasks || !is_drained {
        let update = match link.hear().await {
            from_agent::Message::Update(update) => update,
            from_agent::Message::Drain(drain) => {
                let state = drain.drain_info.map(|info| info.state());
                is_drained = state == Some(DrainState::Drained);
                continue;
            }
            _ => continue,
        };
        let acknowledge = proto::link::Acknowledge {
            framework_id: update.framework_id,
            task_id: update.status.task_id.clone(),
            uuid: update.status.uuid().to_vec(),
        };
        link.say(to_agent::Message::Acknowledge(acknowledge)).await;
        if proto::task::is_terminal(update.status.state()) {
            ended.push(update.status);
        }
    }
    ended
}

async fn launch(link: &mut FakeLink, id: &str, command: &str) {
    link.say(run(task(id, command))).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    assert_eq!(link.update().await.state(), TaskState::TaskRunning);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_agent_that_drains_takes_no_task_and_is_drained_when_the_last_has_ended() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    launch(&mut link, "t", "until [ -e go ]; do sleep 0.05; done").await;
    let (status, told_of) = ask(&handle, Method::POST, Some(json!({}))).await;
    assert_eq!(
        (status, &told_of["drain_info"]["state"]),
        (200, &json!("DRAINING"))
    );
    assert_eq!(told(&mut link).await, Some(DrainState::Draining));
    link.say(run(task("late", "true"))).await;
    let refused = link.update().await;
    assert_eq!(refused.state(), TaskState::TaskLost);
    assert_eq!(refused.reason(), Reason::AgentDraining);
    assert_eq!(
        refused.message(),
        "Task was received while agent was already draining"
    );
    let state = get(&handle, "/state").await;
    assert_eq!(state["drain_info"]["state"], "DRAINING");
    assert_eq!(state["drain_config"]["mark_gone"], false);
    assert!(state["estimated_drain_start_time_seconds"].is_u64());
    stop(handle, link).await;

    // The next agent goes on with it, and says so when it registers.
    let (handle, mut link) = node.start().await;
    let registered = link.register.drain_info.as_ref();
    assert_eq!(registered.unwrap().state(), DrainState::Draining);
    let metrics = get(&handle, "/metrics/snapshot").await;
    assert_eq!(
        (&metrics["slave/draining"], &metrics["slave/drained"]),
        (&json!(1.0), &json!(0.0))
    );
    let sandbox = node
        .dir
        .path()
        .join("work/slaves/M-S0/frameworks/F/executors/t/runs/latest");
    std::fs::write(sandbox.join("go"), "").unwrap();
    let ended = drained(&mut link, 1).await;
    assert_eq!(states(&ended), [TaskState::TaskFinished]);
    let (_, told_of) = ask(&handle, Method::GET, None).await;
    assert_eq!(told_of["drain_info"]["state"], "DRAINED");
    stop(handle, link).await;

    // Drained it stays, until somebody takes that back.
    let (handle, mut link) = node.start().await;
    let registered = link.register.drain_info.as_ref();
    assert_eq!(registered.unwrap().state(), DrainState::Drained);
    let (status, told_of) = ask(&handle, Method::DELETE, None).await;
    assert_eq!((status, told_of), (200, json!({"tasks": 0})));
    assert_eq!(told(&mut link).await, None);
    launch(&mut link, "again", "exec sleep 1000").await;
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_runs_at_the_deadline_of_a_drain_is_killed_and_told_why() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    launch(&mut link, "soft", "exec sleep 1000").await;
    launch(
        &mut link,
        "hard",
        "trap '' TERM; touch deaf; while :; do sleep 0.1; done",
    )
    .await;
    let hard = (node.flags.work_dir).join("slaves/M-S0/frameworks/F/executors/hard/runs/latest");
    until("it does not hear", || hard.join("deaf").exists()).await;
    // Also when nobody was there when it came.
    let soon = json!({"deadline": {"nanoseconds": 50_000_000},
                      "max_grace_period": {"nanoseconds": 3_000_000_000_u64}});
    let (status, _) = ask(&handle, Method::POST, Some(soon)).await;
    assert_eq!(status, 200);
    stop(handle, link).await;
    let (handle, mut link) = node.start().await;
    for last in drained(&mut link, 2).await {
        assert_eq!(last.state(), TaskState::TaskKilled, "{}", last.message());
        assert_eq!(last.reason(), Reason::AgentDraining);
        let wanted = "its agent is drained, and the deadline of that had come";
        assert!(last.message().contains(wanted), "{}", last.message());
        let forced = last.message().contains("after its grace period");
        assert_eq!(forced, last.task_id.value == "hard");
    }
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_only_who_may_begins_a_drain() {
    let mut node = node().await;
    let (handle, _link) = node.start().await;
    let client = reqwest::Client::new();
    let url = format!("http://{}/drain", handle.address());
    let form = client.post(&url).body("{}").send().await.unwrap();
    assert_eq!(form.status().as_u16(), 415);
    for bad in [
        json!({"deadline": 5}),
        json!({"mark_gone": true}),
        json!(["x"]),
    ] {
        assert_eq!(ask(&handle, Method::POST, Some(bad)).await.0, 400);
    }
    let put = client.put(&url).send().await.unwrap();
    assert_eq!(put.headers()["allow"], "GET, POST, DELETE");
    assert_eq!(
        ask(&handle, Method::GET, None).await,
        (200, json!({"tasks": 0}))
    );
    node.end(handle).await;
}
