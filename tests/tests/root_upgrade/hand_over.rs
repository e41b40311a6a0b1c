//! What an upgrade changes, and what it does not.

use nix::sys::signal::Signal;
use serde_json::json;
use tests::apps::shell;
use tests::local::Local;
use tests::program::longshore;

use crate::{cluster, ends_well, steady};

#[tokio::test]
async fn root_an_upgrade_changes_the_process_and_nothing_else() {
    let (mut cluster, before) = cluster().await;
    let agent = &cluster.agents[0];
    let old = agent.holder();
    let answer = agent.upgrade().await;
    assert!(answer.success, "{answer:?}");
    let new = agent.holder();
    assert_ne!(old, new);
    let told = format!("it was process {old} and is process {new}");
    assert!(answer.stdout.contains(&told), "{answer:?}");
    assert_eq!(steady(&cluster).await, before);
    // The one before has nothing more to do once its last connection has ended.
    assert!(cluster.agents[0].program_mut().wait().success());
    assert_eq!(steady(&cluster).await, before);
    ends_well(cluster).await;
}

#[tokio::test]
async fn root_what_is_upgraded_is_upgraded_again_and_sighup_asks_for_it_too() {
    let (cluster, before) = cluster().await;
    let agent = &cluster.agents[0];
    let mut seen = vec![agent.holder()];
    agent.signal(Signal::SIGHUP);
    agent.logs("another process is the agent now").await;
    for _ in 0..2 {
        seen.push(agent.holder());
        let answer = agent.upgrade().await;
        assert!(answer.success, "{answer:?}");
    }
    seen.push(agent.holder());
    seen.dedup();
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert_eq!(steady(&cluster).await, before);
    ends_well(cluster).await;
}

#[tokio::test]
async fn root_one_upgrade_at_a_time() {
    let (cluster, before) = cluster().await;
    let agent = &cluster.agents[0];
    let log = agent.directory().join("agent.log");
    agent.install_script("sleep 3; exec \"$REAL\" \"$@\"");
    let (first, second) = tokio::join!(agent.upgrade(), async {
        agent.logs("an upgrade begins").await;
        agent.signal(Signal::SIGHUP);
        agent.logs("another is not begun").await;
        agent.upgrade_fails().await
    });
    assert!(second.contains("is under way already"), "{second}");
    assert!(first.success, "{first:?}");
    let begun = std::fs::read_to_string(log).unwrap();
    assert_eq!(begun.matches("an upgrade begins").count(), 1);
    assert_eq!(steady(&cluster).await, before);
    ends_well(cluster).await;
}

#[tokio::test]
async fn root_apps_that_come_while_upgrades_go_on_run() {
    let (cluster, before) = cluster().await;
    let upgrades = async {
        for _ in 0..3 {
            let answer = cluster.agents[0].upgrade().await;
            assert!(answer.success, "{answer:?}");
        }
    };
    let apps = async {
        for number in 0..10 {
            let mut app = shell(&format!("app{number}"), "exec sleep 100000");
            app["cpus"] = json!(0.05);
            cluster.post(&app).await;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::join!(upgrades, apps);
    for number in 0..10 {
        let id = format!("app{number}");
        cluster.running(&id, 1).await;
        // Not the second try: no order was lost on the way. That of an offer which the master has taken
        // back, as it does with those of an agent that registers, has never been one.
        let app = cluster.marathon.json(&format!("/v2/apps/{id}")).await;
        let failure = &app["app"]["lastTaskFailure"];
        let message = failure["message"].as_str().unwrap_or_default();
        assert!(
            failure.is_null() || message.ends_with("is no longer valid"),
            "{failure:#}"
        );
    }
    assert_eq!(cluster.running("steady", 2).await.len(), before.tasks.len());
    cluster.settled().await;
    for number in 0..10 {
        cluster.remove(&format!("app{number}")).await;
    }
    ends_well(cluster).await;
}

#[tokio::test]
async fn root_a_cluster_in_one_process_says_that_it_cannot_be_upgraded() {
    let local = Local::new("upgrade");
    let mut up = local.start(&["up"]);
    local.scheduler.ready("/ping").await;
    let runtime_dir = format!("--runtime_dir={}/run", local.directory().display());
    let ask = || {
        let asked = std::process::Command::new(longshore())
            .args(["upgrade", &runtime_dir])
            .output()
            .unwrap();
        assert!(!asked.status.success());
        String::from_utf8(asked.stderr).unwrap()
    };
    let told = ask();
    let wanted = format!("process {} has --runtime_dir", up.pid());
    assert!(told.contains(&wanted), "{told}");
    assert!(told.contains("cannot be upgraded in place"), "{told}");
    assert!(up.lives());
    up.signal(Signal::SIGTERM);
    up.wait();
    let told = ask();
    assert!(told.contains("no agent runs here"), "{told}");
}
