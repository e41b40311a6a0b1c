//! Custom executors and the agent's own comings and goings.

use proto::link::RunTask;
use proto::v1::TaskState::{TaskLost, TaskStarting};

use super::super::handover;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn root_a_custom_executor_comes_back_to_the_next_agent_and_nothing_is_lost() {
    let mut node = node().await;
    node.flags.executor_reregistration_timeout = Duration::from_secs(15);
    let (handle, mut link) = node.start().await;
    for id in ["ran", "came", "lost"] {
        link.say(run(hosted(id, WAITS))).await;
    }
    let voice = Voice::of(&handle, Encoding::Protobuf);
    let mut ears = voice.subscribe(&[], &[]).await;
    for _ in ["ran", "came", "lost"] {
        ears.hear(Type::Launch).await;
    }
    voice.update("ran", TaskStarting, 1).await;
    let starting = link.update().await;
    let pid = starting.container_status.unwrap().executor_pid();
    stop(handle, link).await;

    let (handle, mut link) = node.start().await;
    assert_eq!(link.register.executors, [executor(WAITS)]);
    let mut told: Vec<_> = link.register.tasks.iter().map(|t| &t.name).collect();
    told.sort_unstable();
    assert_eq!(told, ["came", "lost", "ran"]);
    let voice = Voice::of(&handle, Encoding::Protobuf);
    assert_eq!(
        voice.update("ran", TaskRunning, 2).await,
        StatusCode::FORBIDDEN
    );
    // One that was stored before, and one that was not.
    let repeated = [
        voice::status("ran", TaskStarting, 1),
        voice::status("ran", TaskRunning, 2),
    ];
    let mut ears = voice.subscribe(&["came"], &repeated).await;
    ears.hear(Type::Subscribed).await;
    for uuid in [1, 2] {
        let stored = ears.hear(Type::Acknowledged).await.acknowledged.unwrap();
        assert_eq!(stored.uuid, [uuid; 16]);
    }
    let mut said = Vec::new();
    while said.len() < 2 {
        let update = link.update().await;
        // An acknowledgement that the first agent did not live to see has its update sent again.
        if update.state() != TaskStarting {
            said.push((update.task_id.value.clone(), update.state(), update.reason));
        }
    }
    said.sort();
    assert_eq!(
        said,
        [
            (
                "lost".to_owned(),
                TaskLost,
                Some(Reason::AgentRestarted as i32)
            ),
            ("ran".to_owned(), TaskRunning, None)
        ]
    );
    for (id, uuid) in [("ran", 3), ("came", 4)] {
        voice.update(id, TaskFinished, uuid).await;
        let finished = link.update().await;
        assert_eq!(
            (finished.task_id.value.as_str(), finished.state()),
            (id, TaskFinished)
        );
        let container = finished.container_status.unwrap();
        assert_eq!(container.executor_pid(), pid, "it is another process");
    }
    // It has had tasks, so it may wait for more, under the next agent, too.
    stop(handle, link).await;
    let (handle, mut link) = node.start().await;
    assert_eq!(link.register.executors.len(), 1);
    let voice = Voice::of(&handle, Encoding::Json);
    let mut ears = voice.subscribe(&[], &[]).await;
    ears.hear(Type::Subscribed).await;
    link.say(run(hosted("more", WAITS))).await;
    assert_eq!(
        ears.hear(Type::Launch).await.launch.unwrap().task.name,
        "more"
    );
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_custom_executor_loses_an_agent_that_lets_go_and_comes_back_to_the_next() {
    let mut node = node().await;
    node.flags.executor_reregistration_timeout = Duration::from_secs(60);
    let (handle, mut link) = node.start().await;
    link.say(run(hosted("t", WAITS))).await;
    let voice = Voice::of(&handle, Encoding::Json);
    let mut ears = voice.subscribe(&[], &[]).await;
    ears.hear(Type::Launch).await;
    voice.update("t", TaskRunning, 1).await;
    let running = link.update().await;
    let pid = running.container_status.unwrap().executor_pid();
    handle.settle().await.await.unwrap();
    link.say(run(hosted("held", WAITS))).await;
    let (relieved, let_go) = handle.relieve().await;
    assert_eq!(let_go, Ok(()));
    ears.until_closed().await;
    // It is there, and nobody who could say so: an executor that was told that it is not would give up.
    let (status, said) = voice.post(&voice.subscription(&["t"], &[])).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{said}");

    let (handle, mut link) = handover::again(&mut node, relieved, link).await;
    let voice = Voice::of(&handle, Encoding::Json);
    let mut ears = voice.subscribe(&["t"], &[]).await;
    ears.hear(Type::Subscribed).await;
    let launch = ears.hear(Type::Launch).await.launch.unwrap();
    assert_eq!(launch.task.name, "held");
    voice.update("t", TaskFinished, 2).await;
    let finished = loop {
        let update = link.update().await;
        // Whose acknowledgement did not come in time is said again.
        if update.state() != TaskRunning {
            break update;
        }
    };
    assert_eq!(
        (finished.task_id.value.as_str(), finished.state()),
        ("t", TaskFinished)
    );
    assert_eq!(finished.container_status.unwrap().executor_pid(), pid);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_that_waited_for_its_executor_is_handed_over_by_the_next_agent() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    for id in ["b", "c", "a"] {
        link.say(run(hosted(id, WAITS))).await;
    }
    known(&handle, 3).await;
    // Its container is there, and it is on its way to its first subscription. Until a moment ago it had not
    // even a sandbox.
    let executors = node
        .flags
        .work_dir
        .join("slaves/M-S0/frameworks/F/executors");
    let stdout = executors.join("E/runs/latest/stdout");
    let has_begun = || {
        let said = std::fs::read_to_string(&stdout).unwrap_or_default();
        said.contains("MESOS_")
    };
    while !has_begun() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop(handle, link).await;
    let (handle, mut link) = node.start().await;
    let voice = Voice::of(&handle, Encoding::Protobuf);
    let mut ears = voice.subscribe(&[], &[]).await;
    // In the order in which they came.
    for id in ["b", "c", "a"] {
        let launch = ears.hear(Type::Launch).await.launch.unwrap();
        assert_eq!(launch.task.name, id);
    }
    voice.update("a", TaskFinished, 1).await;
    assert_eq!(link.update().await.state(), TaskFinished);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_custom_executor_that_does_not_come_back_is_ended() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(hosted("t1", WAITS))).await;
    let voice = Voice::of(&handle, Encoding::Protobuf);
    let mut ears = voice.subscribe(&[], &[]).await;
    ears.hear(Type::Launch).await;
    voice.update("t1", TaskRunning, 1).await;
    let running = link.update().await;
    let pid = running.container_status.unwrap().executor_pid();
    stop(handle, link).await;
    let (handle, mut link) = node.start().await;
    let gone = loop {
        let update = link.update().await;
        if update.state() != TaskRunning {
            break update;
        }
    };
    assert_eq!(
        (gone.state(), gone.reason()),
        (TaskLost, Reason::ExecutorReregistrationTimeout)
    );
    assert!(
        gone.message()
            .starts_with("Executor did not re-register within 2secs"),
        "{}",
        gone.message()
    );
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    exited(&mut link).await;
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_custom_executor_that_ends_while_there_is_no_agent_tells_the_next_how() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let go = node.dir.path().join("go");
    let waits = format!("until [ -e {} ]; do sleep 0.01; done; exit 3", go.display());
    link.say(run(hosted("t1", &waits))).await;
    let voice = Voice::of(&handle, Encoding::Protobuf);
    let mut ears = voice.subscribe(&[], &[]).await;
    ears.hear(Type::Launch).await;
    voice.update("t1", TaskRunning, 1).await;
    assert_eq!(link.update().await.state(), TaskRunning);
    stop(handle, link).await;
    std::fs::write(&go, "").unwrap();
    super::super::restarts::until_one_ended(&node.dir.path().join("run/containers")).await;
    let (handle, mut link) = node.start().await;
    let failed = loop {
        let update = link.update().await;
        if update.state() != TaskRunning {
            break update;
        }
    };
    assert_eq!(failed.reason(), Reason::ExecutorTerminated);
    assert_eq!(
        failed.message(),
        "Executor terminated; Command exited with status 3"
    );
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_end_that_was_asked_for_goes_on_under_the_next_agent() {
    let mut node = node().await;
    node.flags.executor_reregistration_timeout = Duration::from_secs(15);
    let (handle, mut link) = node.start().await;
    let mut task = hosted("t1", WAITS);
    let own = task.executor.as_mut().unwrap();
    own.shutdown_grace_period = Some(DurationInfo {
        nanoseconds: 600_000_000_000,
    });
    link.say(run(task)).await;
    let voice = Voice::of(&handle, Encoding::Protobuf);
    let mut ears = voice.subscribe(&[], &[]).await;
    ears.hear(Type::Launch).await;
    link.say(shutdown()).await;
    ears.hear(Type::Shutdown).await;
    stop(handle, link).await;
    let (handle, link) = node.start().await;
    let voice = Voice::of(&handle, Encoding::Protobuf);
    let mut ears = voice.subscribe(&["t1"], &[]).await;
    ears.hear(Type::Subscribed).await;
    ears.hear(Type::Shutdown).await;
    assert_eq!(ears.next().await, None);
    drop(link);
    handle.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_custom_executor_that_does_not_checkpoint_ends_with_the_agent() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut framework = framework();
    framework.checkpoint = Some(false);
    let task = hosted("t1", WAITS);
    link.say(to_agent::Message::RunTask(RunTask { framework, task }))
        .await;
    let voice = Voice::of(&handle, Encoding::Protobuf);
    let mut ears = voice.subscribe(&[], &[]).await;
    ears.hear(Type::Launch).await;
    voice.update("t1", TaskRunning, 1).await;
    let running = link.update().await;
    let pid = running.container_status.unwrap().executor_pid();
    stop(handle, link).await;
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    let (handle, link) = node.start().await;
    assert!(link.register.tasks.is_empty());
    assert!(link.register.executors.is_empty());
    node.end(handle).await;
}
