//! An upgrade for which there is no room on the disk, or not enough: nothing of a task without checkpoints
//! is there before, so all of it must find its place, or the agent that knows it stays.

use std::ffi::OsString;
use std::future::pending;
use std::path::PathBuf;

use proto::v1::TaskState::{TaskKilled, TaskRunning};

use super::super::full::{end_of, failed_for_want_of_room, own_port, runs};
use super::*;
use crate::small_disk::SmallDisk;
use crate::upgrade::{Program, Upgrade, upgrade};

/// Says that it can take over, in the words of `upgrade`, and waits.
fn successor() -> Program {
    let say = OsString::from("printf '\\001\\000\\000\\000\\000' >&0; exec cat > /dev/null");
    Program {
        path: PathBuf::from("/bin/sh"),
        arguments: vec!["-c".into(), say],
    }
}

/// What there is on the disk of that task.
fn written(node: &Node) -> Vec<PathBuf> {
    let framework = node
        .flags
        .work_dir
        .join("meta/slaves/M-S0/frameworks/fleeting");
    let executor = framework.join("executors/fleeting");
    match std::fs::read_dir(&executor) {
        Ok(found) => found.map(|it| it.unwrap().path()).collect(),
        Err(_) => vec![],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_upgrade_on_a_full_disk_is_refused_and_one_with_room_takes_every_task_along() {
    let mut node = node().await;
    let small = SmallDisk::mount(&node.flags.work_dir);
    node.flags.port = own_port();
    let (handle, mut link) = node.start().await;
    link.say(run(task("lasting", "exec sleep 1000"))).await;
    runs(&mut link, "lasting").await;
    // So long that it takes more than one page.
    let long = format!("exec sleep 1000 # {}", "x".repeat(6000));
    link.say(fleeting(run(task("fleeting", &long)))).await;
    runs(&mut link, "fleeting").await;
    small.fill();

    let upgraded = upgrade(handle, &successor(), &node.flags, pending()).await;
    let Upgrade::Kept { agent, why } = upgraded else {
        panic!("{upgraded:?}");
    };
    let task_of = "task fleeting/fleeting cannot be handed over: cannot write checkpoint /";
    assert!(why.contains(task_of), "{why}");
    assert!(why.contains("(make room in its file system)"), "{why}");
    assert!(why.ends_with("No space left on device (os error 28)"));
    assert_eq!(written(&node), [] as [PathBuf; 0]);

    // It is the agent as before.
    assert_eq!(agent.agent_id().as_deref(), Some("M-S0"));
    let state = get(&agent, "/state").await;
    assert_eq!(state["frameworks"].as_array().unwrap().len(), 2);
    link.say(run(task("new", "true"))).await;
    failed_for_want_of_room(&end_of(&mut link, "new").await);

    // With a page more each time, every write fails once, or what is before it in its page does.
    let mut refused = 0;
    loop {
        agent.settle().await.await.unwrap();
        let Err(why) = agent.write_down().await.await.unwrap() else {
            break;
        };
        assert!(why.ends_with("No space left on device (os error 28)"));
        assert_eq!(written(&node), [] as [PathBuf; 0]);
        agent.resume(vec![]).await;
        refused += 1;
        small.make_room_for(1);
    }
    assert!(refused > 2, "{refused}");
    assert_ne!(written(&node), [] as [PathBuf; 0]);
    small.make_room();
    let (relieved, let_go) = agent.relieve().await;
    assert_eq!(let_go, Ok(()));

    let (handle, mut link) = again(&mut node, relieved, link).await;
    let mut known: Vec<_> = (link.register.tasks.iter())
        .map(|task| (task.name.as_str(), task.state()))
        .collect();
    known.sort_unstable_by_key(|task| task.0);
    assert_eq!(known[0], ("fleeting", TaskRunning));
    assert_eq!(known[1], ("lasting", TaskRunning));
    let mut order = kill("fleeting");
    if let to_agent::Message::KillTask(kill) = &mut order {
        kill.framework_id.value = "fleeting".into();
    }
    link.say(order).await;
    assert_eq!(end_of(&mut link, "fleeting").await.state(), TaskKilled);
    node.end(handle).await;
    drop(small);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_a_full_disk_kept_off_is_written_down_before_another_process_has_the_task() {
    let mut node = node().await;
    let small = SmallDisk::mount(&node.flags.work_dir);
    node.flags.port = own_port();
    let (handle, mut link) = node.start().await;
    for id in ["lasting", "ends"] {
        let long = format!("exec sleep 1000 # {}", "x".repeat(6000));
        link.say(run(task(id, &long))).await;
        runs(&mut link, id).await;
    }
    small.fill();
    link.say(kill("ends")).await;
    assert_eq!(end_of(&mut link, "ends").await.state(), TaskKilled);
    handle.settle().await.await.unwrap();
    let why = handle.write_down().await.await.unwrap().unwrap_err();
    assert!(
        why.starts_with("task F/ends cannot be handed over"),
        "{why}"
    );
    small.make_room();
    assert_eq!(handle.write_down().await.await.unwrap(), Ok(()));
    let (relieved, let_go) = handle.relieve().await;
    assert_eq!(let_go, Ok(()));

    // That it was killed is known, and not only that it has ended.
    let (handle, mut link) = again(&mut node, relieved, link).await;
    let completed = link.register.completed_tasks.iter();
    let ended = (link.register.tasks.iter().chain(completed)).find(|it| it.name == "ends");
    assert_eq!(ended.unwrap().state(), TaskKilled);
    link.say(kill("lasting")).await;
    assert_eq!(end_of(&mut link, "lasting").await.state(), TaskKilled);
    node.end(handle).await;
    drop(small);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_id_that_a_full_disk_kept_off_is_written_down_before_another_process_looks_for_it()
{
    let mut node = node().await;
    let small = SmallDisk::mount(&node.flags.work_dir);
    let handle = start(node.flags.clone()).await.unwrap();
    small.fill();
    let link = node.master.accept("M-S0").await;
    assert_eq!(handle.registered().await.as_deref(), Some("M-S0"));
    let why = handle.write_down().await.await.unwrap().unwrap_err();
    assert!(why.contains("meta/slaves/M-S0/slave.info"), "{why}");
    small.make_room();
    assert_eq!(handle.write_down().await.await.unwrap(), Ok(()));
    let latest = node.flags.work_dir.join("meta/slaves/latest");
    assert_eq!(std::fs::read_link(latest).unwrap(), PathBuf::from("M-S0"));
    node.end(handle).await;
    drop((small, link));
}
