//! What tasks may ask a real engine for, and what may be asked of them there: `tests/run engines`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::course::docker;
use tests::docker::{Engine, IMAGE};
use tests::eventually;
use tests::person::Terminal;
use tests::program;

fn dockers(id: &str, cmd: &str) -> Value {
    docker(id, IMAGE, cmd)
}

/// Of the agent's own containers. Networks of this host may be others'.
async fn nothing_left(cluster: &Cluster) {
    let left = || async { cluster.agents[0].nothing_left() };
    eventually("nothing is left on the host", left).await;
}

/// `longshore exec` on the only agent.
fn exec(cluster: &Cluster, words: &[&str]) -> Command {
    on_agent("exec", cluster, words)
}

/// `longshore attach` likewise.
fn attach(cluster: &Cluster, words: &[&str]) -> Command {
    on_agent("attach", cluster, words)
}

fn on_agent(verb: &str, cluster: &Cluster, words: &[&str]) -> Command {
    let mut command = Command::new(program::longshore());
    let agent = format!("--agent={}", cluster.agents[0].api.address);
    command.args([verb, &agent]).args(words);
    command
}

/// Exit status, stdout and stderr of one that is typed to.
fn said(mut command: Command, typed: &str) -> (Option<i32>, String, String) {
    let streams = (Stdio::piped(), Stdio::piped(), Stdio::piped());
    let command = command.stdin(streams.0).stdout(streams.1).stderr(streams.2);
    let mut program = command.spawn().unwrap();
    let mut stdin = program.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).unwrap();
    drop(stdin);
    let Output {
        status,
        stdout,
        stderr,
    } = program.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_looks_into_an_engines_container_as_into_any_other() {
    let engine = Engine::start("exec").await;
    let cluster = Cluster::start_with_engine(&engine, &[]).await;
    let mut app = dockers("web", "echo up; exec sleep 1000");
    app["env"] = json!({"COLOUR": "blue"});
    let task = cluster.run(&app).await.remove(0);
    let look = "read x; echo $COLOUR $MORE $x $(pwd); echo oops >&2; cat; exit 9";
    let words = ["-e", "MORE=more", "-w", "/tmp", "web", "sh", "-c", look];
    let (status, stdout, stderr) = said(exec(&cluster, &words), "line\nlast\n");
    assert_eq!(status, Some(9), "{stderr}");
    assert_eq!(
        (&*stdout, &*stderr),
        ("blue more line /tmp\nlast\n", "oops\n")
    );
    let (status, _, stderr) = said(exec(&cluster, &["web", "no-such-command"]), "");
    assert!(matches!(status, Some(126 | 127)), "{status:?} {stderr}");

    let mut terminal = Terminal::open();
    terminal.resize("40", "100");
    let talk = "ls -l /proc/self/fd/0; read x; echo got $x; exit 4";
    let mut program = exec(&cluster, &["-t", "web", "sh", "-c", talk])
        .stdin(terminal.stream())
        .stdout(terminal.stream())
        .stderr(terminal.stream())
        .spawn()
        .unwrap();
    terminal.shows("/dev/pts/");
    terminal.types("abc\r");
    terminal.shows("got abc");
    assert_eq!(program.wait().unwrap().code(), Some(4));
    assert_eq!(cluster.running("web", 1).await[0].id, task.id);

    let (status, _, stderr) = said(attach(&cluster, &["-i", "web"]), "");
    assert_eq!(status, Some(1), "{stderr}");
    assert!(
        stderr.contains("a container of a Docker Engine"),
        "{stderr}"
    );
    let mut shown = attach(&cluster, &["--from-start", "web"]);
    let shown = shown.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut shown = shown.stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(shown.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert!(line.starts_with("attached to "), "{line}");
    cluster.remove("web").await;
    told.read_to_string(&mut line).unwrap();
    let shown = shown.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "up\n");
    cluster.settled().await;
    nothing_left(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_of_the_engines_is_named_by_its_users() {
    let engine = Engine::start("networks").await;
    engine.says(&["network", "create", "--subnet", "10.77.0.0/24", "web"]);
    let cluster = Cluster::start_with_engine(&engine, &[]).await;
    let agent = &cluster.agents[0];
    // Today's form, with what is said where it listens.
    let mut server = dockers("server", "exec nc -ll -p 80 -e /bin/cat");
    server["networks"] = json!([{"mode": "container", "name": "web"}]);
    server["container"]["portMappings"] = json!([{"containerPort": 80, "hostPort": 0}]);
    server["container"]["docker"]["parameters"] = json!([
        {"key": "ip", "value": "10.77.0.9"}, {"key": "network-alias", "value": "echo"},
    ]);
    let task = cluster.run(&server).await.remove(0);
    let told = engine.inspected(&cluster.container(&task).await);
    let bound = &told["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"];
    assert_eq!(bound, &json!(task.ports[0].to_string()));
    let state = agent.api.json("/state").await;
    let statuses = &state["frameworks"][0]["executors"][0]["tasks"][0]["statuses"];
    let mut statuses = statuses.as_array().unwrap().iter();
    let running = statuses.find(|it| it["state"] == "TASK_RUNNING").unwrap();
    let info = &running["container_status"]["network_infos"][0];
    assert_eq!(info["name"], "web");
    assert_eq!(info["ip_addresses"][0]["ip_address"], "10.77.0.9");
    // The old form; it finds the other by the name that the engine knows.
    let mut client = dockers("client", "echo text | nc echo 80");
    client["cmd"] = json!("echo text | nc -w 5 echo 80; exec sleep 1000");
    client["container"]["docker"]["network"] = json!("USER");
    client["ipAddress"] = json!({"networkName": "web"});
    let task = cluster.run(&client).await.remove(0);
    agent.says(&task.id, "stdout", "text\n").await;

    let mut nowhere = dockers("nowhere", "true");
    nowhere["networks"] = json!([{"mode": "container", "name": "none-such"}]);
    let (_, message) = cluster.failure_of(&nowhere).await;
    assert!(message.contains("none-such"), "{message}");
    cluster.marathon.delete("/v2/apps/nowhere?force=true").await;
    cluster.settled().await;
    for app in ["server", "client"] {
        cluster.remove(app).await;
    }
    cluster.settled().await;
    nothing_left(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_a_driver_outlives_its_tasks_and_gpus_are_asked_for() {
    let engine = Engine::start("volumes").await;
    let cluster = Cluster::start_with_engine(&engine, &[]).await;
    let agent = &cluster.agents[0];
    let mut app = dockers(
        "writes",
        "echo had $(cat /data/x); echo kept > /data/x; exec sleep 1000",
    );
    app["container"]["volumes"] = json!([{
        "containerPath": "/data", "mode": "RW",
        "external": {"name": "kept", "provider": "dvdi", "options": {"dvdi/driver": "local"}},
    }]);
    let task = cluster.run(&app).await.remove(0);
    agent.says(&task.id, "stdout", "had\n").await;
    let volume = engine.says(&["volume", "inspect", "--format", "{{.Driver}}", "kept"]);
    assert_eq!(volume, "local");
    cluster.settled().await;
    cluster.remove("writes").await;
    cluster.settled().await;
    let task = cluster.run(&app).await.remove(0);
    agent.says(&task.id, "stdout", "had kept\n").await;
    cluster.settled().await;
    cluster.remove("writes").await;
    cluster.settled().await;

    // Of a host that has none: the engine says so.
    let mut app = dockers("gpu", "true");
    app["container"]["docker"]["parameters"] = json!([{"key": "gpus", "value": "all"}]);
    let (_, message) = cluster.failure_of(&app).await;
    assert!(message.contains("[[gpu]]"), "{message}");
    cluster.agents[0].api.ready("/health").await;
}
