//! A whole agent with real containers, under a master that does as the test says.

use std::path::Path;

use proto::link::{KillTask, Reconcile, RunTask, from_agent, reconcile, to_agent};
use proto::resources::Resources;
use proto::v1::task_status::{Reason, Source};
use proto::v1::{TaskState, TaskStatus};
use serde_json::Value;

use super::*;
use crate::flags::tests::parse;
use crate::link::fake_master::{FakeLink, FakeMaster};

struct Node {
    dir: tempfile::TempDir,
    master: FakeMaster,
    flags: Flags,
}

/// A node of its own: directories, cgroup subtree and master are nobody else's.
async fn node() -> Node {
    let dir = tempfile::Builder::new().prefix("agent").tempdir().unwrap();
    // Tasks run as other users, who must get to their sandboxes.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let master = FakeMaster::start().await;
    let mut flags = parse(&["--port=0", "--registration_backoff_factor=0ns"]);
    flags.master = master.address.to_string();
    flags.work_dir = dir.path().join("work");
    flags.runtime_dir = dir.path().join("run");
    flags.cgroups_root = format!("agent-test-{}", uuid::Uuid::new_v4());
    Node { dir, master, flags }
}

impl Node {
    async fn start(&mut self) -> (Handle, FakeLink) {
        let handle = start(self.flags.clone()).await.unwrap_or_else(|e| {
            panic!("{}", crate::task::launch::chain(&e));
        });
        let link = self.master.accept("M-S0").await;
        assert_eq!(handle.registered().await.as_deref(), Some("M-S0"));
        (handle, link)
    }

    /// Ends the agent and shows that nothing is left of it.
    async fn end(self, handle: Handle) {
        handle.destroy().await;
        let containers = self.dir.path().join("run/containers");
        assert_eq!(std::fs::read_dir(containers).unwrap().count(), 0);
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = std::fs::read_dir(root).unwrap().flatten().map(|e| e.path());
        for hierarchy in hierarchies.chain([root.to_owned()]) {
            let ours = hierarchy.join(&self.flags.cgroups_root);
            if ours.is_dir() {
                std::fs::remove_dir(&ours).unwrap_or_else(|e| panic!("{}: {e}", ours.display()));
            }
        }
    }
}

fn framework() -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        user: "root".into(),
        name: "test".into(),
        id: Some(v1::FrameworkId { value: "F".into() }),
        checkpoint: Some(true),
        ..Default::default()
    }
}

fn task(id: &str, command: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: id.into(),
        task_id: v1::TaskId { value: id.into() },
        agent_id: v1::AgentId {
            value: "M-S0".into(),
        },
        resources: Resources::parse("cpus:0.1;mem:32", "*")
            .unwrap()
            .to_protos(),
        command: Some(v1::CommandInfo {
            value: Some(command.into()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn run(task: v1::TaskInfo) -> to_agent::Message {
    to_agent::Message::RunTask(RunTask {
        framework: framework(),
        task,
    })
}

fn kill(id: &str) -> to_agent::Message {
    to_agent::Message::KillTask(KillTask {
        framework_id: v1::FrameworkId { value: "F".into() },
        task_id: v1::TaskId { value: id.into() },
        kill_policy: None,
    })
}

/// Every update up to the terminal one.
async fn story(link: &mut FakeLink) -> Vec<TaskStatus> {
    let mut updates = Vec::new();
    loop {
        updates.push(link.update().await);
        if updates
            .last()
            .is_some_and(|last| proto::task::is_terminal(last.state()))
        {
            return updates;
        }
    }
}

fn states(updates: &[TaskStatus]) -> Vec<TaskState> {
    updates.iter().map(TaskStatus::state).collect()
}

/// Waits until the first process of a container below `records` has noted how its command ended.
async fn until_one_ended(records: &Path) {
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

async fn get(handle: &Handle, path: &str) -> Value {
    let url = format!("http://{}{path}", handle.address());
    let body = reqwest::get(url).await.unwrap().text().await.unwrap();
    serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_runs_and_its_output_is_read_over_http() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "echo hello {1..3}; pwd; id -u; exit 7")))
        .await;
    let updates = story(&mut link).await;
    let wanted = [
        TaskState::TaskStarting,
        TaskState::TaskRunning,
        TaskState::TaskFailed,
    ];
    assert_eq!(states(&updates), wanted, "{updates:?}");
    assert_eq!(updates[2].message(), "Command exited with status 7");
    assert_eq!(updates[2].source(), Source::Executor);
    let ip = &updates[1].container_status.as_ref().unwrap().network_infos[0].ip_addresses[0];
    assert_eq!(ip.ip_address(), "127.0.0.1");

    let sandbox = "/frameworks/F/executors/t1/runs/latest";
    let read = get(
        &handle,
        &format!("/files/read?path={sandbox}/stdout&offset=0"),
    )
    .await;
    let text = read["data"].as_str().unwrap();
    assert!(
        text.starts_with("hello 1 2 3\n") && text.ends_with("\n0\n"),
        "{text}"
    );
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_kill_ends_the_task_and_all_its_children() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut stubborn = task("t1", "trap '' TERM; sleep 1000 & sleep 1000; wait");
    stubborn.kill_policy = Some(v1::KillPolicy {
        grace_period: Some(v1::DurationInfo {
            nanoseconds: 200_000_000,
        }),
    });
    link.say(run(stubborn)).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    assert_eq!(link.update().await.state(), TaskState::TaskRunning);
    let statistics = get(&handle, "/monitor/statistics").await;
    assert!(
        statistics[0]["statistics"]["mem_rss_bytes"].is_number(),
        "{statistics}"
    );
    link.say(kill("t1")).await;
    assert_eq!(link.update().await.state(), TaskState::TaskKilled);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_launch_that_fails_says_why_in_status_and_stderr() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut user = task("user", "true");
    user.command.as_mut().unwrap().user = Some("no-such-user-here".into());
    let mut volume = task("volume", "true");
    volume.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos as i32,
        volumes: vec![v1::Volume {
            container_path: "/mnt".into(),
            host_path: Some("/no/such/volume".into()),
            mode: v1::volume::Mode::Ro as i32,
            ..Default::default()
        }],
        ..Default::default()
    });
    let mut image = task("image", "true");
    image.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Docker as i32,
        docker: Some(v1::container_info::DockerInfo {
            image: "busybox".into(),
            ..Default::default()
        }),
        ..Default::default()
    });
    let table = [
        (user, "no-such-user-here"),
        (volume, "/no/such/volume"),
        (image, "images are not supported by this build yet"),
    ];
    for (task, why) in table {
        let id = task.name.clone();
        link.say(run(task)).await;
        let updates = story(&mut link).await;
        assert_eq!(
            states(&updates),
            [TaskState::TaskStarting, TaskState::TaskFailed]
        );
        assert_eq!(updates[1].reason(), Reason::ContainerLaunchFailed);
        let message = updates[1].message();
        assert!(
            message.starts_with("Failed to launch container: "),
            "{message}"
        );
        assert!(message.contains(why), "{message}");
        let path = format!("/frameworks/F/executors/{id}/runs/latest/stderr");
        let read = get(&handle, &format!("/files/read?path={path}&offset=0")).await;
        assert!(
            read["data"].as_str().unwrap().contains(message),
            "{read}: {message}"
        );
    }
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_without_memory_says_so() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "head -c 200m /dev/zero | tail")))
        .await;
    let updates = story(&mut link).await;
    let last = updates.last().unwrap();
    assert_eq!(last.state(), TaskState::TaskFailed, "{last:?}");
    assert_eq!(last.reason(), Reason::ContainerLimitationMemory, "{last:?}");
    assert!(
        last.message()
            .starts_with("Memory limit exceeded: Requested: 64MB Maximum Used: "),
        "{}",
        last.message()
    );
    assert_eq!(last.limitation.as_ref().unwrap().resources[0].name, "mem");
    node.end(handle).await;
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
    drop(link);
    handle.stop().await;
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
async fn root_unknown_and_impossible_tasks_get_an_answer() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let reconcile = Reconcile {
        tasks: vec![reconcile::Task {
            framework: framework(),
            task_id: v1::TaskId {
                value: "ghost".into(),
            },
        }],
    };
    link.say(to_agent::Message::Reconcile(reconcile)).await;
    let lost = link.update().await;
    assert_eq!(
        (lost.state(), lost.reason()),
        (TaskState::TaskLost, Reason::Reconciliation)
    );
    let mut custom = task("custom", "true");
    custom.executor = Some(v1::ExecutorInfo::default());
    link.say(run(custom)).await;
    let refused = link.update().await;
    assert_eq!(
        (refused.state(), refused.reason()),
        (TaskState::TaskError, Reason::TaskInvalid)
    );
    assert!(
        refused.message().contains("does not support yet"),
        "{}",
        refused.message()
    );
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_hundred_tasks_run_within_three_seconds() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let begun = std::time::Instant::now();
    for n in 0..100 {
        link.say(run(task(&format!("t{n}"), "sleep 1000"))).await;
    }
    let mut running = 0;
    while running < 100 {
        let update = link.update().await;
        assert!(!proto::task::is_terminal(update.state()), "{update:?}");
        running += u32::from(update.state() == TaskState::TaskRunning);
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "took {took:?}");
    // Nobody reads the hundred ends.
    drop(link);
    node.end(handle).await;
}
