//! `longshore exec`, as somebody looks into a task that misbehaves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, ttyname};
use tests::apps::shell;
use tests::cluster::Cluster;
use tests::{PATIENCE, program};

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

/// The user's terminal: what its programs hold, and the end that a person would sit at.
struct Terminal {
    slave: OwnedFd,
    path: PathBuf,
    person: File,
    shown: String,
}

impl Terminal {
    fn open() -> Terminal {
        let pair = openpty(None, None).unwrap();
        Terminal {
            path: ttyname(&pair.slave).unwrap(),
            slave: pair.slave,
            person: pair.master.into(),
            shown: String::new(),
        }
    }

    fn resize(&self, rows: &str, columns: &str) {
        let size = ["rows", rows, "cols", columns];
        let stty = Command::new("stty")
            .arg("-F")
            .arg(&self.path)
            .args(size)
            .status();
        assert!(stty.unwrap().success());
    }

    fn stream(&self) -> Stdio {
        self.slave.try_clone().unwrap().into()
    }

    fn types(&mut self, text: &str) {
        self.person.write_all(text.as_bytes()).unwrap();
    }

    fn shows(&mut self, text: &str) {
        let mut bytes = [0; 1024];
        let patience = PollTimeout::try_from(PATIENCE).unwrap();
        while !self.shown.contains(text) {
            let mut waiting = [PollFd::new(self.person.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut waiting, patience).unwrap();
            assert!(ready > 0, "{text:?} was not shown: {}", self.shown);
            let read = self.person.read(&mut bytes).unwrap();
            assert!(read > 0, "{text:?} was not shown: {}", self.shown);
            self.shown
                .push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }
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
