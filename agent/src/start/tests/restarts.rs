//! Tasks and the agent's own comings and goings.

use std::time::Instant;

use proto::link::from_agent;
use proto::v1::TaskState;
use proto::v1::task_status::Reason;

use super::*;
use crate::Reconfiguration;

/// Waits until the first process of a container below `records` has noted how its command ended.
pub async fn until_one_ended(records: &Path) {
    let has_ended = || {
        let mut containers = std::fs::read_dir(records).unwrap().flatten();
        let noted = |status| std::fs::metadata(status).is_ok_and(|m| m.len() > 0);
        containers.any(|container| noted(container.path().join("status")))
    };
    let poll = async {
        while !has_ended() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), poll)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_tasks_outlive_the_agent_and_the_next_one_takes_them_over() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let go = node.dir.path().join("go").display().to_string();
    let waits = format!("until [ -e {go} ]; do sleep 0.01; done; exit 5");
    for (id, command) in [("stays", "sleep 1000"), ("ends", &waits)] {
        link.say(run(task(id, command))).await;
        assert_eq!(link.update().await.state(), TaskState::TaskStarting);
        assert_eq!(link.update().await.state(), TaskState::TaskRunning);
    }
    stop(handle, link).await;
    std::fs::write(node.dir.path().join("go"), "").unwrap();
    until_one_ended(&node.dir.path().join("run/containers")).await;

    let (handle, mut link) = node.start().await;
    assert_eq!(link.register.agent.id.as_ref().unwrap().value, "M-S0");
    let mut registered: Vec<_> = link
        .register
        .tasks
        .iter()
        .map(|t| t.name.as_str())
        .collect();
    registered.sort_unstable();
    assert_eq!(registered, ["ends", "stays"]);
    // An acknowledgement that the first agent did not live to see has its update sent again.
    let ended = loop {
        let update = link.update().await;
        if update.state() != TaskState::TaskRunning {
            break update;
        }
    };
    assert_eq!(
        (ended.task_id.value.as_str(), ended.state()),
        ("ends", TaskState::TaskFailed)
    );
    assert_eq!(ended.message(), "Command exited with status 5");
    link.say(kill("stays")).await;
    let killed = link.update().await;
    assert_eq!(
        (killed.task_id.value.as_str(), killed.state()),
        ("stays", TaskState::TaskKilled)
    );
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_second_agent_on_the_same_directories_is_refused_and_the_firsts_task_lives() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "sleep 1000"))).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    let pid = link.update().await.container_status.unwrap().executor_pid();
    let same_work = Flags {
        runtime_dir: node.dir.path().join("run2"),
        ..node.flags.clone()
    };
    for (flags, name) in [(node.flags.clone(), "runtime_dir"), (same_work, "work_dir")] {
        let error = start(flags).await.unwrap_err().to_string();
        let wanted = format!(
            "is in use by process {}: stop it, or give this agent its own --{name}",
            std::process::id()
        );
        assert!(error.ends_with(&wanted), "{error}");
    }
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_whose_checkpoint_cannot_be_read_runs_on_until_it_can() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "sleep 1000"))).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    let pid = link.update().await.container_status.unwrap().executor_pid();
    stop(handle, link).await;
    let frameworks = node.flags.work_dir.join("meta/slaves/M-S0/frameworks");
    let file = frameworks.join("F/framework.info");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, "x").unwrap();
    let error = start(node.flags.clone()).await.unwrap_err();
    let error = proto::error::chain(&error);
    let wanted = format!("{} is damaged at byte 0: ", file.display());
    assert!(error.contains(&wanted), "{error}");
    node.flags.strict = false;
    let (handle, link) = node.start().await;
    assert!(link.register.tasks.is_empty());
    let metrics = get(&handle, "/metrics/snapshot").await;
    assert_eq!(metrics["slave/recovery_errors"], 1.0);
    stop(handle, link).await;
    node.flags.strict = true;
    let (handle, link) = node.start().await;
    assert!(link.register.tasks.is_empty());
    stop(handle, link).await;
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(
        std::fs::read(file.with_extension("info.damaged-0")).unwrap(),
        b"x"
    );
    std::fs::write(&file, whole).unwrap();
    let (handle, link) = node.start().await;
    assert_eq!(link.register.tasks.len(), 1);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_tasks_that_do_not_checkpoint_end_with_the_agent() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut framework = framework();
    framework.checkpoint = Some(false);
    let task = task("t1", "sleep 1000");
    link.say(to_agent::Message::RunTask(RunTask { framework, task }))
        .await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    let running = link.update().await;
    let pid = running.container_status.unwrap().executor_pid();
    handle.stop().await;
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    drop(link);
    let (handle, link) = node.start().await;
    assert!(link.register.tasks.is_empty());
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_destroy_kills_every_task_and_leaves_the_cluster() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "sleep 1000"))).await;
    while link.update().await.state() != TaskState::TaskRunning {}
    let heard = tokio::spawn(async move {
        loop {
            if let from_agent::Message::Unregister(_) = link.hear().await {
                return;
            }
        }
    });
    let latest = node.flags.work_dir.join("meta/slaves/latest");
    assert!(latest.exists());
    node.end(handle).await;
    heard.await.unwrap();
    assert!(!latest.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_master_that_comes_back_learns_what_frameworks_were_told() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "sleep 1000"))).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    let running = link.update().await;
    drop(link);
    let link = node.master.accept("M-S0").await;
    let task = &link.register.tasks[0];
    assert_eq!(task.status_update_state(), TaskState::TaskRunning);
    assert_eq!(task.status_update_uuid, running.uuid);
    drop(link);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_with_cleanup_the_tasks_of_before_are_killed_and_the_id_is_spent() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "sleep 1000"))).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    let pid = link.update().await.container_status.unwrap().executor_pid();
    stop(handle, link).await;
    // What it was made for: flags that do not fit the tasks of before.
    node.flags.resources = Some("cpus:0.5;mem:1;ports:[1-2]".into());
    let error = start(node.flags.clone()).await.unwrap_err();
    let error = proto::error::chain(&error);
    assert!(error.contains("the agent's --resources was "), "{error}");
    node.flags.recover = Recover::Cleanup;
    let handle = start(node.flags.clone()).await.unwrap();
    assert_eq!(handle.agent_id().as_deref(), Some("M-S0"));
    handle.destroy().await;
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    node.flags.recover = Recover::Reconnect;
    let handle = start(node.flags.clone()).await.unwrap();
    let link = node.master.accept("M-S1").await;
    assert!(link.register.agent.id.is_none() && link.register.tasks.is_empty());
    assert_eq!(handle.registered().await.as_deref(), Some("M-S1"));
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_after_a_reboot_an_agent_that_has_changed_is_a_new_one_and_stays_so() {
    let mut node = node().await;
    let (handle, link) = node.start().await;
    stop(handle, link).await;
    let boot = node.flags.work_dir.join("meta/boot_id");
    let this = std::fs::read_to_string(&boot).unwrap();
    std::fs::write(&boot, "11111111-1111-4111-8111-111111111111").unwrap();
    node.flags.resources = Some("cpus:0.5;mem:1;ports:[1-2]".into());
    // It dies before any master has given it an id: it must not come back as the one of before. This one answers
    // nobody.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut flags = node.flags.clone();
    flags.master = silent.local_addr().unwrap().into();
    let handle = start(flags).await.unwrap();
    assert_eq!(handle.agent_id(), None);
    handle.stop().await;
    assert_eq!(std::fs::read_to_string(&boot).unwrap(), this);
    let (handle, link) = node.start().await;
    assert!(link.register.agent.id.is_none());
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_whose_process_cannot_be_told_runs_on_and_is_not_reported_as_lost() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "sleep 1000"))).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    let status = link.update().await.container_status.unwrap();
    let pid = status.executor_pid();
    stop(handle, link).await;
    let container = status.container_id.unwrap().value;
    let record = node
        .flags
        .runtime_dir
        .join("containers")
        .join(container)
        .join("pid");
    let whole = std::fs::read(&record).unwrap();
    std::fs::write(&record, "12 34\n").unwrap();
    let error = proto::error::chain(&start(node.flags.clone()).await.unwrap_err());
    assert!(
        error.contains("start with --strict=false to leave it alone"),
        "{error}"
    );
    assert!(error.contains(&record.display().to_string()), "{error}");
    node.flags.strict = false;
    let (handle, link) = node.start().await;
    assert!(link.register.tasks.is_empty());
    let metrics = get(&handle, "/metrics/snapshot").await;
    assert_eq!(metrics["slave/recovery_errors"], 1.0);
    stop(handle, link).await;
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    std::fs::write(&record, whole).unwrap();
    let (handle, link) = node.start().await;
    assert_eq!(link.register.tasks.len(), 1);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_agent_that_may_grow_keeps_its_id_and_tasks_and_is_measured_by_what_it_became() {
    let mut node = node().await;
    node.flags.resources = Some("cpus:1;mem:64;ports:[1-2]".into());
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "sleep 1000"))).await;
    while link.update().await.state() != TaskState::TaskRunning {}
    stop(handle, link).await;
    node.flags.resources = Some("cpus:2;mem:64;ports:[1-9]".into());
    let error = proto::error::chain(&start(node.flags.clone()).await.unwrap_err());
    assert!(
        error.contains("with --reconfiguration_policy=additive it may grow"),
        "{error}"
    );
    node.flags.reconfiguration_policy = Reconfiguration::Additive;
    let (handle, link) = node.start().await;
    assert_eq!(link.register.agent.id.as_ref().unwrap().value, "M-S0");
    assert_eq!(link.register.tasks.len(), 1);
    stop(handle, link).await;
    node.flags.resources = Some("cpus:1;mem:64;ports:[1-2]".into());
    let error = proto::error::chain(&start(node.flags.clone()).await.unwrap_err());
    assert!(
        error.contains("the agent's --resources was cpus:2"),
        "{error}"
    );
    node.flags.resources = Some("cpus:2;mem:64;ports:[1-9]".into());
    let (handle, link) = node.start().await;
    drop(link);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_after_a_reboot_tasks_are_told_to_have_ended_under_the_same_id() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "sleep 1000"))).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    let running = link.update().await;
    stop(handle, link).await;
    // As a reboot leaves it: nothing runs, and what is of one boot is gone.
    let container = &running.container_status.unwrap();
    let runtime_dir = std::mem::replace(&mut node.flags.runtime_dir, node.dir.path().join("run2"));
    let other_root = format!("{}-2", node.flags.cgroups_root);
    let cgroups_root = std::mem::replace(&mut node.flags.cgroups_root, other_root);
    let boot = node.flags.work_dir.join("meta/boot_id");
    std::fs::write(&boot, "11111111-1111-4111-8111-111111111111").unwrap();
    let (handle, mut link) = node.start().await;
    assert_eq!(link.register.agent.id.as_ref().unwrap().value, "M-S0");
    let ended = loop {
        let update = link.update().await;
        // An acknowledgement that was not heard has its update sent again.
        if proto::task::is_terminal(update.state()) {
            break update;
        }
    };
    assert_eq!(ended.state(), TaskState::TaskFailed);
    assert_eq!(ended.reason(), Reason::ExecutorTerminated);
    assert!(
        ended.message().ends_with("the host was rebooted"),
        "{}",
        ended.message()
    );
    stop(handle, link).await;
    // Not really: the container is that of the first agent.
    let pid = container.executor_pid();
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    std::fs::remove_dir_all(node.flags.work_dir.join("meta")).unwrap();
    node.flags.runtime_dir = runtime_dir;
    node.flags.cgroups_root = cgroups_root;
    let handle = start(node.flags.clone()).await.unwrap();
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_agent_that_starts_mends_what_nobody_owns_and_tells_the_rest() {
    let mut node = node().await;
    // One round after the other.
    node.flags.disk_watch_interval = Duration::from_secs(1);
    let (handle, mut link) = node.start().await;
    link.say(run(task("stays", "sleep 1000"))).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    assert_eq!(link.update().await.state(), TaskState::TaskRunning);
    stop(handle, link).await;

    // A mount in the place of a launch that was cut off: what is mounted there is somebody's.
    let precious = node.dir.path().join("precious");
    let place = node.dir.path().join("run/containers/old/place");
    for directory in [&precious, &place] {
        std::fs::create_dir_all(directory).unwrap();
    }
    std::fs::write(precious.join("file"), "precious").unwrap();
    let (none, bind) = (None::<&str>, nix::mount::MsFlags::MS_BIND);
    nix::mount::mount(Some(&precious), &place, none, bind, none).unwrap();
    // A cgroup that a sandbox names.
    let sandbox = node
        .flags
        .work_dir
        .join("slaves/M-S0/frameworks/other/executors/t/runs/over");
    std::fs::create_dir_all(&sandbox).unwrap();
    let cgroup = subtree(&node).join("over");
    std::fs::create_dir(&cgroup).unwrap();

    let (handle, link) = node.start().await;
    until_metrics(
        &handle,
        &[("audit/differences", 0.0), ("audit/repairs_succeeded", 1.0)],
    )
    .await;
    assert!(!place.exists() && !cgroup.exists());
    assert_eq!(std::fs::read(precious.join("file")).unwrap(), b"precious");
    // What comes about later is told, and not touched.
    std::fs::create_dir(&cgroup).unwrap();
    until_metrics(
        &handle,
        &[("audit/differences", 1.0), ("audit/repairs_succeeded", 1.0)],
    )
    .await;
    assert!(cgroup.exists());
    std::fs::remove_dir(&cgroup).unwrap();
    until_metrics(
        &handle,
        &[("audit/differences", 0.0), ("audit/repairs_failed", 0.0)],
    )
    .await;
    let state = get(&handle, "/state").await;
    let tasks = &state["frameworks"][0]["executors"][0]["tasks"];
    assert_eq!(tasks[0]["state"], "TASK_RUNNING", "{state:#}");
    drop(link);
    node.end(handle).await;
}

/// The agent's subtree in a hierarchy that every container is in.
fn subtree(node: &Node) -> std::path::PathBuf {
    let top = &node.flags.cgroups_hierarchy;
    let v1 = top.join("pids").join(&node.flags.cgroups_root);
    match v1.is_dir() {
        true => v1,
        false => top.join(&node.flags.cgroups_root),
    }
}

async fn until_metrics(handle: &Handle, wanted: &[(&str, f64)]) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let metrics = get(handle, "/metrics/snapshot").await;
        if wanted.iter().all(|(name, value)| metrics[*name] == *value) {
            return;
        }
        let late = tokio::time::Instant::now() > deadline;
        assert!(!late, "{wanted:?}: {metrics:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_kill_that_an_agent_did_not_live_to_finish_is_finished_by_the_next() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let trap = "trap : TERM; while :; do sleep 0.05; done";
    for id in ["stubborn", "other"] {
        link.say(run(task(id, trap))).await;
        while link.update().await.state() != TaskState::TaskRunning {}
    }
    let mut killing = kill("stubborn");
    if let to_agent::Message::KillTask(kill) = &mut killing {
        let grace_period = Some(v1::DurationInfo {
            nanoseconds: 2_000_000_000,
        });
        kill.kill_policy = Some(v1::KillPolicy { grace_period });
    }
    link.say(killing).await;
    // The framework does not want to hear TASK_KILLING, so only the journal tells that it has begun.
    let executor = "meta/slaves/M-S0/frameworks/F/executors/stubborn/runs";
    let runs = node.flags.work_dir.join(executor);
    let container = std::fs::read_dir(&runs).unwrap().next().unwrap().unwrap();
    let journal = container.path().join("tasks/stubborn/task.updates");
    let length = || std::fs::metadata(&journal).unwrap().len();
    let (before, deadline) = (length(), Instant::now() + Duration::from_secs(60));
    while length() == before {
        assert!(Instant::now() < deadline, "the kill is not written down");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop(handle, link).await;
    let (handle, mut link) = node.start().await;
    let ended = loop {
        let update = link.update().await;
        if update.state() != TaskState::TaskRunning {
            break update;
        }
    };
    assert_eq!(ended.task_id.value, "stubborn");
    assert_eq!(ended.state(), TaskState::TaskKilled, "{}", ended.message());
    drop(link);
    node.end(handle).await;
}
