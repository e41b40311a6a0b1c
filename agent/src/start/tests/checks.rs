//! Checks of tasks, as their framework hears of them.

use proto::v1::task_status::Reason;
use proto::v1::{CheckInfo, CommandInfo, HealthCheck, TaskState, check_info, health_check};

use super::networks::apart;
use super::*;

/// Often, at once, and failures count only when there was a success.
pub fn often() -> HealthCheck {
    HealthCheck {
        delay_seconds: Some(0.0),
        interval_seconds: Some(0.1),
        grace_period_seconds: Some(1000.0),
        ..Default::default()
    }
}

pub fn by_command(command: &str) -> HealthCheck {
    let mut check = often();
    check.set_type(health_check::Type::Command);
    check.command = Some(CommandInfo {
        value: Some(command.to_owned()),
        ..Default::default()
    });
    check
}

/// From the agent, into the task's network.
pub fn by_http(port: u32, path: &str) -> CheckInfo {
    let mut check = CheckInfo {
        delay_seconds: Some(0.0),
        interval_seconds: Some(0.1),
        http: Some(check_info::Http {
            port,
            path: Some(path.to_owned()),
        }),
        ..Default::default()
    };
    check.set_type(check_info::Type::Http);
    check
}

/// Looks for a file in its sandbox.
fn looked_for(id: &str) -> v1::TaskInfo {
    let mut task = task(id, "touch good; exec sleep 1000");
    let look = "test -e $MESOS_SANDBOX/good || { echo it is not good; exit 3; }";
    task.health_check = Some(by_command(look));
    task
}

fn sandbox(node: &Node, id: &str) -> std::path::PathBuf {
    let executor = node
        .flags
        .work_dir
        .join("slaves/M-S0/frameworks/F/executors");
    executor.join(id).join("runs/latest")
}

async fn until(is_so: impl AsyncFn() -> bool) {
    let look = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), look)
        .await
        .unwrap();
}

async fn starts(link: &mut FakeLink) -> TaskStatus {
    let starting = link.update().await;
    assert_eq!(starting.state(), TaskState::TaskStarting, "{starting:?}");
    let running = link.update().await;
    assert_eq!(running.state(), TaskState::TaskRunning, "{running:?}");
    assert_eq!((running.healthy, running.reason), (None, None));
    running
}

/// The next that tells of health.
async fn health(link: &mut FakeLink) -> (Option<bool>, String) {
    loop {
        let update = link.update().await;
        assert_eq!(update.state(), TaskState::TaskRunning, "{update:?}");
        if update.reason() == Reason::TaskHealthCheckStatusUpdated {
            return (update.healthy, update.message().to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_is_healthy_while_a_command_in_it_says_so_and_is_ended_when_not() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(looked_for("t1"))).await;
    starts(&mut link).await;
    assert_eq!(health(&mut link).await.0, Some(true));
    let state = get(&handle, "/state").await;
    let shown = &state["frameworks"][0]["executors"][0]["tasks"][0];
    assert_eq!(shown["health_check"]["type"], "COMMAND", "{shown}");
    let statuses = shown["statuses"].as_array().unwrap();
    assert_eq!(statuses.last().unwrap()["healthy"], true, "{shown}");

    std::fs::remove_file(sandbox(&node, "t1").join("good")).unwrap();
    for count in 1..=3 {
        let said = "command exited with status 3: it is not good";
        let said = format!("Health check failed ({count} in a row of 3): {said}");
        assert_eq!(health(&mut link).await, (Some(false), said));
    }
    let last = link.update().await;
    let told = (last.state(), last.healthy, last.source());
    let wanted = (TaskState::TaskKilled, Some(false));
    assert_eq!((told.0, told.1), wanted, "{last:?}");
    let words = "Command terminated with signal Terminated; its health check failed too often";
    assert_eq!(last.message(), words);
    node.end(handle).await;
}

#[test]
fn root_checks_look_into_the_tasks_own_network() {
    apart(async || {
        let mut node = node().await;
        let (handle, mut link) = node.start().await;
        // Nobody listens there in the agent's network.
        let mut served = task("t1", "echo ok >good; exec busybox httpd -f -p 80");
        served.container = Some(v1::ContainerInfo {
            r#type: v1::container_info::Type::Mesos as i32,
            network_infos: vec![v1::NetworkInfo {
                name: Some("none".to_owned()),
                ..Default::default()
            }],
            ..Default::default()
        });
        let mut check = often();
        check.set_type(health_check::Type::Http);
        check.consecutive_failures = Some(1);
        check.http = Some(health_check::HttpCheckInfo {
            port: 80,
            path: Some("/good".to_owned()),
            ..Default::default()
        });
        served.health_check = Some(check);
        served.check = Some(by_http(80, "/good"));
        link.say(run(served)).await;
        let code = |update: &TaskStatus| {
            let status = update.check_status.unwrap();
            assert_eq!(status.r#type(), check_info::Type::Http);
            status.http.unwrap().status_code
        };
        // Nothing is known, and said to be.
        assert_eq!(code(&starts(&mut link).await), None);
        let mut update = link.update().await;
        while (update.healthy, code(&update)) != (Some(true), Some(200)) {
            assert_eq!(update.state(), TaskState::TaskRunning, "{update:?}");
            update = link.update().await;
        }
        std::fs::remove_file(sandbox(&node, "t1").join("good")).unwrap();
        let mut reasons = vec![];
        while update.state() == TaskState::TaskRunning {
            update = link.update().await;
            reasons.push((update.healthy, update.reason));
        }
        let unhealthy = Reason::TaskHealthCheckStatusUpdated as i32;
        assert!(
            reasons.contains(&(Some(false), Some(unhealthy))),
            "{reasons:?}"
        );
        let last = (update.state(), update.healthy);
        assert_eq!(last, (TaskState::TaskKilled, Some(false)), "{update:?}");
        node.end(handle).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn root_checks_go_on_when_the_agent_comes_back() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut patient = looked_for("t1");
    let check = patient.health_check.as_mut().unwrap();
    check.consecutive_failures = Some(1_000_000);
    link.say(run(patient)).await;
    starts(&mut link).await;
    assert_eq!(health(&mut link).await.0, Some(true));
    stop(handle, link).await;
    std::fs::remove_file(sandbox(&node, "t1").join("good")).unwrap();
    let (handle, mut link) = node.start().await;
    // What was told before may be told again.
    let mut told = health(&mut link).await;
    while told.0 == Some(true) {
        told = health(&mut link).await;
    }
    assert!(
        told.1
            .starts_with("Health check failed (1 in a row of 1000000)"),
        "{told:?}"
    );
    std::fs::write(sandbox(&node, "t1").join("good"), "").unwrap();
    while told.0 == Some(false) {
        told = health(&mut link).await;
    }
    assert_eq!(told.0, Some(true));
    link.say(kill("t1")).await;
    let last = link.update().await;
    assert_eq!((last.state(), last.healthy), (TaskState::TaskKilled, None));
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_check_that_hangs_has_failed_and_leaves_nothing_in_the_container() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut hung = task("t1", "exec sleep 1000");
    let mut check = by_command("sleep 1001 & sleep 1002");
    check.timeout_seconds = Some(0.5);
    check.interval_seconds = Some(1000.0);
    check.grace_period_seconds = Some(0.0);
    hung.health_check = Some(check);
    link.say(run(hung)).await;
    starts(&mut link).await;
    let said = "Health check failed (1 in a row of 3): timed out after 500ms";
    assert_eq!(health(&mut link).await, (Some(false), said.to_owned()));
    // What is left of it goes in a moment: init and its sleep stay.
    until(async || {
        let monitored = get(&handle, "/monitor/statistics").await;
        monitored[0]["statistics"]["processes"] == 2
    })
    .await;
    link.say(kill("t1")).await;
    assert_eq!(link.update().await.state(), TaskState::TaskKilled);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_kill_does_not_wait_for_a_check() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut checked = task("t1", "exec sleep 1000");
    checked.health_check = Some(by_command("touch begun; sleep 1001"));
    link.say(run(checked)).await;
    starts(&mut link).await;
    until(async || sandbox(&node, "t1").join("begun").exists()).await;
    link.say(kill("t1")).await;
    let last = link.update().await;
    assert_eq!((last.state(), last.healthy), (TaskState::TaskKilled, None));
    node.end(handle).await;
}
