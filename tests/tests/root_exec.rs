//! `longshore exec`, as somebody looks into a task that misbehaves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::apps::shell;
use tests::cluster::Cluster;
use tests::person::Terminal;
use tests::program;

/// The program with what it is to execute in the task of `app`.
fn exec(cluster: &Cluster, app: &str, words: &[&str]) -> Command {
    let mut command = Command::new(program::longshore());
    let agent = format!("--agent={}", cluster.agents[0].api.address);
    command.args(["exec", &agent, app]).args(words);
    command
}

fn output(mut command: Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test]
async fn root_a_command_runs_beside_the_task_and_its_status_comes_back() {
    let cluster = Cluster::start(1).await;
    let mut app = shell("web", "exec sleep 1000");
    app["env"] = serde_json::json!({"COLOUR": "blue"});
    cluster.run(&app).await;

    // Options of the command are its own, also without "--" before them.
    let look = [
        "sh",
        "-c",
        "echo $COLOUR $MARATHON_APP_ID; echo oops >&2; exit 9",
    ];
    let (status, stdout, stderr) = output(exec(&cluster, "web", &look));
    assert_eq!(status, Some(9), "{stderr}");
    assert_eq!(
        (stdout.as_str(), stderr.as_str()),
        ("blue /web\n", "oops\n")
    );

    let (status, _, stderr) = output(exec(&cluster, "web", &["no-such-command"]));
    assert_eq!(status, Some(127), "{stderr}");
    assert!(stderr.contains("command not found"), "{stderr}");

    let (status, _, stderr) = output(exec(&cluster, "wob", &["true"]));
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stderr.contains("\"wob\""), "{stderr}");

    let mut cat = exec(&cluster, "web", &["cat"]);
    let mut cat = cat
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    cat.stdin.take().unwrap().write_all(b"through\n").unwrap();
    let said = cat.wait_with_output().unwrap();
    assert_eq!(said.stdout, b"through\n");

    cluster.remove("web").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_a_command_has_a_terminal_like_the_users() {
    let cluster = Cluster::start(1).await;
    cluster.run(&shell("shell", "exec sleep 1000")).await;
    let mut terminal = Terminal::open();
    terminal.resize("40", "100");
    // Short sleeps, because bash heeds a trap between two commands.
    let session = "stty size; read line; trap 'stop=yes; echo interrupted' INT; echo \"<$line>\"; \
                   while [ ! \"$stop\" ]; do sleep 0.1; done; \
                   trap 'exit 3' INT; while stty size; do sleep 0.1; done";
    let mut program = exec(&cluster, "shell", &["--", "bash", "-c", session])
        .env("TERM", "vt100")
        .stdin(terminal.stream())
        .stdout(terminal.stream())
        .stderr(terminal.stream())
        .spawn()
        .unwrap();
    terminal.shows("40 100");
    terminal.types("typed\r");
    terminal.shows("<typed>");
    // Ctrl-C is for the command, not for the program that shows it.
    terminal.types("\x03");
    terminal.shows("interrupted");
    terminal.resize("41", "101");
    let pid = Pid::from_raw(program.id().try_into().unwrap());
    // As the kernel tells the foreground programs of a terminal that controls them.
    kill(pid, Signal::SIGWINCH).unwrap();
    terminal.shows("41 101");
    terminal.types("\x03");
    assert_eq!(program.wait().unwrap().code(), Some(3));
    cluster.remove("shell").await;
    cluster.nothing_left().await;
}
