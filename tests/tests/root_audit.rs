//! `longshore audit` on nodes that somebody has broken, and on one that has much to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::mount::{MsFlags, mount};
use serde_json::Value;
use tests::apps::shell;
use tests::audit::audit;
use tests::cluster::{Agent, Cluster};
use tests::{PATIENCE, eventually, host};

/// A process that this test puts into a cgroup.
struct Sleeper(Child);

impl Sleeper {
    fn in_cgroup(directory: &Path) -> Self {
        let mut sleep = Command::new("sleep");
        let sleeper = Self(sleep.arg("1000").stdin(Stdio::null()).spawn().unwrap());
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join("cgroup.procs"), sleeper.0.id().to_string()).unwrap();
        sleeper
    }

    fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The agent's subtree in a hierarchy that every container is in.
fn subtree(agent: &Agent) -> PathBuf {
    let all = host::cgroups(&agent.cgroups_root);
    let own = all.iter().filter(|it| it.ends_with(&agent.cgroups_root));
    let pids = own.clone().find(|it| it.starts_with("/sys/fs/cgroup/pids"));
    pids.or_else(|| own.clone().next()).unwrap().clone()
}

/// Names of containers with a record.
fn records(agent: &Agent) -> BTreeSet<String> {
    let records = fs::read_dir(agent.directory().join("run/containers")).unwrap();
    let names = records.map(|it| it.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// The directory `runs` of some task's sandboxes.
fn runs(agent: &Agent) -> PathBuf {
    let mut place = agent.directory().join("work/slaves");
    for below in ["frameworks", "executors", "runs"] {
        let mut entries = fs::read_dir(&place).unwrap();
        place = entries.next().unwrap().unwrap().path().join(below);
    }
    place
}

fn sandbox_of(agent: &Agent, container: &str) -> PathBuf {
    let executors = runs(agent).parent().unwrap().parent().unwrap().to_owned();
    let all = fs::read_dir(executors).unwrap();
    let mut all = all.map(|it| it.unwrap().path().join("runs").join(container));
    all.find(|it| it.exists()).unwrap()
}

async fn clean(agent: &Agent) -> String {
    let audit = audit(agent.arguments(), &[]).await;
    assert_eq!(audit.status, Some(0), "{audit:?}");
    audit.stdout
}

fn found(differences: &[Value]) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = differences.iter();
    found
        .map(|it| (text(&it["kind"]), text(&it["container"])))
        .collect()
}

#[tokio::test]
async fn root_a_broken_node_is_explained_mended_and_goes_on() {
    let mut cluster = Cluster::start(1).await;
    let mut app = shell("steady", "exec sleep 1000");
    app["instances"] = 2.into();
    cluster.run(&app).await;
    let agent = &mut cluster.agents[0];
    assert!(clean(agent).await.contains("the agent runs as process "));
    agent.kill();
    // What the next agent takes over is no difference.
    assert!(clean(agent).await.contains("no agent runs"));

    // The record of a task that runs.
    let containers = agent.directory().join("run/containers");
    let whole = records(agent);
    let lost = whole.first().unwrap().clone();
    fs::remove_dir_all(containers.join(&lost)).unwrap();
    // A sandbox without a checkpoint, and a process in a cgroup of its name.
    let sandboxes = runs(agent);
    fs::create_dir(sandboxes.join("bare")).unwrap();
    let mut ours = Sleeper::in_cgroup(&subtree(agent).join("bare"));
    // A checkpoint without a sandbox: that of a task that runs was removed.
    let other = whole.last().unwrap().clone();
    let removed = sandbox_of(agent, &other);
    fs::remove_dir_all(&removed).unwrap();
    // A record without a process, and in its place a mount of something precious.
    let precious = agent.directory().join("precious");
    let old = containers.join("old");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "precious").unwrap();
    fs::create_dir_all(old.join("place")).unwrap();
    let (none, place) = (None::<&str>, old.join("place"));
    mount(Some(&precious), &place, none, MsFlags::MS_BIND, none).unwrap();
    // And what is not the agent's at all, beside that.
    let beside = subtree(agent).with_file_name(format!("{}-beside", agent.cgroups_root));
    let mut foreign = Sleeper::in_cgroup(&beside);

    let told = audit(agent.arguments(), &["--json"]).await;
    assert_eq!(told.status, Some(1), "{told:?}");
    let wanted = [
        ("process", lost.as_str()),
        ("cgroup", lost.as_str()),
        ("cgroup", "bare"),
        ("sandbox", "bare"),
        ("checkpoint", other.as_str()),
        ("mount", "old"),
        ("record", "old"),
    ];
    let wanted: BTreeSet<_> = wanted.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    assert_eq!(found(&told.differences()), wanted, "{}", told.stdout);
    for difference in told.differences() {
        assert_eq!(difference["outcome"], "untried");
        assert!(difference["repair"].is_string(), "{difference}");
        assert!(difference["why"].as_str().is_some_and(|why| why.len() > 20));
    }
    let lost_process = told
        .differences()
        .into_iter()
        .find(|it| it["kind"] == "process");
    let whose = lost_process.unwrap()["task"].clone();
    assert!(
        whose.as_str().is_some_and(|it| it.starts_with("steady.")),
        "{whose}"
    );
    // To be told is not to be mended.
    assert!(ours.runs() && place.join("file").exists() && old.exists());

    let mended = audit(agent.arguments(), &["--json", "--repair"]).await;
    assert_eq!(mended.status, Some(0), "{mended:?}");
    assert_eq!(found(&mended.differences()), wanted);
    for difference in mended.differences() {
        assert_eq!(difference["outcome"], "repaired", "{difference}");
    }
    assert!(
        clean(agent)
            .await
            .starts_with("Everything is as it is recorded")
    );
    assert!(!ours.runs(), "a process in a container's cgroup still runs");
    assert!(foreign.runs(), "a process of somebody else was ended");
    assert_eq!(fs::read(precious.join("file")).unwrap(), b"precious");
    assert!(!old.exists() && sandboxes.join("bare").exists());
    assert!(removed.join("stdout").exists());
    let rest: BTreeSet<_> = whole.iter().filter(|it| **it != lost).cloned().collect();
    assert_eq!(records(agent), rest);
    assert_eq!(agent.processes().len(), 2, "of the task that is whole");
    drop(foreign);
    eventually("the test's own cgroup is gone", || async {
        fs::remove_dir(&beside).map_err(|error| error.to_string())
    })
    .await;

    cluster.agents[0].start().await;
    cluster.registered(1).await;
    cluster.running("steady", 2).await;
    clean(&cluster.agents[0]).await;
    cluster.remove("steady").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_beside_an_agent_only_what_it_cannot_own_is_mended() {
    let cluster = Cluster::start(1).await;
    cluster.run(&shell("steady", "exec sleep 1000")).await;
    let agent = &cluster.agents[0];
    let running = records(agent);
    let sandbox = runs(agent).join("over");
    fs::create_dir(&sandbox).unwrap();
    fs::create_dir(subtree(agent).join("over")).unwrap();
    let mut unknown = Sleeper::in_cgroup(&subtree(agent).join("unknown"));
    // A launch that has come no further, for all that anybody can tell.
    let begun = agent.directory().join("run/containers/begun");
    fs::create_dir(&begun).unwrap();

    // One that is nobody's: the task has been given any.
    let tasks = cluster.marathon.json("/v2/apps/steady/tasks").await;
    let held = tasks["tasks"][0]["ports"][0].as_u64().unwrap();
    let (first, last) = agent.ports;
    let free = if held == u64::from(last) { first } else { last };
    let listener = TcpListener::bind(("127.0.0.1", free)).unwrap();

    let mended = audit(agent.arguments(), &["--json", "--repair"]).await;
    // Some is left for a person to decide.
    assert_eq!(mended.status, Some(1), "{mended:?}");
    let outcomes = mended.differences();
    let outcomes = outcomes.iter().map(|it| {
        let text = |key: &str| it[key].as_str().unwrap_or_default().to_owned();
        (text("kind"), text("container"), text("outcome"))
    });
    let wanted = [
        ("cgroup", "over", "repaired"),
        ("cgroup", "unknown", "untried"),
        ("port", "", "untried"),
    ];
    let wanted = wanted.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(outcomes.collect::<Vec<_>>(), wanted, "{}", mended.stdout);
    assert!(mended.json()["agent"]["pid"].is_u64());
    assert!(unknown.runs() && begun.exists());
    let us = format!("process {} (", std::process::id());
    let port = mended.differences().pop().unwrap();
    assert!(port["why"].as_str().unwrap().starts_with(&us), "{port}");
    drop(listener);
    let text = audit(agent.arguments(), &[]).await.stdout;
    assert!(
        text.contains("to do: another agent may have the same --cgroups_root"),
        "{text}"
    );
    drop(unknown);
    eventually("the test's own cgroup is gone", || async {
        fs::remove_dir(subtree(agent).join("unknown")).map_err(|error| error.to_string())
    })
    .await;
    fs::remove_dir(&begun).unwrap();
    fs::remove_dir(&sandbox).unwrap();
    assert_eq!(records(agent), running);
    cluster.running("steady", 1).await;
    cluster.remove("steady").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_tasks_that_come_and_go_are_no_differences() {
    let cluster = Cluster::start(1).await;
    let mut app = shell("brief", "sleep 0.1");
    app["instances"] = 6.into();
    app["backoffSeconds"] = 0.into();
    app["maxLaunchDelaySeconds"] = 0.into();
    cluster.post(&app).await;
    let agent = &cluster.agents[0];
    let mut seen = BTreeSet::new();
    let mut looks = 0;
    // A slow machine takes seconds for each.
    let deadline = Instant::now() + PATIENCE * 5;
    while looks < 10 || seen.len() < 20 {
        seen.extend(records(agent));
        let told = audit(agent.arguments(), &["--json", "--repair"]).await;
        let differences = told.differences();
        assert_eq!(differences, [] as [Value; 0], "{told:?}");
        looks += 1;
        assert!(
            Instant::now() < deadline,
            "only {} came and went",
            seen.len()
        );
    }
    cluster.remove("brief").await;
    cluster.nothing_left().await;
}

#[tokio::test]
async fn root_a_node_that_cannot_be_looked_at_is_not_called_clean() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display();
    let arguments = [
        "agent".to_owned(),
        format!("--work_dir={place}/work"),
        format!("--runtime_dir={place}/run"),
        format!("--cgroups_hierarchy={place}/none"),
    ];
    let told = audit(&arguments, &[]).await;
    assert_eq!(told.status, Some(2), "{told:?}");
    assert!(told.stderr.contains("see --cgroups_hierarchy"), "{told:?}");
    // Nor does a look make anything.
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
