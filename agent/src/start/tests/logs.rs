//! Logs of tasks, rotated while an agent is there and while none is.

use std::path::{Path, PathBuf};

use proto::v1::TaskState;

use super::*;

fn flood(id: &str, command: &str, keep: u32) -> v1::TaskInfo {
    let variable = |name: &str, value: String| v1::environment::Variable {
        name: format!("CONTAINER_LOGGER_{name}"),
        value: Some(value),
        ..Default::default()
    };
    let mut task = task(id, command);
    let environment = v1::Environment {
        variables: vec![
            variable("MAX_STDOUT_SIZE", "64KB".into()),
            variable("LOGROTATE_STDOUT_OPTIONS", format!("rotate {keep}")),
        ],
    };
    let command = task.command.get_or_insert_default();
    command.environment = Some(environment);
    task
}

/// The sandbox of the only run that a task had.
fn sandbox(node: &Node, task: &str) -> PathBuf {
    let executor = format!("work/slaves/M-S0/frameworks/F/executors/{task}/runs/latest");
    std::fs::canonicalize(node.dir.path().join(executor)).unwrap()
}

/// `seq FIRST LAST`, as often as there are ranges.
fn numbers(ranges: &[(u32, u32)]) -> String {
    let numbers = ranges.iter().flat_map(|(first, last)| *first..=*last);
    numbers.map(|n| format!("{n}\n")).collect()
}

/// Rotated files, and the log without the zeros that stand for what was given back.
fn whole(sandbox: &Path) -> String {
    let rotated = |n: &u32| sandbox.join(format!("stdout.{n}"));
    let count = (1..).take_while(|n| rotated(n).exists()).count() as u32;
    let files = (1..=count).rev().map(|n| rotated(&n));
    let files = files.chain([sandbox.join("stdout")]);
    let text: String = files.map(|f| std::fs::read_to_string(f).unwrap()).collect();
    text.replace('\0', "")
}

/// Bytes of a file that are no hole. (XFS allocates in advance, so its blocks are more.)
fn held(path: &Path) -> u64 {
    use nix::unistd::{Whence, lseek};
    let file = std::fs::File::open(path).unwrap();
    let (mut at, mut held) = (0, 0);
    while let Ok(data) = lseek(&file, at, Whence::SeekData) {
        at = lseek(&file, data, Whence::SeekHole).unwrap();
        held += at - data;
    }
    held.unsigned_abs()
}

pub(super) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let poll = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(240), poll).await;
    assert!(reached.is_ok(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_log_is_rotated_across_an_agents_absence_and_every_line_is_there_once() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let command = "seq 1 60000; until [ -e go ]; do sleep 0.05; done; seq 1 50000; \
                   until [ -e end ]; do sleep 0.05; done; seq 1 40000; exec sleep 1000";
    link.say(run(flood("t", command, 1000))).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    assert_eq!(link.update().await.state(), TaskState::TaskRunning);
    let dir = sandbox(&node, "t");
    let first = numbers(&[(1, 60_000)]);
    until("the first numbers are rotated", || {
        dir.join("stdout.1").exists() && whole(&dir) == first
    })
    .await;
    stop(handle, link).await;
    std::fs::write(dir.join("go"), "").unwrap();
    let both = numbers(&[(1, 60_000), (1, 50_000)]);
    until("the task goes on without an agent", || whole(&dir) == both).await;
    let (handle, _link) = node.start().await;
    std::fs::write(dir.join("end"), "").unwrap();
    let all = numbers(&[(1, 60_000), (1, 50_000), (1, 40_000)]);
    until("the next agent goes on", || whole(&dir) == all).await;
    // A rotation is counted after it is seen.
    while get(&handle, "/metrics/snapshot").await["logs/rotations"] == 0.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let metrics = get(&handle, "/metrics/snapshot").await;
    assert_eq!(metrics["logs/rotation_failures"], 0.0);
    let path = "/frameworks/F/executors/t/runs/latest/stdout";
    let mut seen = String::new();
    while seen.len() < all.len() {
        let ask = format!("/files/read?path={path}&offset={}", seen.len());
        let read = get(&handle, &ask).await;
        assert_eq!(read["offset"], seen.len());
        seen += read["data"]
            .as_str()
            .filter(|data| !data.is_empty())
            .unwrap();
    }
    assert!(seen == all);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_that_floods_without_an_agent_is_bounded_and_keeps_its_newest_lines() {
    const LINES: u32 = 1_000_000;
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let command = "until [ -e go ]; do sleep 0.05; done; seq 1 1000000; exec sleep 1000";
    link.say(run(flood("t", command, 2))).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    assert_eq!(link.update().await.state(), TaskState::TaskRunning);
    let dir = sandbox(&node, "t");
    stop(handle, link).await;
    std::fs::write(dir.join("go"), "").unwrap();
    let all = numbers(&[(1, LINES)]);
    let log = dir.join("stdout");
    let size = || std::fs::metadata(&log).unwrap().len();
    until("it is written, and bounded", || {
        // Four times 64 KB, and a fourth of that.
        size() == all.len() as u64 && held(&log) <= 320 << 10
    })
    .await;
    assert!(!dir.join("stdout.1").exists(), "nobody rotates");
    let (handle, _link) = node.start().await;
    until("the next agent rotates", || held(&log) < 64 << 10).await;
    let state = || std::fs::read_to_string(dir.join("stdout.logrotate.state"));
    until("and is done", || state().is_ok_and(|s| s.contains("null"))).await;
    let whole = whole(&dir);
    assert!(
        all.ends_with(&whole) && whole.len() > 128 << 10,
        "{}",
        whole.len()
    );
    let path = "/frameworks/F/executors/t/runs/latest/stdout";
    let end = get(&handle, &format!("/files/read?path={path}&offset=-1")).await;
    assert_eq!(end["offset"], all.len());
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_floods_a_terminal_without_an_agent_is_bounded_too() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let command = "until [ -e go ]; do sleep 0.05; done; seq 1 80000; exec sleep 1000";
    let mut task = flood("t", command, 2);
    task.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos as i32,
        tty_info: Some(v1::TtyInfo::default()),
        ..Default::default()
    });
    link.say(run(task)).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    assert_eq!(link.update().await.state(), TaskState::TaskRunning);
    let log = sandbox(&node, "t").join("stdout");
    stop(handle, link).await;
    std::fs::write(log.with_file_name("go"), "").unwrap();
    // A terminal ends lines with two bytes. All of it would be too much by a third.
    let all = numbers(&[(1, 80_000)]).replace('\n', "\r\n");
    let size = || std::fs::metadata(&log).unwrap().len();
    until("it is written", || size() == all.len() as u64).await;
    // Four times 64 KB, a fourth of that, and what is written between two looks.
    let kept = held(&log);
    const MOST: u64 = (320 + 64 + 4) << 10;
    assert!(kept <= MOST && all.len() as u64 > MOST + MOST / 3, "{kept}");
    let text = std::fs::read_to_string(&log).unwrap().replace('\0', "");
    assert!(all.ends_with(&text) && text.len() > 128 << 10);
    let (handle, _link) = node.start().await;
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_that_asks_for_a_log_that_cannot_be_is_told() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut bad = flood("t", "true", 4);
    let environment = bad.command.as_mut().unwrap().environment.as_mut();
    environment.unwrap().variables[0].value = Some("64".into());
    link.say(run(bad)).await;
    let last = story(&mut link).await.pop().unwrap();
    assert_eq!(last.state(), TaskState::TaskFailed);
    let wanted = "CONTAINER_LOGGER_MAX_STDOUT_SIZE is not a size";
    assert!(last.message().contains(wanted), "{}", last.message());
    node.end(handle).await;
}
