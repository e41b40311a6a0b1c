//! Executors whose sandbox takes more than they and their tasks may.

use super::super::disks::disk_of;
use super::*;

fn with_disk(id: &str, command: &str, own: u64) -> TaskInfo {
    let resources = |text: String| Resources::parse(&text, "*").unwrap().to_protos();
    let mut task = hosted(id, command);
    task.resources = resources("cpus:0.1;mem:32;disk:2".to_owned());
    let executor = task.executor.as_mut().unwrap();
    executor.resources = resources(format!("cpus:0.1;mem:64;disk:{own}"));
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_executor_may_take_its_disk_and_that_of_its_live_tasks() {
    let mut node = node().await;
    node.flags.executor_reregistration_timeout = Duration::from_secs(15);
    node.flags.container_disk_watch_interval = Duration::from_millis(100);
    node.flags.enforce_container_disk_quota = true;
    let (handle, mut link) = node.start().await;
    let fills =
        "until [ -e go ]; do sleep 0.05; done; head -c 5000000 /dev/zero > big; exec sleep 1000";
    for id in ["t1", "t2"] {
        link.say(run(with_disk(id, fills, 2))).await;
    }
    let voice = Voice::of(&handle, Encoding::Protobuf);
    let mut ears = voice.subscribe(&[], &[]).await;
    for id in ["t1", "t2"] {
        ears.hear(Type::Launch).await;
        voice.update(id, TaskRunning, id.as_bytes()[1]).await;
        assert_eq!(link.update().await.state(), TaskRunning);
    }
    let (_, limit) = disk_of(&handle, "E", 0).await;
    assert_eq!(limit, 6 * MB);
    let executors = node
        .flags
        .work_dir
        .join("slaves/M-S0/frameworks/F/executors");
    std::fs::write(executors.join("E/runs/latest/go"), "").unwrap();
    // More than with one of them it might.
    disk_of(&handle, "E", 9 * MB / 2).await;
    stop(handle, link).await;

    let (handle, mut link) = node.start().await;
    let voice = Voice::of(&handle, Encoding::Protobuf);
    let mut ears = voice.subscribe(&[], &[]).await;
    ears.hear(Type::Subscribed).await;
    let (_, limit) = disk_of(&handle, "E", 9 * MB / 2).await;
    assert_eq!(limit, 6 * MB);
    voice.update("t2", TaskFinished, 9).await;
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let update = link.update().await;
        if proto::task::is_terminal(update.state()) {
            ended.push(update);
        }
    }
    assert_eq!(ended[0].state(), TaskFinished);
    let last = &ended[1];
    assert_eq!(
        (last.task_id.value.as_str(), last.state(), last.source()),
        ("t1", TaskState::TaskFailed, Source::Agent)
    );
    assert_eq!(last.reason(), Reason::ContainerLimitationDisk);
    let wanted = "Disk usage (5MB) exceeds quota (4MB); largest directories: . (";
    assert!(last.message().starts_with(wanted), "{}", last.message());
    assert_eq!(last.limitation.as_ref().unwrap().resources[0].name, "disk");
    // Whoever could have told how it ended may have been killed with it.
    exited(&mut link).await;
    node.end(handle).await;
}
