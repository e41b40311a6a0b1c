//! The Docker apps by which many have learned Marathon, by a Docker Engine and, with Python, also without one:
//! `tests/run engines`.

use serde_json::{Value, json};
use tests::apart::apart;
use tests::cluster::Cluster;
use tests::course;
use tests::docker::{Engine, IMAGE};
use tests::http::Service;
use tests::image::{Layer, Registry, packed};

/// All by one engine, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn each_app_of_the_course_runs_through_the_engine() {
    let mut engine = Engine::start("course").await;
    let cluster = Cluster::start_with_engine(&engine, &[]).await;
    course::hello(&cluster, IMAGE).await;

    let entry = format!("ENTRYPOINT [\"{}\"]", course::ENTRYPOINT);
    engine.import("arg-example:v1.0", &course::arguments(), &[&entry]);
    course::arguments_of(&cluster, "arg-example:v1.0").await;

    course::disk(&cluster, IMAGE).await;

    engine.import("python:3", &Layer::busybox().with(&Layer::python()), &[]);
    course::server(&cluster, "python:3", async |port| engine.page(port)).await;

    let image = engine.registry("who", "geheim").await;
    let config = std::fs::read(engine.config()).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    let packed = packed(cluster.agents[0].directory(), &config);
    course::private(&cluster, &image, &packed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_privileged_app_with_parameters_runs_through_the_engine() {
    let engine = Engine::start_with_our_runtime("privileged").await;
    let cluster = Cluster::start_with_engine(&engine, &[]).await;
    let task = cluster.run(&course::privileged(IMAGE)).await.remove(0);
    course::may_all(&cluster, &task).await;
    let told = engine.inspected(&engine.says(&["ps", "--quiet"]));
    assert_eq!(told["HostConfig"]["Privileged"], true);
    assert_eq!(told["Config"]["Labels"]["longshore.name"], "busy-container");
    cluster.remove("privileged").await;
    cluster.settled().await;
}

#[test]
fn the_python_server_runs_without_an_engine() {
    // Its bridge is not the host's.
    apart(python_without_an_engine);
}

async fn python_without_an_engine() {
    let (cluster, registry) = (Cluster::start(1).await, Registry::start().await);
    let layers = [Layer::busybox(), Layer::python()];
    let image = registry.push("python", &layers, json!({"Env": ["PATH=/usr/bin:/bin"]}));
    course::server(&cluster, &image, async |port| {
        let answer = Service::at(port).ask(reqwest::Method::GET, "/", None).await;
        answer.map(|answer| answer.text)
    })
    .await;
    cluster.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_both_kinds_outlive_their_agent() {
    let engine = Engine::start("both").await;
    let mut cluster = Cluster::start_with_engine(&engine, &[]).await;
    let registry = Registry::start().await;
    let image = registry.push("own", &[Layer::busybox()], json!({}));
    let mut native = course::docker("native", &image, "echo up; exec sleep 1000");
    native["container"]["type"] = json!("MESOS");
    let before = [
        cluster.run(&native).await,
        cluster
            .run(&course::docker("engines", IMAGE, "exec sleep 1000"))
            .await,
    ];
    let processes = cluster.agents[0].processes();
    let running = engine.says(&["ps", "--quiet"]);
    assert!(!processes.is_empty() && !running.is_empty());
    cluster.agents[0].kill();
    cluster.agents[0].start().await;
    cluster.registered(1).await;
    let after = [
        cluster.running("native", 1).await,
        cluster.running("engines", 1).await,
    ];
    assert_eq!(before, after);
    assert_eq!(cluster.agents[0].processes(), processes);
    assert_eq!(engine.says(&["ps", "--quiet"]), running);
    cluster.settled().await;
    for app in ["native", "engines"] {
        cluster.remove(app).await;
    }
    cluster.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_an_engines_task_are_its_own_alone() {
    let engine = Engine::start("secrets").await;
    let mut cluster = Cluster::start_with_engine(&engine, &[]).await;
    tests::secrets::are_the_tasks_alone(&mut cluster, IMAGE).await;
}
