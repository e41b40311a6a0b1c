//! What a task meets, and what is said of one that cannot run or did not end well.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::apps::shell;
use tests::cluster::Cluster;

#[tokio::test]
async fn root_a_task_that_takes_too_much_memory_is_reported_with_limit_and_peak() {
    let cluster = Cluster::start(1).await;
    // Without a line end tail must keep it all.
    let app = shell("hungry", "head -c 300000000 /dev/zero | tail");
    let (failure, message) = cluster.failure_of(&app).await;
    assert_eq!(failure["state"], "TASK_FAILED");
    assert!(message.starts_with("Memory limit exceeded: "), "{message}");
    // The app's 32 MB, and what the agent adds to a command task.
    let (limit, peak) = limit_and_peak(&message);
    assert!((32..=64).contains(&limit), "{message}");
    assert!(peak <= limit && peak + 4 >= limit, "{message}");
    cluster.remove("hungry").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_a_missing_user_fails_the_task_by_name() {
    let cluster = Cluster::start(1).await;
    let mut app = shell("who", "id");
    app["user"] = "no-such-user-here".into();
    let (failure, message) = cluster.failure_of(&app).await;
    assert!(
        message.contains("user \"no-such-user-here\" does not exist"),
        "{message}"
    );
    let task = failure["taskId"].as_str().unwrap();
    cluster.agents[0]
        .says(task, "stderr", "no-such-user-here")
        .await;
    cluster.remove("who").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_a_task_runs_as_its_user() {
    let cluster = Cluster::start(1).await;
    let mut app = shell("who", "id -un; touch mine && sleep 1000");
    app["user"] = "nobody".into();
    let tasks = cluster.run(&app).await;
    cluster.agents[0]
        .says(&tasks[0].id, "stdout", "nobody\n")
        .await;
}

#[tokio::test]
async fn root_a_missing_host_volume_fails_the_task_by_path() {
    let cluster = Cluster::start(1).await;
    let (failure, message) = cluster
        .failure_of(&with_volume("/no/such/volume", "/data", "RO", "ls /data"))
        .await;
    assert!(message.contains("/no/such/volume"), "{message}");
    let task = failure["taskId"].as_str().unwrap();
    cluster.agents[0]
        .says(task, "stderr", "/no/such/volume")
        .await;
    cluster.remove("volume").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_a_read_only_volume_cannot_be_written() {
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("file"), "content").unwrap();
    let path = source.path().to_str().unwrap();
    let cluster = Cluster::start(1).await;
    let cmd = "cat /data/file; touch /data/new || echo refused; sleep 1000";
    let tasks = cluster.run(&with_volume(path, "/data", "RO", cmd)).await;
    cluster.agents[0]
        .says(&tasks[0].id, "stdout", "contentrefused\n")
        .await;
    assert!(!source.path().join("new").exists());
}

#[tokio::test]
async fn root_a_container_path_that_the_host_lacks_leaves_nothing_on_the_host() {
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("file"), "content\n").unwrap();
    let path = source.path().to_str().unwrap();
    let cluster = Cluster::start(1).await;
    let target = "/longshore-test-no-such-path/deep";
    let cmd = format!("cat {target}/file; echo new > {target}/made; sleep 1000");
    let tasks = cluster.run(&with_volume(path, target, "RW", &cmd)).await;
    cluster.agents[0]
        .says(&tasks[0].id, "stdout", "content\n")
        .await;
    assert!(!std::path::Path::new("/longshore-test-no-such-path").exists());
    cluster.remove("volume").await;
    cluster.nothing_left().await;
    assert!(!std::path::Path::new("/longshore-test-no-such-path").exists());
    assert_eq!(
        std::fs::read_to_string(source.path().join("made")).unwrap(),
        "new\n"
    );
}

#[tokio::test]
async fn root_a_command_that_the_shell_cannot_find_ends_with_127() {
    let cluster = Cluster::start(1).await;
    let (failure, message) = cluster
        .failure_of(&shell("typo", "no-such-command-here"))
        .await;
    assert!(message.contains("127"), "{message}");
    assert!(message.contains("not found"), "{message}");
    let task = failure["taskId"].as_str().unwrap();
    cluster.agents[0]
        .says(task, "stderr", "no-such-command-here")
        .await;
    cluster.remove("typo").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_a_program_that_does_not_exist_is_named() {
    let cluster = Cluster::start(1).await;
    let app = json!({ "id": "typo", "args": ["/no/such/program", "x"], "cpus": 0.1, "mem": 32 });
    let (failure, message) = cluster.failure_of(&app).await;
    assert!(message.contains("/no/such/program"), "{message}");
    let task = failure["taskId"].as_str().unwrap();
    cluster.agents[0]
        .says(task, "stderr", "/no/such/program")
        .await;
    cluster.remove("typo").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_exit_status_and_signal_are_in_the_message() {
    let cluster = Cluster::start(1).await;
    for (id, cmd, said) in [
        ("status", "exit 7", "status 7"),
        ("signal", "kill -SEGV $$", "signal"),
    ] {
        let (_, message) = cluster.failure_of(&shell(id, cmd)).await;
        assert!(message.contains(said), "{id}: {message}");
        cluster.remove(id).await;
    }
}

#[tokio::test]
async fn root_args_run_without_a_shell() {
    let cluster = Cluster::start(1).await;
    let script = "echo \"$0\" \"$1\"; sleep 1000";
    let app = json!({
        "id": "args", "args": ["/bin/sh", "-c", script, "{1..3}", "$HOME"], "cpus": 0.1, "mem": 32,
    });
    let tasks = cluster.run(&app).await;
    cluster.agents[0]
        .says(&tasks[0].id, "stdout", "{1..3} $HOME\n")
        .await;
}

#[tokio::test]
async fn root_ports_come_from_the_offer_and_stand_in_the_environment() {
    let cluster = Cluster::start(1).await;
    let mut app = shell(
        "ports",
        "echo \"$PORT $PORT0 $PORT1 $PORTS $HOST $MARATHON_APP_ID $MESOS_TASK_ID\"; sleep 1000",
    );
    app["portDefinitions"] = json!([{ "port": 0 }, { "port": 0 }]);
    let tasks = cluster.run(&app).await;
    let task = &tasks[0];
    let [first, second] = task.ports[..] else {
        panic!("two ports were asked for: {task:?}");
    };
    let agent = &cluster.agents[0];
    for port in [first, second] {
        assert!(
            port >= agent.ports.0 && port <= agent.ports.1,
            "{task:?}, {:?}",
            agent.ports
        );
    }
    let line = format!(
        "{first} {first} {second} {first},{second} {} /ports {}\n",
        agent.name, task.id
    );
    agent.says(&task.id, "stdout", &line).await;
}

#[tokio::test]
async fn root_a_task_has_its_own_pids_and_sees_no_others() {
    let cluster = Cluster::start(1).await;
    let tasks = cluster
        .run(&shell("pids", "ls /proc | grep -c '^[0-9]'; sleep 1000"))
        .await;
    let said = cluster.agents[0].says(&tasks[0].id, "stdout", "\n").await;
    let processes: u32 = said.trim().parse().unwrap();
    // Its first process, the shell, ls and grep.
    assert!(processes <= 5, "{processes} processes are visible");
}

#[tokio::test]
async fn root_a_kill_asks_first_and_takes_the_whole_container_after_the_grace_period() {
    let cluster = Cluster::start(1).await;
    let mut app = shell(
        "stubborn",
        "trap 'echo asked to end' TERM; (trap '' TERM; sleep 1000) & \
         echo up; while true; do sleep 0.1; done",
    );
    app["taskKillGracePeriodSeconds"] = 2.into();
    let tasks = cluster.run(&app).await;
    let agent = &cluster.agents[0];
    agent.says(&tasks[0].id, "stdout", "up\n").await;
    let asked = Instant::now();
    cluster.remove("stubborn").await;
    agent.says(&tasks[0].id, "stdout", "asked to end\n").await;
    cluster.nothing_left().await;
    let took = asked.elapsed();
    assert!(
        took >= Duration::from_millis(1_900),
        "killed after only {took:?}"
    );
}

#[tokio::test]
async fn root_suspending_and_scaling_an_app_changes_what_runs() {
    let cluster = Cluster::start(1).await;
    cluster.run(&shell("scaled", "sleep 1000")).await;
    for instances in [3, 1, 0] {
        let answer = cluster
            .marathon
            .put("/v2/apps/scaled", &json!({ "instances": instances }))
            .await;
        assert!(answer.status.is_success(), "{}", answer.text);
        cluster.running("scaled", instances).await;
        cluster.settled().await;
    }
    cluster.nothing_left().await;
}

/// Both in MB.
fn limit_and_peak(message: &str) -> (u64, u64) {
    let after = |name: &str| {
        let digits = message
            .split(name)
            .nth(1)
            .and_then(|rest| rest.split("MB").next());
        digits
            .and_then(|digits| digits.parse().ok())
            .unwrap_or_else(|| panic!("{name}: {message}"))
    };
    (after("Requested: "), after("Maximum Used: "))
}

fn with_volume(source: &str, target: &str, mode: &str, cmd: &str) -> serde_json::Value {
    let mut app = shell("volume", cmd);
    app["container"] = json!({
        "type": "MESOS",
        "volumes": [{ "hostPath": source, "containerPath": target, "mode": mode }],
    });
    app
}

#[tokio::test]
async fn root_an_app_has_a_dev_shm_of_the_size_that_it_asks_for() {
    let cluster = Cluster::start(1).await;
    let cmd = "grep ' /dev/shm ' /proc/self/mounts | tail -n 1; sleep 1000";
    let mut app = shell("shm", cmd);
    let ipc = json!({"mode": "PRIVATE", "shmSize": 8});
    app["container"] = json!({"type": "MESOS", "linuxInfo": {"ipcInfo": ipc}});
    let tasks = cluster.run(&app).await;
    let said = cluster.agents[0].says(&tasks[0].id, "stdout", "\n").await;
    assert!(said.contains("size=8192k"), "{said}");
}
