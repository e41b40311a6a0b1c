//! Tasks of the type DOCKER on a real engine: `tests/run engines`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::apps::{Task, shell};
use tests::cluster::Cluster;
use tests::docker::{Engine, IMAGE};
use tests::eventually;
use tests::image::{Layer, Registry, packed};

fn dockers(id: &str, cmd: &str) -> Value {
    let mut app = shell(id, cmd);
    app["container"] = json!({"type": "DOCKER", "docker": {"image": IMAGE}});
    app
}

/// Of the agent's own containers. Networks of this host may be others'.
async fn nothing_left(cluster: &Cluster) {
    let left = || async { cluster.agents[0].nothing_left() };
    eventually("nothing is left on the host", left).await;
}

/// Numbers from 1 on, each in a line of its own, and none missing.
fn is_whole(text: &str) -> Result<usize, String> {
    let lines: Vec<_> = text.split_terminator('\n').collect();
    let wrong = lines
        .iter()
        .enumerate()
        .find(|(at, line)| **line != (at + 1).to_string());
    match wrong {
        None => Ok(lines.len()),
        Some((at, line)) => Err(format!("line {} is {line:?} of {}", at + 1, lines.len())),
    }
}

const COUNTING: &str = "n=0; while true; do n=$((n+1)); echo $n; \
                        [ $((n % 100)) = 0 ] && sleep 0.1; done";

async fn counts_on(cluster: &Cluster, task: &Task) -> usize {
    let sandbox = cluster.agents[0].sandbox(&task.id).await.unwrap();
    let read = || std::fs::read_to_string(format!("{sandbox}/stdout")).unwrap();
    let before = is_whole(&read()).unwrap();
    eventually("it has counted on", || async {
        let now = is_whole(&read()).unwrap();
        (now > before + 300)
            .then_some(now)
            .ok_or(format!("{before}, {now}"))
    })
    .await
}

async fn healthy(cluster: &Cluster, app: &str) {
    eventually("it is healthy", || async {
        let found = cluster.marathon.json(&format!("/v2/apps/{app}")).await;
        (found["app"]["tasksHealthy"] == 1)
            .then_some(())
            .ok_or(found.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_app_runs_through_the_engine() {
    let engine = Engine::start("runs").await;
    let cluster = Cluster::start_with_engine(&engine, &[]).await;
    let mut app = dockers(
        "hello",
        "echo hello from $WHO >&2; cd $MESOS_SANDBOX; pwd; cat given; exec nc -ll -p 80 -e /bin/cat",
    );
    app["env"] = json!({"WHO": "docker"});
    let given = cluster.agents[0].directory().join("given");
    std::fs::write(&given, "fetched\n").unwrap();
    app["fetch"] = json!([{"uri": given.display().to_string()}]);
    app["container"]["docker"]["network"] = json!("BRIDGE");
    app["container"]["docker"]["parameters"] = json!([
        {"key": "hostname", "value": "inside"},
        {"key": "label", "value": "a=b"},
    ]);
    app["container"]["docker"]["portMappings"] = json!([{"containerPort": 80, "hostPort": 0}]);
    app["healthChecks"] =
        json!([{"protocol": "MESOS_TCP", "port": 80, "delaySeconds": 0, "intervalSeconds": 1}]);
    let task = cluster.run(&app).await.remove(0);
    let agent = &cluster.agents[0];
    agent.says(&task.id, "stderr", "hello from docker\n").await;
    agent
        .says(&task.id, "stdout", "/mnt/mesos/sandbox\nfetched\n")
        .await;

    healthy(&cluster, "hello").await;
    let name = cluster.container(&task).await;
    let told = engine.inspected(&name);
    assert_eq!(told["State"]["Running"], true);
    let host = &told["HostConfig"];
    assert_eq!(
        (&host["Memory"], &host["CpuShares"]),
        (&json!(32 << 20), &json!(102))
    );
    let bound = &host["PortBindings"]["80/tcp"][0]["HostPort"];
    assert_eq!(bound, &json!(task.ports[0].to_string()));
    assert_eq!(told["Config"]["Labels"]["a"], "b");
    assert_eq!(told["Config"]["Hostname"], "inside");
    let address = told["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        .as_str()
        .unwrap();
    let state = agent.api.json("/state").await;
    let statuses = &state["frameworks"][0]["executors"][0]["tasks"][0]["statuses"];
    let running = statuses
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["state"] == "TASK_RUNNING");
    let infos = &running.unwrap()["container_status"]["network_infos"];
    assert_eq!(infos[0]["ip_addresses"][0]["ip_address"], address);
    let used = agent.api.json("/monitor/statistics").await;
    assert!(
        used[0]["statistics"]["mem_rss_bytes"].is_number(),
        "{used:#}"
    );

    cluster.remove("hello").await;
    cluster.settled().await;
    eventually("the container has ended", || async {
        let told = engine.inspected(&name);
        (told["State"]["Running"] == false)
            .then_some(())
            .ok_or(told.to_string())
    })
    .await;
    nothing_left(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_by_command_is_made_in_the_engines_container() {
    let engine = Engine::start("checked").await;
    let cluster = Cluster::start_with_engine(&engine, &[]).await;
    let mut app = dockers("checked", "touch /made; exec sleep 1000");
    app["healthChecks"] = json!([{
        "protocol": "COMMAND", "command": {"value": "test -e /made"}, "delaySeconds": 0, "intervalSeconds": 1,
    }]);
    cluster.run(&app).await;
    healthy(&cluster, "checked").await;
    cluster.remove("checked").await;
    cluster.settled().await;
    nothing_left(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_may_bring_arguments_volumes_and_privileges() {
    let engine = Engine::start("wishes").await;
    let cluster = Cluster::start_with_engine(&engine, &[]).await;
    let agent = &cluster.agents[0];
    let kept = agent.directory().join("kept");
    let mut app = dockers("wishes", "");
    app.as_object_mut().unwrap().remove("cmd");
    app["args"] = json!([
        "-c",
        "echo $(cat /kept/there 2>/dev/null)$0; echo more >/kept/there; mount -t tmpfs none /tmp && exec sleep 1000",
        "argument"
    ]);
    app["container"]["volumes"] =
        json!([{"containerPath": "/kept", "hostPath": kept.display().to_string(), "mode": "RW"}]);
    // All privileges are more than some hosts' root has to give.
    app["container"]["docker"]["parameters"] = json!([
        {"key": "entrypoint", "value": "/bin/sh"},
        {"key": "cap-add", "value": "SYS_ADMIN"},
        {"key": "security-opt", "value": "seccomp=unconfined"},
    ]);
    let task = cluster.run(&app).await.remove(0);
    agent.says(&task.id, "stdout", "argument\n").await;
    eventually("it has written to its volume", || async {
        let there = std::fs::read_to_string(kept.join("there")).unwrap_or_default();
        (there == "more\n").then_some(()).ok_or(there)
    })
    .await;
    assert_eq!(cluster.running("wishes", 1).await[0].id, task.id);
    cluster.settled().await;
    cluster.remove("wishes").await;
    cluster.settled().await;
    let again = cluster.run(&app).await.remove(0);
    agent.says(&again.id, "stdout", "moreargument\n").await;
    cluster.remove("wishes").await;
    nothing_left(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_a_private_registry_is_pulled_by_who_has_its_password() {
    let mut engine = Engine::start("private").await;
    let image = engine.registry("who", "geheim").await;
    let cluster = Cluster::start_with_engine(&engine, &[]).await;
    let agent = &cluster.agents[0];
    let mut app = dockers("private", "echo pulled; exec sleep 1000");
    app["container"]["docker"]["image"] = json!(image);
    let (_, message) = cluster.failure_of(&app).await;
    assert!(
        message.contains("would not pull image 127.0.0.1:5000/private (1)"),
        "{message}"
    );
    cluster.marathon.delete("/v2/apps/private?force=true").await;
    cluster.settled().await;

    let config = std::fs::read(engine.config()).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    let packed = packed(agent.directory(), &config);
    app["fetch"] = json!([{"uri": packed.display().to_string()}]);
    app["container"]["docker"]["forcePullImage"] = json!(true);
    app["id"] = json!("fetched");
    let task = cluster.run(&app).await.remove(0);
    agent.says(&task.id, "stdout", "pulled\n").await;
    agent
        .says(&task.id, "stderr", "Pulling image 127.0.0.1:5000/private:1")
        .await;
    cluster.remove("fetched").await;
    nothing_left(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_outlive_the_agent_and_no_line_is_lost_or_doubled() {
    let engine = Engine::start("recovers").await;
    let mut cluster = Cluster::start_with_engine(&engine, &["--docker_remove_delay=0secs"]).await;
    let stays = cluster.run(&dockers("stays", COUNTING)).await.remove(0);
    let go = "until [ -e go ]; do sleep 0.1; done; echo last; exit 7";
    let ends = cluster
        .run(&dockers("ends", &format!("cd $MESOS_SANDBOX; {go}")))
        .await
        .remove(0);
    let names = [
        cluster.container(&stays).await,
        cluster.container(&ends).await,
    ];
    for _ in 0..3 {
        counts_on(&cluster, &stays).await;
        cluster.agents[0].kill();
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.agents[0].start().await;
        cluster.registered(1).await;
    }
    let upgraded = cluster.agents[0].upgrade().await;
    assert!(upgraded.success, "{upgraded:?}");
    counts_on(&cluster, &stays).await;
    let sandbox = cluster.agents[0].sandbox(&ends.id).await.unwrap();
    cluster.agents[0].kill();
    std::fs::write(format!("{sandbox}/go"), "").unwrap();
    eventually("it has ended", || async {
        let told = engine.inspected(&names[1]);
        (told["State"]["Running"] == false)
            .then_some(())
            .ok_or(told.to_string())
    })
    .await;
    cluster.agents[0].start().await;
    let failure = cluster.failure("ends").await;
    assert_eq!(failure["taskId"], ends.id.as_str());
    assert_eq!(failure["message"], "Container exited with status 7");
    let said = std::fs::read_to_string(format!("{sandbox}/stdout")).unwrap();
    assert_eq!(said, "last\n");
    counts_on(&cluster, &stays).await;
    assert_eq!(cluster.running("stays", 1).await[0].id, stays.id);

    cluster.settled().await;
    for app in ["stays", "ends"] {
        cluster.remove(app).await;
    }
    eventually("what has ended is removed", || async {
        let left = engine.says(&["ps", "--all", "--format", "{{.Names}}"]);
        left.is_empty().then_some(()).ok_or(left)
    })
    .await;
    nothing_left(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_go_on_while_their_engine_is_killed_and_comes_back() {
    let mut engine = Engine::start("restarts").await;
    let cluster = Cluster::start_with_engine(&engine, &[]).await;
    let task = cluster.run(&dockers("steady", COUNTING)).await.remove(0);
    let pid = engine.inspected(&cluster.container(&task).await)["State"]["Pid"].clone();
    counts_on(&cluster, &task).await;
    for _ in 0..2 {
        engine.kill();
        // What runs natively does so meanwhile, also what else the engine would have run.
        cluster.run(&shell("native", "exec sleep 1000")).await;
        cluster.remove("native").await;
        engine.begin().await;
        counts_on(&cluster, &task).await;
    }
    assert_eq!(cluster.running("steady", 1).await[0].id, task.id);
    let now = engine.inspected(&cluster.container(&task).await)["State"]["Pid"].clone();
    assert_eq!(pid, now);

    // One that hangs keeps nobody else from anything, and a kill waits for it.
    engine.signal(Signal::SIGSTOP);
    let registry = Registry::start().await;
    let mut instead = dockers("instead", "echo natively; exec sleep 1000");
    instead["container"]["docker"]["image"] =
        json!(registry.push("own", &[Layer::busybox()], json!({})));
    let native = cluster.run(&instead).await.remove(0);
    cluster.agents[0]
        .says(&native.id, "stdout", "natively")
        .await;
    cluster.remove("steady").await;
    cluster.remove("instead").await;
    cluster.agents[0].api.ready("/health").await;
    engine.signal(Signal::SIGCONT);
    cluster.settled().await;
    eventually("it has ended", || async {
        let running = engine.says(&["ps", "--quiet"]);
        running.is_empty().then_some(()).ok_or(running)
    })
    .await;
    nothing_left(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_no_task_goes_and_what_cannot_be_is_told() {
    let engine = Engine::start("orphans").await;
    let mut cluster = Cluster::start_with_engine(&engine, &[]).await;
    let owner = cluster.agents[0]
        .directory()
        .join("work")
        .display()
        .to_string();
    cluster.agents[0].kill();
    let run = |owner: &str, name: &str| {
        let label = format!("longshore.work_dir={owner}");
        let container = format!("longshore.container={}", name.trim_start_matches("mesos-"));
        let words = ["run", "--detach", "--net=none", "--name", name];
        let labels = [
            "--label", &label, "--label", &container, IMAGE, "sleep", "1000",
        ];
        engine.says(&[&words[..], &labels].concat());
    };
    run(&owner, "mesos-ours");
    run("/another", "mesos-anothers");
    cluster.agents[0].start().await;
    cluster.registered(1).await;
    eventually("the orphan is removed, and nothing else", || async {
        let left = engine.says(&["ps", "--all", "--format", "{{.Names}}"]);
        (left == "mesos-anothers").then_some(()).ok_or(left)
    })
    .await;

    let mut refused = dockers("refused", "true");
    refused["container"]["docker"]["parameters"] = json!([{"key": "volumes-from", "value": "x"}]);
    let (_, message) = cluster.failure_of(&refused).await;
    assert!(
        message.contains("the docker parameter \"volumes-from\""),
        "{message}"
    );
    let mut missing = dockers("missing", "true");
    missing["container"]["docker"]["image"] = json!("127.0.0.1:1/none:1");
    let (_, message) = cluster.failure_of(&missing).await;
    assert!(
        message.contains("pull image 127.0.0.1:1/none (1)"),
        "{message}"
    );
    let (_, message) = cluster.failure_of(&dockers("fails", "exit 3")).await;
    assert_eq!(message, "Container exited with status 3");
    let mut greedy = dockers("greedy", "x=more; while true; do x=$x$x; done");
    greedy["mem"] = json!(48);
    let (_, message) = cluster.failure_of(&greedy).await;
    assert!(
        message.starts_with("Memory limit exceeded: Requested: 48MB"),
        "{message}"
    );
    cluster.agents[0].kill();
}
