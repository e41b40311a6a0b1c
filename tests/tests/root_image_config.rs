//! What an image says of its directories and of its end, on a node that has no Docker.

use nix::sys::signal::Signal;
use serde_json::json;
use tests::apps::shell;
use tests::image::{Layer, Registry};
use tests::local::Local;
use tests::serve;

#[tokio::test(flavor = "multi_thread")]
async fn root_volumes_of_an_image_are_the_containers_own_and_no_link_leads_out() {
    let registry = Registry::start().await;
    let layer = Layer::busybox()
        .file("data/in", "kept\n")
        .link("out", "/../../../../etc")
        .file("etc/mark", "of the image\n");
    let config = json!({
        "Volumes": {"/data": {}, "/new/one": {}, "/out/x": {}}, "WorkingDir": "/out",
    });
    let image = registry.push("volumes", &[layer], config);
    let local = Local::new("volumes");
    let mut app = shell(
        "volumes",
        "echo in $(pwd -P) $(cat mark); echo has $(cat /data/in); touch /data/x /new/one/x && echo written; \
         touch /y 2>/dev/null || echo the rest stays; mount | grep -q ' /run type tmpfs' && echo memory",
    );
    app["container"] = json!({"type": "DOCKER", "docker": {"image": image, "parameters": [
        {"key": "read-only", "value": "true"}, {"key": "tmpfs", "value": "/run:size=1m"},
    ]}});
    let file = local.file("app.json", &app);
    for backend in ["overlay", "copy"] {
        let flag = format!("--image_provisioner_backend={backend}");
        let mut run = local.start(&["run", "--once", &file, &flag]);
        assert_eq!(run.wait().code(), Some(0), "{}", run.output());
        let output = run.output();
        for line in [
            "in /etc of the image",
            "has kept",
            "written",
            "the rest stays",
            "memory",
        ] {
            assert!(output.contains(line), "{backend}: {line}\n{output}");
        }
        local.nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_image_in_a_user_namespace_has_the_owners_that_it_says() {
    let registry = Registry::start().await;
    let layer = Layer::busybox()
        .file("data/in", "kept\n")
        .file("etc/mark", "of the image\n");
    let image = registry.push("users", &[layer], json!({"Volumes": {"/data": {}}}));
    let local = Local::new("users");
    let mut app = shell(
        "users",
        "echo ids $(cat /proc/self/uid_map); echo owners $(stat -c %u:%g / /etc /etc/mark /data /data/in .); \
         echo more >> /etc/mark && touch /data/x /made $MESOS_SANDBOX/y && echo owner $(stat -c %u /made /data/x); \
         rm /etc/group && chown 5:6 /etc/passwd && echo changed $(stat -c %u:%g /etc/passwd); \
         echo dev $(ls /dev/null /dev/zero) && echo > /dev/null && echo sys $(ls -d /sys/class)",
    );
    app["container"] = json!({"type": "DOCKER", "docker": {"image": image}});
    app["labels"] = json!({"LONGSHORE_USER_NAMESPACE": "true"});
    let file = local.file("app.json", &app);
    for backend in ["overlay", "copy"] {
        let flag = format!("--image_provisioner_backend={backend}");
        let mut run = local.start(&["run", "--once", &file, &flag]);
        let status = run.wait().code();
        let output = run.output();
        if !testbed::can_idmap(local.directory()) {
            assert!(output.contains("map the owners of its files"), "{output}");
            local.nothing_left().await;
            continue;
        }
        assert_eq!(status, Some(0), "{output}");
        assert!(!output.contains("ids 0 0 "), "{output}");
        for line in [
            "ids 0 ",
            "owners 0:0 0:0 0:0 0:0 0:0 0:0",
            "owner 0 0",
            "changed 5:6",
            "dev /dev/null /dev/zero",
            "sys /sys/class",
        ] {
            assert!(output.contains(line), "{backend}: {line}\n{output}");
        }
        local.nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_container_runs_on_the_processors_that_its_parameters_name() {
    let registry = Registry::start().await;
    let image = registry.push("set", &[Layer::busybox()], json!({}));
    let local = Local::new("set");
    let cmd = "grep _allowed_list /proc/self/status; echo in $(id -G); mount | grep ' /more '; \
               echo score $(cat /proc/self/oom_score_adj)";
    let mut app = shell("set", cmd);
    app["container"] = json!({"type": "DOCKER", "docker": {"image": image, "parameters": [
        {"key": "cpuset-cpus", "value": "0"}, {"key": "cpuset-mems", "value": "0"},
        {"key": "group-add", "value": "4321"}, {"key": "group-add", "value": "extra"},
        {"key": "cpu-shares", "value": "512"}, {"key": "oom-score-adj", "value": "500"},
        {"key": "mount", "value": "type=tmpfs,target=/more,tmpfs-size=1m"},
    ]}});
    let file = local.file("app.json", &app);
    let mut run = local.start(&["run", "--once", &file]);
    assert_eq!(run.wait().code(), Some(0), "{}", run.output());
    let output = run.output();
    for line in [
        "Cpus_allowed_list:\t0\n",
        "Mems_allowed_list:\t0\n",
        "in 0 77 4321\n",
        "score 500\n",
        "size=1024k",
    ] {
        assert!(output.contains(line), "{line}\n{output}");
    }
    local.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_archive_at_a_url_is_a_root_file_system() {
    let files = tempfile::tempdir().expect("a directory");
    let layer = Layer::busybox().file("etc/mark", "of the archive\n");
    std::fs::write(files.path().join("root.tar"), layer.tar()).expect("writes");
    let port = serve::directory(files.path().to_owned()).await;
    let app = |name: &str| {
        let mut app = shell(
            "archive",
            "echo $(cat /etc/mark) && test ! -e /usr && echo alone",
        );
        let image = format!("http://127.0.0.1:{port}/{name}");
        app["container"] = json!({"type": "MESOS", "docker": {"image": image}});
        app
    };
    let local = Local::new("archive");
    let file = local.file("app.json", &app("root.tar"));
    let mut run = local.start(&["run", "--once", &file]);
    assert_eq!(run.wait().code(), Some(0), "{}", run.output());
    for line in ["of the archive", "alone"] {
        assert!(run.output().contains(line), "{}", run.output());
    }
    local.nothing_left().await;
    let file = local.file("app.json", &app("none.tar"));
    let mut run = local.start(&["run", "--once", &file]);
    assert_ne!(run.wait().code(), Some(0), "{}", run.output());
    let why = format!("http://127.0.0.1:{port}/none.tar: the server answered 404 Not Found");
    assert!(run.output().contains(&why), "{}", run.output());
    local.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_images_stop_signal_is_what_a_kill_begins_with() {
    let registry = Registry::start().await;
    let image = registry.push(
        "stops",
        &[Layer::busybox()],
        json!({"StopSignal": "SIGUSR1"}),
    );
    let local = Local::new("stops");
    let shared = local.directory().join("shared");
    std::fs::create_dir(&shared).expect("makes");
    let mut app = shell(
        "stops",
        "trap 'echo by usr1 >/shared/how; exit 0' USR1; echo ready; while :; do sleep 1; done",
    );
    app["container"] = json!({
        "type": "DOCKER", "docker": {"image": image},
        "volumes": [{"containerPath": "/shared", "hostPath": shared, "mode": "RW"}],
    });
    let file = local.file("app.json", &app);
    let mut run = local.start(&["run", &file]);
    run.says("| ready").await;
    run.signal(Signal::SIGINT);
    run.wait();
    let how = std::fs::read_to_string(shared.join("how"));
    assert_eq!(how.ok().as_deref(), Some("by usr1\n"), "{}", run.output());
    local.nothing_left().await;
}
