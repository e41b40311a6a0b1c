//! `longshore run` and `longshore up`, as on somebody's first day.

use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use tests::apps::{example_path, shell};
use tests::eventually;
use tests::local::Local;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[tokio::test]
async fn root_run_shows_the_output_and_ctrl_c_leaves_nothing() {
    let local = Local::new("run");
    let mut run = local.start(&["run", &example_path("hello")]);
    let output = run.says("Hello from Longshore").await;
    assert!(output.contains("hello"), "the task is not named:\n{output}");
    run.signal(Signal::SIGINT);
    assert_eq!(run.wait().code(), Some(130), "{}", run.output());
    local.nothing_left().await;
}

#[tokio::test]
async fn root_run_shows_what_a_task_is_at_and_ends_with_its_terminal() {
    let local = Local::new("phases");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut app = shell("phases", "cat file; sleep 1000");
    let address = listener.local_addr().unwrap();
    app["fetch"] = serde_json::json!([{"uri": format!("http://{address}/file")}]);
    let file = local.file("app.json", &app);
    let mut run = local.start(&["run", &file]);

    // As long as the server does not answer, the file is being fetched.
    let (mut connection, _) = listener.accept().await.unwrap();
    assert!(connection.read(&mut [0; 4096]).await.unwrap() > 0);
    let output = run.says("phases: fetching").await;
    assert!(!output.contains("phases: starting"), "{output}");
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\nfetched\n";
    connection.write_all(answer).await.unwrap();
    run.says("phases: running").await;
    let output = run.says("phases | fetched").await;
    let place = |text| {
        output
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {output}"))
    };
    assert!(place("phases: fetching") < place("phases: running"));

    run.signal(Signal::SIGHUP);
    assert_eq!(run.wait().code(), Some(130), "{}", run.output());
    local.nothing_left().await;
}

#[tokio::test]
async fn root_run_ends_when_the_reader_of_its_output_has_gone() {
    let local = Local::new("head");
    let file = local.file(
        "app.json",
        &shell("chatty", "while echo more; do sleep 0.1; done"),
    );
    let (reader, stdout) = std::io::pipe().unwrap();
    let mut run = local.start_into(stdout, &["run", &file]);
    drop(reader);
    assert_eq!(run.wait().code(), Some(130), "{}", run.output());
    local.nothing_left().await;
}

#[tokio::test]
async fn root_run_hears_ctrl_c_while_nobody_reads_its_output() {
    let local = Local::new("unread");
    let file = local.file(
        "app.json",
        &shell("flood", "exec yes a line of some length"),
    );
    let (reader, stdout) = std::io::pipe().unwrap();
    let ours = stdout.try_clone().unwrap();
    let mut run = local.start_into(stdout, &["run", &file]);
    // From then on whoever writes waits for a reader.
    eventually("the pipe is full", || async {
        let mut pipe = [PollFd::new(ours.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut pipe, PollTimeout::ZERO) {
            Ok(0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    run.signal(Signal::SIGINT);
    assert_eq!(run.wait().code(), Some(130), "{}", run.output());
    local.nothing_left().await;
    drop(reader);
}

#[tokio::test]
async fn root_run_once_exits_with_the_result_of_the_task() {
    for (name, cmd, code) in [
        ("well", "echo done", 0),
        ("badly", "echo oops >&2; exit 7", 7),
    ] {
        let local = Local::new(name);
        let file = local.file("app.json", &shell(name, cmd));
        let mut run = local.start(&["run", "--once", &file]);
        assert_eq!(run.wait().code(), Some(code), "{}", run.output());
        let said = if code == 0 { "done" } else { "oops" };
        assert!(run.output().contains(said), "{}", run.output());
        local.nothing_left().await;
    }
}

#[tokio::test]
async fn root_run_once_exits_with_128_and_the_signal_that_ended_the_task() {
    for (name, cmd, code, said) in [
        ("segv", "kill -SEGV $$", 139, "Segmentation fault"),
        ("kill", "kill -KILL $$", 137, "Killed"),
        // Without a line end tail must keep it all.
        (
            "memory",
            "head -c 300000000 /dev/zero | tail",
            137,
            "Memory limit exceeded",
        ),
    ] {
        let local = Local::new(name);
        let file = local.file("app.json", &shell(name, cmd));
        let mut run = local.start(&["run", "--once", &file]);
        assert_eq!(run.wait().code(), Some(code), "{}", run.output());
        assert!(run.output().contains(said), "{}", run.output());
        local.nothing_left().await;
    }
}

#[tokio::test]
async fn root_what_a_killed_run_left_is_ended_by_the_next() {
    let local = Local::new("killed");
    let first = shell("first", "echo first is up; exec sleep 1000");
    let first = local.file("first.json", &first);
    let mut run = local.start(&["run", &first]);
    run.says("first is up").await;
    let left = local.processes();
    run.kill();
    assert!(!left.is_empty());
    assert_eq!(left, local.processes(), "they ended with the run");

    let second = shell("second", "echo second is up; exec sleep 1000");
    let second = local.file("second.json", &second);
    let mut run = local.start(&["run", &second]);
    let output = run.says("second is up").await;
    assert!(
        output.contains("ending what an earlier run left behind: /first"),
        "{output}"
    );
    assert!(left.is_disjoint(&local.processes()), "{left:?} still run");
    run.signal(Signal::SIGINT);
    assert_eq!(run.wait().code(), Some(130), "{}", run.output());
    local.nothing_left().await;
}

#[tokio::test]
async fn root_the_app_of_a_run_that_was_killed_at_any_time_can_be_run_again_at_once() {
    let local = Local::new("again");
    let file = |words: &str| {
        let command = format!("trap '' TERM; echo {words}; while :; do sleep 0.1; done");
        local.file("again.json", &shell("again", &command))
    };
    let mut run = local.start(&["run", &file("one is up")]);
    run.says("one is up").await;
    run.kill();
    let mut run = local.start(&["run", &file("two is up")]);
    run.says("two is up").await;
    // The app is gone, and its task takes its time.
    run.signal(Signal::SIGINT);
    run.says("ending all tasks").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    run.kill();
    let mut run = local.start(&["run", &file("three is up")]);
    run.says("three is up").await;
    run.signal(Signal::SIGINT);
    assert_eq!(run.wait().code(), Some(130), "{}", run.output());
    local.nothing_left().await;
}

#[tokio::test]
async fn root_run_refuses_a_bad_file_by_name_and_place() {
    let local = Local::new("bad");
    let file = local.directory().join("bad.json");
    std::fs::write(&file, "{\n  \"id\": \"x\",\n  \"cmd\" \"y\"\n}\n").unwrap();
    let mut run = local.start(&["run", file.to_str().unwrap()]);
    assert_eq!(run.wait().code(), Some(1));
    let output = run.output();
    assert!(output.contains("bad.json:3:9"), "{output}");
    local.nothing_left().await;
}

#[tokio::test]
async fn root_run_once_tells_why_a_task_cannot_start() {
    let local = Local::new("user");
    let mut app = shell("who", "id");
    app["user"] = "no-such-user-here".into();
    let file = local.file("app.json", &app);
    let mut run = local.start(&["run", "--once", &file]);
    assert_eq!(run.wait().code(), Some(1), "{}", run.output());
    assert!(
        run.output()
            .contains("user \"no-such-user-here\" does not exist"),
        "{}",
        run.output()
    );
    local.nothing_left().await;
}

#[tokio::test]
async fn root_tasks_of_up_keep_running_until_the_next_up_takes_them_over() {
    let local = Local::new("up");
    let mut up = local.start(&["up"]);
    up.says("longshore is up").await;
    let answer = local
        .scheduler
        .post("/v2/apps", &shell("steady", "exec sleep 1000"))
        .await;
    assert!(answer.status.is_success(), "{}", answer.text);
    let before = eventually("it runs", || running(&local)).await;
    let processes = local.processes();
    assert!(!processes.is_empty());

    up.signal(Signal::SIGTERM);
    assert!(up.wait().success(), "{}", up.output());
    assert_eq!(processes, local.processes());

    let mut up = local.start(&["up"]);
    local.scheduler.ready("/ping").await;
    let after = eventually("it runs again", || running(&local)).await;
    assert_eq!(before, after);
    assert_eq!(processes, local.processes());

    local.scheduler.delete("/v2/apps/steady").await;
    local.nothing_left().await;
    up.signal(Signal::SIGTERM);
    assert!(up.wait().success());
}

/// The id of the one running task.
async fn running(local: &Local) -> Result<String, String> {
    let tasks = local.scheduler.get("/v2/apps/steady/tasks").await.json();
    match &tasks["tasks"][0] {
        task if task["state"] == "TASK_RUNNING" => Ok(task["id"].to_string()),
        _ => Err(tasks.to_string()),
    }
}
