//! The agent lets go of what runs and takes it up again, as after an upgrade that failed; a successor does
//! the second half in another process: see the tests of whole programs.

mod full;

use std::collections::BTreeSet;

use proto::v1::TaskState;
use proto::v1::task_status::Reason;
use reqwest::Method;
use serde_json::json;

use super::drains::ask_at;
use super::*;

/// Of a framework that does not checkpoint.
fn fleeting(mut order: to_agent::Message) -> to_agent::Message {
    let to_agent::Message::RunTask(run) = &mut order else {
        panic!("{order:?}");
    };
    run.framework.id = Some(v1::FrameworkId {
        value: "fleeting".into(),
    });
    run.framework.checkpoint = Some(false);
    order
}

/// The agent that there was, and the link of the one that there is.
pub async fn again(node: &mut Node, relieved: Relieved, old: FakeLink) -> (Handle, FakeLink) {
    let prepared = Prepared::new(node.flags.clone()).unwrap();
    let recovered = tokio::spawn(relieved.recover(prepared, vec![]));
    let link = node.master.accept("M-S0").await;
    // The master ends a link when there is another.
    drop(old);
    (recovered.await.unwrap().unwrap(), link)
}

#[tokio::test(flavor = "multi_thread")]
async fn root_tasks_and_orders_outlast_an_agent_that_lets_go() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("lasting", "exec sleep 1000"))).await;
    link.say(fleeting(run(task("fleeting", "exec sleep 1000"))))
        .await;
    let mut running = 0;
    while running < 2 {
        running += usize::from(link.update().await.state() == TaskState::TaskRunning);
    }
    handle.settle().await.await.unwrap();
    // Held back, and what is about others is done.
    link.say(run(task("held", "exec sleep 1000"))).await;
    let (relieved, let_go) = handle.relieve().await;
    assert_eq!(let_go, Ok(()));
    link.say(kill("lasting")).await;

    let (handle, mut link) = again(&mut node, relieved, link).await;
    let mut known: Vec<_> = link.register.tasks.iter().collect();
    known.sort_by_key(|task| &task.task_id.value);
    let states: Vec<_> = known
        .iter()
        .map(|task| (task.task_id.value.as_str(), task.state()))
        .collect();
    let running = TaskState::TaskRunning;
    assert_eq!(states, [("fleeting", running), ("lasting", running)]);
    let wanted = [
        ("held", TaskState::TaskStarting),
        ("held", TaskState::TaskRunning),
        ("lasting", TaskState::TaskKilled),
    ];
    let wanted = BTreeSet::from(wanted.map(|(task, state)| (task.to_owned(), state)));
    let mut seen = BTreeSet::new();
    while seen.len() < wanted.len() {
        let update = link.update().await;
        let said = (update.task_id.value.clone(), update.state());
        // Whose acknowledgement did not come in time is said again.
        if !matches!(said.0.as_str(), "fleeting" | "lasting") || said.1 != running {
            seen.insert(said);
        }
    }
    assert_eq!(seen, wanted);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_drain_that_is_ordered_while_nobody_is_the_agent_is_begun_by_who_is_next() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("lasting", "exec sleep 1000"))).await;
    while link.update().await.state() != TaskState::TaskRunning {}
    handle.settle().await.await.unwrap();
    let address = handle.address();
    let (relieved, let_go) = handle.relieve().await;
    assert_eq!(let_go, Ok(()));
    let mut asked = tokio::spawn(ask_at(address, Method::POST, Some(json!({}))));
    // Who has let go says nothing to it; one that did would do so at once.
    let answered = tokio::time::timeout(Duration::from_millis(300), &mut asked).await;
    assert!(answered.is_err(), "{answered:?}");

    let (handle, mut link) = again(&mut node, relieved, link).await;
    let (status, told) = asked.await.unwrap();
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["drain_info"]["state"], "DRAINING");
    link.say(run(task("late", "true"))).await;
    let refused = loop {
        let update = link.update().await;
        if update.task_id.value == "late" {
            break update;
        }
    };
    assert_eq!(refused.reason(), Reason::AgentDraining);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_end_that_the_agent_has_seen_is_told_once_though_it_lets_go() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    for number in 0..10 {
        let end = format!("sleep 0.{number}; exit {number}");
        link.say(run(task(&format!("t{number}"), &end))).await;
    }
    handle.settle().await.await.unwrap();
    let (relieved, let_go) = handle.relieve().await;
    assert_eq!(let_go, Ok(()));
    let (handle, mut next) = again(&mut node, relieved, link).await;
    // All that end from now on, and those that ended before and were not acknowledged.
    let live = next.register.tasks.iter();
    let mut open: BTreeSet<_> = live.map(|task| task.task_id.value.clone()).collect();
    while !open.is_empty() {
        let update = next.update().await;
        if proto::task::is_terminal(update.state()) {
            let number = update.task_id.value.trim_start_matches('t');
            let wanted = match number {
                "0" => "Command exited with status 0".to_owned(),
                number => format!("Command exited with status {number}"),
            };
            assert_eq!(update.message(), wanted);
            assert!(open.remove(&update.task_id.value), "{update:?} comes twice");
        }
    }
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_agent_that_need_not_let_go_after_all_begins_what_it_held_back() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    handle.settle().await.await.unwrap();
    link.say(run(task("held", "exec sleep 1000"))).await;
    link.say(kill("held")).await;
    link.say(run(task("second", "true"))).await;
    handle.resume(vec![]).await;
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let update = link.update().await;
        if proto::task::is_terminal(update.state()) {
            ended.push((update.task_id.value.clone(), update.state()));
        }
    }
    ended.sort();
    let wanted = [
        ("held".to_owned(), TaskState::TaskKilled),
        ("second".to_owned(), TaskState::TaskFinished),
    ];
    assert_eq!(ended, wanted);
    node.end(handle).await;
}
