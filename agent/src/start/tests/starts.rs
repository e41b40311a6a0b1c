//! Starts of tasks that hang, and what a task finds when it has started.

use std::time::Instant;

use proto::v1::TaskState;
use proto::v1::task_status::Reason;

use super::*;
use crate::lease::Lease;

async fn stderr(handle: &Handle, task: &str) -> String {
    let path = format!("/frameworks/F/executors/{task}/runs/latest/stderr");
    let read = get(handle, &format!("/files/read?path={path}&offset=0")).await;
    read["data"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_kill_ends_a_start_that_hangs_in_the_container() {
    let mut node = node().await;
    let program = node.dir.path().join("program");
    std::fs::copy("/bin/true", &program).unwrap();
    let (handle, mut link) = node.start().await;
    let lease = Lease::take(&program);
    let mut slow = task("slow", "");
    slow.command = Some(v1::CommandInfo {
        shell: Some(false),
        value: Some(program.display().to_string()),
        ..Default::default()
    });
    link.say(run(slow)).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    // Until its first process is there, and hangs.
    let containers = node.flags.runtime_dir.join("containers");
    let begun = || {
        let mut entries = std::fs::read_dir(&containers).unwrap().flatten();
        entries.any(|entry| entry.path().join("pid").exists())
    };
    while !begun() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = Instant::now();
    link.say(kill("slow")).await;
    let killed = link.update().await;
    let took = before.elapsed();
    drop(lease);
    assert_eq!(killed.state(), TaskState::TaskKilled, "{killed:?}");
    assert_eq!(killed.reason(), Reason::TaskKilledDuringLaunch);
    assert!(took < Duration::from_secs(5), "{took:?}");
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_start_that_takes_too_long_fails_and_says_at_what() {
    let mut node = node().await;
    node.flags.executor_registration_timeout = Duration::from_millis(300);
    node.flags.fetch_helper = ["/bin/sleep", "1000"].map(str::to_owned).to_vec();
    let (handle, mut link) = node.start().await;
    let mut slow = task("slow", "true");
    slow.command.as_mut().unwrap().uris = vec![v1::command_info::Uri {
        value: "http://127.0.0.1:1/x".into(),
        ..Default::default()
    }];
    link.say(run(slow)).await;
    let updates = story(&mut link).await;
    let last = updates.last().unwrap();
    assert_eq!(last.state(), TaskState::TaskFailed, "{last:?}");
    assert_eq!(last.reason(), Reason::ContainerLaunchFailed);
    assert_eq!(
        last.message(),
        "Failed to launch container: the task did not run within 300ms (this agent's \
         --executor_registration_timeout): fetching 'http://127.0.0.1:1/x' took too long; what had come is 0KB, \
         0KB/s"
    );
    assert!(stderr(&handle, "slow").await.contains(last.message()));
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_fetch_that_takes_long_is_told_of_in_statuses_and_ends_with_a_kill() {
    let mut node = node().await;
    let pid = node.dir.path().join("fetching");
    let half = r#"{"progress":{"bytes":2097152,"total":4194304}}"#;
    let child = format!(
        "cat >/dev/null; echo '{half}'; echo $$ >{0}.new; mv {0}.new {0}; exec sleep 1000",
        pid.display()
    );
    node.flags.fetch_helper = ["/bin/sh", "-c", &child].map(str::to_owned).to_vec();
    let (handle, mut link) = node.start().await;
    let mut slow = task("slow", "true");
    slow.command.as_mut().unwrap().uris = vec![v1::command_info::Uri {
        value: "http://127.0.0.1:1/x".into(),
        ..Default::default()
    }];
    link.say(run(slow)).await;
    let staging = link.update().await;
    assert_eq!(staging.state(), TaskState::TaskStaging);
    let told = staging.message();
    assert!(
        told.starts_with("fetching: 2MB of 4MB, ") && told.ends_with("/s"),
        "{told}"
    );
    let containers = get(&handle, "/containers").await;
    let fetch = &containers[0]["fetch"];
    assert_eq!(
        (&fetch["bytes"], &fetch["total_bytes"]),
        (&(2 << 20).into(), &(4 << 20).into())
    );
    assert!(fetch["bytes_per_second"].is_u64(), "{fetch}");
    let metrics = get(&handle, "/metrics/snapshot").await;
    for name in [
        "task_fetches_succeeded",
        "task_fetches_failed",
        "cache_size_total_bytes",
        "cache_size_used_bytes",
        "cache_hits",
        "cache_misses",
        "cache_evictions",
    ] {
        let value = &metrics[format!("containerizer/fetcher/{name}")];
        assert!(value.is_number(), "{name}: {value}");
    }
    let pid = std::fs::read_to_string(pid).unwrap();
    let child = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
    assert!(child.exists());
    link.say(kill("slow")).await;
    let killed = loop {
        let update = link.update().await;
        if update.state() != TaskState::TaskStaging {
            break update;
        }
    };
    assert_eq!(killed.state(), TaskState::TaskKilled, "{killed:?}");
    // Somebody takes its last word.
    while child.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_kills_that_meet_a_start_anywhere_leave_nothing() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    for n in 0..20 {
        let id = format!("t{n}");
        link.say(run(task(&id, "sleep 1000"))).await;
        tokio::time::sleep(Duration::from_millis(n)).await;
        link.say(kill(&id)).await;
        let updates = story(&mut link).await;
        let last = updates.last().unwrap();
        assert_eq!(last.state(), TaskState::TaskKilled, "{id}: {updates:?}");
    }
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_with_a_health_check_that_cannot_be_made_runs_and_is_told_so() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut checked = task("checked", "true");
    checked.health_check = Some(v1::HealthCheck::default());
    link.say(run(checked)).await;
    let updates = story(&mut link).await;
    assert_eq!(updates.last().unwrap().state(), TaskState::TaskFinished);
    let told = stderr(&handle, "checked").await;
    assert!(
        told.starts_with("Note: the task's health check is not performed"),
        "{told}"
    );
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_sees_nothing_of_what_the_agent_keeps() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let (meta, run_dir) = (node.flags.work_dir.join("meta"), &node.flags.runtime_dir);
    assert!(meta.join("slaves").exists());
    let look = format!(
        "ls {} {} | grep -v :; true",
        meta.display(),
        run_dir.display()
    );
    link.say(run(task("nosy", &look))).await;
    let updates = story(&mut link).await;
    assert_eq!(updates.last().unwrap().state(), TaskState::TaskFinished);
    assert_eq!(output(&handle, "nosy").await.trim(), "");
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_a_volume_needs_in_the_sandbox_is_the_users() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut task = task("t1", "touch /mnt/x && stat -c %U cache cache/a");
    task.command.as_mut().unwrap().user = Some("nobody".into());
    task.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos as i32,
        volumes: vec![v1::Volume {
            container_path: "/mnt".into(),
            host_path: Some("cache/a".into()),
            mode: v1::volume::Mode::Rw as i32,
            ..Default::default()
        }],
        ..Default::default()
    });
    link.say(run(task)).await;
    let updates = story(&mut link).await;
    let last = updates.last().unwrap();
    assert_eq!(last.state(), TaskState::TaskFinished, "{last:?}");
    assert_eq!(output(&handle, "t1").await, "nobody\nnobody\n");
    node.end(handle).await;
}
