//! The Docker apps by which many have learned Marathon, on a node that has no Docker. Those that take Python are in
//! `with_docker_course.rs`, which does the same with a Docker Engine.

use serde_json::json;
use tests::cluster::Cluster;
use tests::course;
use tests::image::{Layer, Registry, packed};

#[tokio::test(flavor = "multi_thread")]
async fn root_docker_hello_says_it_three_times() {
    let (cluster, registry) = (Cluster::start(1).await, Registry::start().await);
    let image = registry.push("busybox", &[Layer::busybox()], json!({}));
    course::hello(&cluster, &image).await;
    cluster.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_arg_example_is_given_its_arguments() {
    let (cluster, registry) = (Cluster::start(1).await, Registry::start().await);
    let config = json!({"Entrypoint": [course::ENTRYPOINT]});
    let image = registry.push("arg-example", &[course::arguments()], config);
    course::arguments_of(&cluster, &image).await;
    cluster.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_one_writes_to_disk_another_reads() {
    let (cluster, registry) = (Cluster::start(1).await, Registry::start().await);
    let image = registry.push("busybox", &[Layer::busybox()], json!({}));
    course::disk(&cluster, &image).await;
    cluster.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_privileged_one_with_parameters_may_do_all() {
    let (cluster, registry) = (Cluster::start(1).await, Registry::start().await);
    let image = registry.push("busybox", &[Layer::busybox()], json!({}));
    let task = cluster.run(&course::privileged(&image)).await.remove(0);
    course::may_all(&cluster, &task).await;
    cluster.remove("privileged").await;
    cluster.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_image_of_a_private_registry_is_pulled_by_who_has_its_password() {
    let cluster = Cluster::start(1).await;
    // who:geheim
    let registry = Registry::start_private("Basic d2hvOmdlaGVpbQ==").await;
    let image = registry.push("private", &[Layer::busybox()], json!({}));
    let (_, message) = cluster
        .failure_of(&course::docker("stranger", &image, "true"))
        .await;
    assert!(message.contains("not logged in"), "{message}");
    cluster
        .marathon
        .delete("/v2/apps/stranger?force=true")
        .await;
    cluster.settled().await;
    let config = json!({"auths": {&registry.host: {"auth": "d2hvOmdlaGVpbQ=="}}});
    let packed = packed(cluster.agents[0].directory(), &config);
    course::private(&cluster, &image, &packed).await;

    // The same by a secret of the agent, which the app names.
    let mut cluster = cluster;
    let agent = &mut cluster.agents[0];
    let secrets = agent.directory().join("secrets/team");
    std::fs::create_dir_all(&secrets).expect("makes");
    std::fs::write(secrets.join("registry"), config.to_string()).expect("writes");
    let mut app = course::docker("named", &image, "echo pulled; exec sleep 1000");
    app["container"]["type"] = json!("MESOS");
    app["container"]["docker"]["forcePullImage"] = json!(true);
    app["container"]["docker"]["pullConfig"] = json!({"secret": "pull"});
    app["secrets"] = json!({"pull": {"source": "/team/registry"}});
    agent.kill();
    let directory = agent.directory().join("secrets");
    agent.add_argument(format!("--secrets_dir={}", directory.display()));
    agent.start().await;
    cluster.registered(1).await;
    let task = cluster.run(&app).await.remove(0);
    let agent = &cluster.agents[0];
    agent.says(&task.id, "stdout", "pulled\n").await;
    cluster.remove("named").await;
    cluster.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_secrets_of_an_app_are_its_tasks_alone() {
    let (mut cluster, registry) = (Cluster::start(1).await, Registry::start().await);
    let image = registry.push("keeper", &[Layer::busybox()], json!({}));
    tests::secrets::are_the_tasks_alone(&mut cluster, &image).await;
    cluster.nothing_left().await;
}
