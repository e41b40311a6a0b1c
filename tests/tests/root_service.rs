//! The agent as a service of the machine: what it tells its manager, the socket that it is given, how it is
//! drained, and how it leaves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::apps::shell;
use tests::cluster::{Agent, Cluster};
use tests::program::longshore;
use tests::{PATIENCE, eventually};

/// What systemd does for a .socket unit: the socket is descriptor 3, and the process is named.
const ACTIVATE: &str = r#"exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@""#;

/// Listens all the time, as systemd does: what a full socket cannot take is lost.
struct Manager(Receiver<String>);

impl Manager {
    fn listens(socket: UnixDatagram) -> Manager {
        let (heard, hears) = mpsc::channel();
        // Ends when what it has heard is wanted no more, or with the test.
        std::thread::spawn(move || {
            let mut said = [0; 1024];
            while let Ok(length) = socket.recv(&mut said) {
                let said = String::from_utf8(said[..length].to_vec()).unwrap();
                if heard.send(said).is_err() {
                    return;
                }
            }
        });
        Manager(hears)
    }

    /// Every line, until one begins with the text.
    fn hears(&self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let said = self.0.recv_timeout(PATIENCE);
            let said = said.unwrap_or_else(|error| panic!("no {text}: {error}; {lines:?}"));
            lines.extend(said.lines().map(str::to_owned));
            if lines.iter().any(|line| line.starts_with(text)) {
                return lines;
            }
        }
    }
}

/// Killed when dropped.
struct Activated(Child);

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn activated(agent: &Agent, socket: TcpListener, notify: &std::path::Path) -> Activated {
    let log = agent.directory().join("activated.log");
    let log = std::fs::File::create(log).unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", ACTIVATE, "sh"])
        .arg(longshore())
        .args(agent.arguments())
        .env("NOTIFY_SOCKET", notify)
        .env("WATCHDOG_USEC", "300000")
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Activated(command.spawn().unwrap())
}

#[tokio::test]
async fn root_an_agent_tells_its_manager_of_itself_and_answers_on_the_socket_that_it_is_given() {
    let mut cluster = Cluster::start(1).await;
    cluster.agents[0].kill();
    let agent = &cluster.agents[0];
    let address = agent.api.address.clone();
    let socket = TcpListener::bind(&address).unwrap();
    // Whoever comes before the agent waits for it.
    let mut early = TcpStream::connect(&address).unwrap();
    early.write_all(b"GET /health HTTP/1.0\r\n\r\n").unwrap();
    let path = agent.directory().join("notify");
    let manager = Manager::listens(UnixDatagram::bind(&path).unwrap());
    let mut started = activated(agent, socket, &path);

    manager.hears("READY=1");
    manager.hears("STATUS=registered as ");
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    // A task has neither the socket nor the words that are meant for the agent.
    let app = shell("t", "ls -l /proc/self/fd; env; echo told; exec sleep 1000");
    let task = cluster.run(&app).await.remove(0);
    let told = agent.says(&task.id, "stdout", "told").await;
    for secret in ["socket:", "LISTEN_", "NOTIFY_", "WATCHDOG_"] {
        assert!(!told.contains(secret), "{told}");
    }
    let lines = manager.hears("STATUS=registered as ");
    assert!(lines.contains(&"WATCHDOG=1".to_owned()), "{lines:?}");

    let pid = Pid::from_raw(i32::try_from(started.0.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    manager.hears("STOPPING=1");
    assert!(started.0.wait().unwrap().success());
    cluster.agents[0].start().await;
    cluster.registered(1).await;
    cluster.remove("t").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_an_agent_that_gets_sigusr1_ends_its_tasks_and_leaves() {
    let cluster = Cluster::start(1).await;
    cluster.run(&shell("t", "exec sleep 1000")).await;
    cluster.agents[0].signal(Signal::SIGUSR1);
    eventually("the master knows no agent any more", || async {
        let state = cluster.api.json("/slaves").await;
        match state["slaves"].as_array().map(Vec::is_empty) {
            Some(true) => Ok(()),
            _ => Err(state.to_string()),
        }
    })
    .await;
    cluster.remove("t").await;
    cluster.nothing_left().await;
}

async fn drain(agent: &Agent, words: &[&str]) -> String {
    let mut command = Command::new(longshore());
    command.arg("drain").args(words);
    command.arg(format!("--agent={}", agent.api.address));
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let run = run.await.unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let error = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}{error}");
    said
}

/// What the master tells of an agent.
async fn at_master(cluster: &Cluster, agent: &Agent) -> Value {
    let state = cluster.api.json("/slaves").await;
    let mut all = state["slaves"].as_array().unwrap().iter();
    let found = all.find(|slave| slave["hostname"] == agent.name.as_str());
    found.cloned().unwrap_or_default()
}

#[tokio::test]
async fn root_a_node_is_drained_its_tasks_run_elsewhere_and_later_here_again() {
    let cluster = Cluster::start(2).await;
    let task = cluster.run(&shell("t", "exec sleep 1000")).await.remove(0);
    let drained = cluster.agent_of(&task);
    let mut agents = cluster.agents.iter();
    let other = agents.find(|agent| agent.name != drained.name).unwrap();
    let said = drain(drained, &["--kill", "--max_grace_period=1secs"]).await;
    assert!(said.contains("drained: no task is left"), "{said}");
    let state = at_master(&cluster, drained).await;
    assert_eq!(state["deactivated"], true, "{state}");
    assert_eq!(state["active"], false, "{state}");
    // It is started again where tasks are taken.
    eventually("the task runs on the other node", || async {
        let tasks = cluster.running("t", 1).await;
        match tasks[0].host == other.name {
            true => Ok(()),
            false => Err(format!("{tasks:?}")),
        }
    })
    .await;
    let said = drain(drained, &["--undo"]).await;
    assert!(said.contains("takes tasks again"), "{said}");
    cluster.registered(2).await;
    // Now the other: its task ends by itself, for nobody kills it.
    let said = drain(other, &["--detach"]).await;
    assert!(said.contains("1 left, which are waited for"), "{said}");
    cluster.remove("t").await;
    eventually("the other node is drained", || async {
        let state = at_master(&cluster, other).await;
        match state["drain_info"]["state"] == "DRAINED" {
            true => Ok(()),
            false => Err(state.to_string()),
        }
    })
    .await;
    cluster.nothing_left().await;
}
