//! `longshore why`, as somebody asks what became of a task.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tests::apps::shell;
use tests::cluster::Cluster;
use tests::{eventually, program};

#[tokio::test]
async fn root_a_task_without_memory_hears_how_much_it_used_and_what_to_do() {
    let cluster = Cluster::start(1).await;
    // Without a line end tail must keep it all.
    let app = shell(
        "hungry",
        "echo going to eat >&2; head -c 300000000 /dev/zero | tail",
    );
    let (failure, message) = cluster.failure_of(&app).await;
    let task = failure["taskId"].as_str().unwrap();
    let said = why(&cluster, task).unwrap();
    let verdict = said.lines().next().unwrap();
    assert!(
        verdict.starts_with(&format!("{task} failed after it ran for ")),
        "{said}"
    );
    let (words, _) = message.split_once("; ").unwrap();
    assert!(verdict.ends_with(words), "{said}");
    assert_eq!(states(&said), ["starting", "running", "failed"], "{said}");
    for words in [
        "container limitation memory: Memory limit exceeded: ",
        "\n    its largest processes then: tail (",
        "It used up to ",
        "Raise \"mem\" in the app",
        "its last words on stderr:\n    going to eat\n",
        "/stderr on the agent's host",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    cluster.remove("hungry").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_a_missing_command_is_explained_with_the_launchers_hint_also_after_a_restart() {
    let mut cluster = Cluster::start(1).await;
    let app = json!({ "id": "typo", "args": ["/no/such/program"], "cpus": 0.1, "mem": 32 });
    let (failure, _) = cluster.failure_of(&app).await;
    let task = failure["taskId"].as_str().unwrap();
    let explained = |said: &str| {
        let whole = [
            "failed before it ran: ",
            "container launch failed: Failed to launch container: ",
            "Its command never ran, for its container could not be made: check its spelling",
            "its last words on stderr:\n    Failed to launch container: ",
        ];
        whole.iter().all(|words| said.contains(words)) && said.contains("/no/such/program")
    };
    let said = why(&cluster, task).unwrap();
    assert!(explained(&said), "{said}");

    cluster.remove("typo").await;
    cluster.nothing_left().await;
    cluster.agents[0].kill();
    cluster.agents[0].start().await;
    eventually("the agent tells it again", || async {
        let said = why(&cluster, task)?;
        if explained(&said) { Ok(()) } else { Err(said) }
    })
    .await;
}

#[tokio::test]
async fn root_a_task_that_was_killed_on_request_hears_by_whom_as_far_as_that_is_recorded() {
    let cluster = Cluster::start(1).await;
    let app = shell("ended", "echo up >&2; exec sleep 1000");
    let task = cluster.run(&app).await.remove(0);
    cluster.agents[0].says(&task.id, "stderr", "up\n").await;
    cluster.remove("ended").await;
    let said = eventually("the task was killed", || async {
        let said = why(&cluster, "ended")?;
        match said.contains(" was killed on request after it ran for ") {
            true => Ok(said),
            false => Err(said),
        }
    })
    .await;
    assert!(said.starts_with(&task.id), "{said}");
    for words in [
        "\n    its framework requested the kill\n",
        "who asked the framework is not recorded",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(
        said.contains("its last words on stderr:\n    up\n"),
        "{said}"
    );
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_a_signal_that_nobody_requested_from_the_agent_is_told_with_its_sender() {
    let cluster = Cluster::start(1).await;
    let own = shell("own", "kill -TERM 1; sleep 1000");
    let (failure, message) = cluster.failure_of(&own).await;
    let own = "Command terminated with signal Terminated; sent by process ";
    assert!(message.starts_with(own), "{message}");
    assert!(
        message.ends_with(" of its own container (uid 0)"),
        "{message}"
    );
    let said = why(&cluster, failure["taskId"].as_str().unwrap()).unwrap();
    assert!(said.contains("ended by SIGTERM (signal 15)"), "{said}");
    cluster.remove("own").await;

    let app = shell("foreign", "echo up >&2; exec sleep 1000");
    let task = cluster.run(&app).await.remove(0);
    cluster.agents[0].says(&task.id, "stderr", "up\n").await;
    let containers = cluster.agents[0].api.json("/containers").await;
    let all = containers.as_array().unwrap().iter();
    let mut pids = all.filter_map(|it| it["status"]["executor_pid"].as_i64());
    let pid = Pid::from_raw(pids.next().unwrap().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    let message = cluster.failure("foreign").await["message"].clone();
    assert_eq!(
        message,
        "Command terminated with signal Terminated; sent by a process outside of its container \
         (uid 0)"
    );
    cluster.remove("foreign").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_what_a_task_says_of_a_missing_capability_is_guessed_from() {
    let cluster = Cluster::start(1).await;
    let app = shell("mounts", "mount -t tmpfs none /mnt");
    let (failure, _) = cluster.failure_of(&app).await;
    let said = why(&cluster, failure["taskId"].as_str().unwrap()).unwrap();
    let guess = said.lines().last().unwrap();
    assert!(guess.starts_with("A guess, from \"mount: "), "{said}");
    assert!(
        guess.contains("it lacks the capability SYS_ADMIN"),
        "{said}"
    );
    cluster.remove("mounts").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_a_task_that_runs_well_hears_so_and_an_unknown_one_hears_what_is_there() {
    let cluster = Cluster::start(1).await;
    let nothing = why(&cluster, "web").unwrap_err();
    assert!(nothing.contains("no task is known there"), "{nothing}");

    let app = shell("web", "echo up >&2; exec sleep 1000");
    let task = cluster.run(&app).await.remove(0);
    for name in [task.id.as_str(), "/web", "we"] {
        let said = why(&cluster, name).unwrap();
        let verdict = format!("{} runs well, for ", task.id);
        assert!(said.starts_with(&verdict), "{said}");
        assert_eq!(states(&said), ["starting", "running"], "{said}");
        assert!(!said.contains("stderr"), "{said}");
    }
    let refused = why(&cluster, "wob").unwrap_err();
    assert!(refused.contains("is known there, but:"), "{refused}");
    assert!(refused.contains(&task.id), "{refused}");
    cluster.remove("web").await;
    cluster.nothing_left().await;
}

/// What the program prints; the words of its refusal where it ends with 1.
fn why(cluster: &Cluster, task: &str) -> Result<String, String> {
    let agent = format!("--agent={}", cluster.agents[0].api.address);
    let mut command = Command::new(program::longshore());
    let output = command.args(["why", &agent, task]).output();
    let output = output.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.code() {
        Some(0) => Ok(text(&output.stdout)),
        Some(1) => Err(text(&output.stderr)),
        other => panic!("{other:?}: {}", text(&output.stderr)),
    }
}

/// Of the lines that begin with a moment in UTC.
fn states(said: &str) -> Vec<&str> {
    let words = said.lines().map(str::split_whitespace);
    let moments = words.filter_map(|mut words| {
        let moment = words.next()?;
        (moment.len() == 24 && moment.ends_with('Z')).then(|| words.next())?
    });
    moments.collect()
}
