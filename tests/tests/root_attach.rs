//! `longshore attach`, as somebody watches a task that already runs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::apps::shell;
use tests::cluster::Cluster;
use tests::person::Terminal;
use tests::program;

/// The program, once it watches a task of `app`, and what it will write to stderr.
fn attach(cluster: &Cluster, app: &str, flags: &[&str]) -> (Child, BufReader<ChildStderr>) {
    let mut command = Command::new(program::longshore());
    let agent = format!("--agent={}", cluster.agents[0].api.address);
    command.args(["attach", &agent, app]).args(flags);
    let streams = command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut program = streams.stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(program.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.starts_with("attached to "), "{line}");
    (program, stderr)
}

/// Writes, waits for the file, and then writes more and ends.
fn patient(gate: &Path) -> serde_json::Value {
    let gate = gate.display();
    let early = "echo early; echo nothing yet >&2";
    let late = "echo late; echo oops >&2; exit 3";
    shell(
        "job",
        &format!("{early}; while [ ! -e {gate} ]; do sleep 0.1; done; {late}"),
    )
}

#[tokio::test]
async fn root_what_a_task_writes_from_now_on_is_shown_and_its_exit_code_given() {
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let gate = directory.path().join("go");
    let cluster = Cluster::start(1).await;
    let tasks = cluster.run(&patient(&gate)).await;
    let agent = &cluster.agents[0];
    agent.says(&tasks[0].id, "stdout", "early\n").await;
    agent.says(&tasks[0].id, "stderr", "yet\n").await;

    let (mut program, mut stderr) = attach(&cluster, "/job", &[]);
    std::fs::write(&gate, "").unwrap();
    let (mut said, mut errors) = (String::new(), String::new());
    program
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    stderr.read_to_string(&mut errors).unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(3), "{errors}");
    assert_eq!(said, "late\n");
    let told = format!(
        "oops\n{}: failed: Command exited with status 3",
        tasks[0].id
    );
    assert!(errors.starts_with(&told), "{errors}");
    cluster.remove("job").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_ctrl_c_leaves_the_task_running() {
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let cluster = Cluster::start(1).await;
    let tasks = cluster.run(&patient(&directory.path().join("go"))).await;
    let (mut program, _stderr) = attach(&cluster, "/job", &["--from-start"]);
    let mut stdout = BufReader::new(program.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "early\n");
    let pid = Pid::from_raw(program.id().try_into().unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(130));
    assert_eq!(cluster.running("job", 1).await, tasks);
    cluster.remove("job").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_who_attaches_to_a_task_with_a_terminal_types_at_it_leaves_it_and_comes_back() {
    let cluster = Cluster::start(1).await;
    let session = "while read line; do case $line in size) stty size;; end) exit 4;; *) echo \"<$line>\";; esac; done";
    let mut app = shell("talk", session);
    app["tty"] = true.into();
    cluster.run(&app).await;
    let agent = format!("--agent={}", cluster.agents[0].api.address);
    let begin = |terminal: &Terminal| {
        let mut command = Command::new(program::longshore());
        command.args(["attach", "-i", &agent, "talk"]);
        let streams = command.stdin(terminal.stream()).stdout(terminal.stream());
        streams.stderr(terminal.stream()).spawn().unwrap()
    };
    let mut terminal = Terminal::open();
    terminal.resize("40", "100");
    let mut program = begin(&terminal);
    terminal.shows("leaves it running");
    terminal.types("typed\r");
    terminal.shows("<typed>");
    terminal.types("size\r");
    terminal.shows("40 100");
    terminal.types("\x10\x11");
    assert_eq!(program.wait().unwrap().code(), Some(0));
    terminal.shows("which goes on");

    let mut terminal = Terminal::open();
    terminal.resize("41", "101");
    let mut program = begin(&terminal);
    terminal.shows("leaves it running");
    terminal.types("size\r");
    terminal.shows("41 101");
    terminal.types("end\r");
    assert_eq!(program.wait().unwrap().code(), Some(4));
    cluster.remove("talk").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_a_task_without_a_terminal_cannot_be_typed_at() {
    let cluster = Cluster::start(1).await;
    cluster.run(&shell("mute", "exec sleep 1000")).await;
    let agent = format!("--agent={}", cluster.agents[0].api.address);
    let mut command = Command::new(program::longshore());
    command.args(["attach", "-i", &agent, "mute"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("its app must say \"tty\": true"), "{said}");
    cluster.remove("mute").await;
    cluster.nothing_left().await;
}
