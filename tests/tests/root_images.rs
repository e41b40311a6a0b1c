//! Apps with an image, on a node that has no Docker.

use serde_json::{Value, json};
use tests::apart::apart;
use tests::apps::shell;
use tests::cluster::Cluster;
use tests::eventually;
use tests::image::{Layer, Registry};
use tests::local::Local;

fn docker(name: &str, image: &str, cmd: &str) -> Value {
    let mut app = shell(name, cmd);
    app["container"] = json!({"type": "DOCKER", "docker": {"image": image}});
    app
}

/// What an app says that ends well.
async fn output(name: &str, app: &Value) -> String {
    output_with(name, app, &[]).await
}

async fn output_with(name: &str, app: &Value, flags: &[&str]) -> String {
    let local = Local::new(name);
    let file = local.file("app.json", app);
    let mut run = local.start(&[&["run", "--once", &file], flags].concat());
    assert_eq!(run.wait().code(), Some(0), "{}", run.output());
    local.nothing_left().await;
    run.output()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_docker_app_runs_from_its_image_without_docker() {
    let registry = Registry::start().await;
    let above = Layer::default()
        .file("srv/data/.wh.old", "")
        .file("srv/data/new", "new\n");
    let below = Layer::busybox()
        .file("srv/data/old", "old\n")
        .file("srv/data/kept", "kept\n");
    let config = json!({
        "Env": ["PATH=/bin", "FROM=image"], "WorkingDir": "/srv/data", "User": "app",
    });
    let image = registry.push("app", &[below, above], config);
    let cmd = "echo in $(pwd) from $FROM home $HOME; echo files $(ls); echo ids $(id -u) $(id -g) $(id -G); \
        echo text > $MESOS_SANDBOX/out && echo sandbox $MESOS_SANDBOX $(cat /mnt/mesos/sandbox/out); \
        touch /srv/data/mine 2>/dev/null || echo not mine; \
        touch /tmp/x && echo root $(ls /) && test ! -e /usr && echo dev $(ls -d /dev/null /dev/pts /dev/shm)";
    let app = docker("docker", &image, cmd);
    for backend in ["overlay", "copy"] {
        let flag = format!("--image_provisioner_backend={backend}");
        let output = output_with(backend, &app, &[&flag]).await;
        for line in [
            "in /srv/data from image home /home/app",
            "files kept new",
            "ids 1234 1235 1235 77",
            "sandbox /mnt/mesos/sandbox text",
            "not mine",
            "root bin dev etc mnt proc srv sys tmp",
            "dev /dev/null /dev/pts /dev/shm",
        ] {
            assert!(output.contains(line), "{line}\n{output}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_images_entrypoint_gets_the_arguments_of_the_app() {
    let registry = Registry::start().await;
    let config = json!({"Entrypoint": ["/bin/echo", "entry"], "Cmd": ["cmd"]});
    let image = registry.push("args", &[Layer::busybox()], config);
    let app = |kind: &str, arguments: &[&str]| {
        let mut app = shell("args", "");
        app.as_object_mut().expect("an app").remove("cmd");
        app["container"] = json!({"type": kind, "docker": {"image": image}});
        if !arguments.is_empty() {
            app["args"] = json!(arguments);
        }
        app
    };
    let said = output("args", &app("DOCKER", &["-name", "Bert"])).await;
    assert!(said.contains("entry -name Bert"), "{said}");
    let said = output("noargs", &app("MESOS", &[])).await;
    assert!(said.contains("entry cmd"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_image_that_is_not_what_it_says_is_refused_with_its_reason() {
    let registry = Registry::start().await;
    let image = registry.push("bad", &[Layer::busybox()], json!({}));
    let blobs = std::fs::read_dir(registry.path("bad/blobs")).expect("reads");
    let largest = blobs.map(|blob| blob.expect("reads").path());
    let largest = largest.max_by_key(|it| it.metadata().map_or(0, |it| it.len()));
    let largest = largest.expect("a layer");
    let mut content = std::fs::read(&largest).expect("reads");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&largest, content).expect("writes");
    let local = Local::new("bad");
    let file = local.file("app.json", &docker("bad", &image, "echo never"));
    let mut run = local.start(&["run", "--once", &file]);
    assert_ne!(run.wait().code(), Some(0), "{}", run.output());
    let output = run.output();
    assert!(output.contains("is not what it was asked for"), "{output}");
    assert!(!output.contains("| never"), "{output}");
    local.nothing_left().await;
}

#[test]
fn root_words_of_docker_are_carried_out_or_refused_by_their_names() {
    // Its bridge is not the host's.
    apart(words_of_docker);
}

async fn words_of_docker() {
    let registry = Registry::start().await;
    let image = registry.push("words", &[Layer::busybox()], json!({}));
    let mut app = docker(
        "words",
        &image,
        "mount -t tmpfs none /tmp && echo mounted for $WHOM in $(pwd), links $(ls /sys/class/net)",
    );
    app["container"]["docker"]["privileged"] = json!(true);
    app["container"]["docker"]["network"] = json!("BRIDGE");
    app["container"]["docker"]["parameters"] = json!([
        {"key": "env", "value": "WHOM=you"},
        {"key": "workdir", "value": "/made/for/it"},
        {"key": "label", "value": "a=b"},
        {"key": "restart", "value": "no"},
    ]);
    let said = output("words", &app).await;
    assert!(
        said.contains("mounted for you in /made/for/it, links eth0 lo"),
        "{said}"
    );

    app["container"]["docker"]["parameters"] = json!([{"key": "volumes-from", "value": "other"}]);
    let local = Local::new("refused");
    let file = local.file("app.json", &app);
    let mut run = local.start(&["run", "--once", &file]);
    assert_ne!(run.wait().code(), Some(0), "{}", run.output());
    let said = run.output();
    assert!(said.contains("\"volumes-from\" has no meaning"), "{said}");
    local.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_container_of_an_image_outlasts_its_agent_and_leaves_nothing() {
    let registry = Registry::start().await;
    let image = registry.push("steady", &[Layer::busybox()], json!({}));
    let mut cluster = Cluster::start(1).await;
    let app = docker("steady", &image, "echo up; exec sleep 100000");
    let before = cluster.run(&app).await;
    let agent = &mut cluster.agents[0];
    let containers = agent.directory().join("work/provisioner/containers");
    assert_eq!(std::fs::read_dir(&containers).expect("reads").count(), 1);
    let processes = agent.processes();
    agent.kill();
    agent.start().await;
    cluster.registered(1).await;
    let after = cluster.running("steady", 1).await;
    assert_eq!(before, after);
    assert_eq!(cluster.agents[0].processes(), processes);
    cluster.settled().await;
    cluster.remove("steady").await;
    cluster.nothing_left().await;
    eventually("its files are gone", || async {
        match std::fs::read_dir(&containers).map(Iterator::count) {
            Ok(0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
