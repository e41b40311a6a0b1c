use serde_json::{Value, json};

use super::*;

fn app(body: Value) -> App {
    App::create(&body).unwrap()
}

fn words(command: &v1::CommandInfo) -> (bool, Option<&str>, Vec<&str>) {
    let arguments = command.arguments.iter().map(String::as_str).collect();
    (command.shell(), command.value.as_deref(), arguments)
}

#[test]
fn cmd_runs_in_a_shell_and_args_do_not() {
    let cmd = command(&app(json!({"id": "a", "cmd": "echo $A"})));
    assert_eq!(words(&cmd), (true, Some("echo $A"), vec![]));
    let args = command(&app(json!({"id": "a", "args": ["/bin/echo", "b c"]})));
    assert_eq!(
        words(&args),
        (false, Some("/bin/echo"), vec!["/bin/echo", "b c"])
    );
    let image = json!({"id": "a", "args": ["-x"], "container": {"docker": {"image": "i"}}});
    assert_eq!(words(&command(&app(image))), (false, None, vec!["-x"]));
}

#[test]
fn an_apps_check_is_its_tasks() {
    let checked = |check: Value| {
        let app = app(json!({"id": "a", "cmd": "sleep 1", "check": check,
            "portDefinitions": [{"port": 0}, {"port": 0}]}));
        check_of(&app)
    };
    let check_of_times = |info: &v1::CheckInfo| {
        let times = [
            info.delay_seconds(),
            info.interval_seconds(),
            info.timeout_seconds(),
        ];
        times.map(|seconds| seconds as u32)
    };
    let exec = checked(json!({"exec": {"command": {"shell": "test -e ready"}},
        "delaySeconds": 1, "intervalSeconds": 2, "timeoutSeconds": 3}));
    assert_eq!(check_of_times(&exec), [1, 2, 3]);
    let command = exec.command.unwrap().command;
    assert_eq!((command.value(), command.shell()), ("test -e ready", true));
    let http = checked(json!({"http": {"portIndex": 1, "path": "/ready"}}));
    assert_eq!(check_of_times(&http), [15, 60, 20]);
    let http = http.http.unwrap();
    assert_eq!((http.port, http.path()), (31001, "/ready"));
    let tcp = checked(json!({"tcp": {"portIndex": 0}}));
    assert_eq!(tcp.r#type(), v1::check_info::Type::Tcp);
    assert_eq!(tcp.tcp.unwrap().port, 31000);
}

fn check_of(app: &App) -> v1::CheckInfo {
    check(app, &[31000, 31001]).unwrap()
}

#[test]
fn a_bridge_publishes_the_given_host_ports() {
    let app = app(json!({"id": "/net/web", "container": {"docker": {
    "image": "i", "network": "BRIDGE", "portMappings": [
        {"containerPort": 80, "name": "http", "labels": {"VIP_0": "web:80"}},
        {"containerPort": 0, "protocol": "udp,tcp"},
    ]}}}));
    let mut info = container(&app).unwrap();
    publish(&app, &[31000, 31001], &mut info);
    let published: Vec<_> = info
        .docker
        .unwrap()
        .port_mappings
        .iter()
        .map(|m| (m.host_port, m.container_port, m.protocol().to_owned()))
        .collect();
    let expected = [
        (31000, 80, "tcp"),
        (31001, 31001, "udp"),
        (31001, 31001, "tcp"),
    ];
    assert_eq!(published, expected.map(|(h, c, p)| (h, c, p.to_owned())));

    let found = discovery(&app, &[31000, 31001]);
    assert_eq!(found.name(), "web.net");
    let ports = found.ports.unwrap().ports;
    let numbers: Vec<_> = ports.iter().map(|p| (p.number, p.protocol())).collect();
    assert_eq!(numbers, [(31000, "tcp"), (31001, "udp"), (31001, "tcp")]);
    let labels = &ports[0].labels.as_ref().unwrap().labels;
    let labels: Vec<_> = labels.iter().map(|l| (l.key.as_str(), l.value())).collect();
    assert_eq!(labels, [("VIP_0", "web:80"), ("network-scope", "host")]);
}

#[test]
fn a_native_container_on_the_bridge_is_told_each_protocol_of_its_ports() {
    let app = app(
        json!({"id": "a", "cmd": "x", "networks": [{"mode": "container/bridge"}],
        "container": {"type": "MESOS", "portMappings": [
            {"containerPort": 53, "protocol": "udp,tcp", "name": "dns"},
            {"containerPort": 0, "protocol": "udp"},
            {"containerPort": 80},
        ]}}),
    );
    let given = [31000, 31001, 31002];
    let mut info = container(&app).unwrap();
    publish(&app, &given, &mut info);
    assert_eq!(info.docker, None);
    let [network] = &*info.network_infos else {
        panic!("{:?}", info.network_infos);
    };
    assert_eq!(network.name(), "mesos-bridge");
    let expected = [
        (31000, 53, "udp"),
        (31000, 53, "tcp"),
        (31001, 31001, "udp"),
        (31002, 80, "tcp"),
    ];
    assert_eq!(published(network), expected);

    let found = discovery(&app, &given).ports.unwrap().ports;
    let found: Vec<_> = (found.iter())
        .map(|p| (p.number, p.protocol(), p.name.as_deref()))
        .collect();
    let expected = [
        (31000, "udp", Some("dns")),
        (31000, "tcp", Some("dns")),
        (31001, "udp", None),
        (31002, "tcp", None),
    ];
    assert_eq!(found, expected);
}

fn published(network: &v1::NetworkInfo) -> Vec<(u32, u32, &str)> {
    let mappings = network.port_mappings.iter();
    mappings
        .map(|m| (m.host_port, m.container_port, m.protocol()))
        .collect()
}

#[test]
fn a_task_in_several_networks_is_told_each_with_its_labels_and_ports() {
    let app = app(json!({"id": "a", "cmd": "x", "networks": [
        {"mode": "container", "name": "blue", "labels": {"tier": "front"}},
        {"mode": "container", "name": "red"},
    ], "container": {"type": "MESOS", "portMappings": [
        {"containerPort": 80, "hostPort": 0, "networkNames": ["red"]},
        {"containerPort": 81, "hostPort": 0, "networkNames": ["blue"], "protocol": "udp,tcp"},
        {"containerPort": 82, "networkNames": ["red"]},
    ]}}));
    let mut info = container(&app).unwrap();
    publish(&app, &[31000, 31001], &mut info);
    let [blue, red] = &*info.network_infos else {
        panic!("{:?}", info.network_infos);
    };
    assert_eq!((blue.name(), red.name()), ("blue", "red"));
    let label = v1::Label {
        key: "tier".to_owned(),
        value: Some("front".to_owned()),
    };
    let labels = v1::Labels {
        labels: vec![label],
    };
    assert_eq!((&blue.labels, &red.labels), (&Some(labels), &None));
    assert_eq!(published(blue), [(31001, 81, "udp"), (31001, 81, "tcp")]);
    assert_eq!(published(red), [(31000, 80, "tcp")]);
}

#[test]
fn a_network_that_leads_nowhere_is_dockers_none_or_this_name() {
    use v1::container_info::docker_info::Network;
    let container = |kind: &str| {
        let app = app(
            json!({"id": "a", "container": {"type": kind, "docker": {"image": "i"}},
            "networks": [{"mode": "container", "name": "none"}]}),
        );
        container(&app).unwrap()
    };
    let docker = container("DOCKER");
    assert_eq!(docker.docker.unwrap().network(), Network::None);
    assert_eq!(docker.network_infos, []);
    assert_eq!(container("MESOS").network_infos[0].name(), "none");
}

#[test]
fn a_native_container_carries_its_volumes() {
    let app = app(
        json!({"id": "a", "cmd": "x", "container": {"type": "MESOS", "volumes": [
            {"containerPath": "/etc/config", "hostPath": "/var/data", "mode": "R0"},
        ]}}),
    );
    let info = container(&app).unwrap();
    assert_eq!(info.r#type(), v1::container_info::Type::Mesos);
    let volume = &info.volumes[0];
    assert_eq!(
        (volume.host_path(), volume.mode()),
        ("/var/data", v1::volume::Mode::Ro)
    );
}

#[test]
fn a_secret_is_told_by_its_source_and_only_read() {
    for kind in ["MESOS", "DOCKER"] {
        let app = app(
            json!({"id": "a", "cmd": "x", "secrets": {"key": {"source": "/tls/key"}},
            "container": {"type": kind, "docker": {"image": "i"},
                "volumes": [{"containerPath": "/etc/key", "secret": "key"}]}}),
        );
        let volume = container(&app).unwrap().volumes.remove(0);
        assert_eq!(volume.mode(), v1::volume::Mode::Ro);
        let source = volume.source.unwrap();
        assert_eq!(source.r#type(), v1::volume::source::Type::Secret);
        assert_eq!(source.secret, Some(secret("/tls/key")));
    }
}

#[test]
fn a_volume_of_a_driver_brings_what_is_the_drivers() {
    let app = app(
        json!({"id": "a", "cmd": "x", "container": {"type": "DOCKER", "docker": {"image": "i"},
        "volumes": [{"containerPath": "/data", "mode": "RW", "external": {"name": "v", "provider": "dvdi",
            "options": {"dvdi/driver": "rexray", "dvdi/iops": "100", "other/x": "y"}}}]}}),
    );
    let container = app.container.as_ref().unwrap();
    let volume = volume(&app, &container.volumes[0]).unwrap();
    let named = volume.source.unwrap().docker_volume.unwrap();
    assert_eq!((named.driver(), &*named.name), ("rexray", "v"));
    let options = named.driver_options.unwrap().parameter;
    let options: Vec<_> = (options.iter())
        .map(|it| format!("{}={}", it.key, it.value))
        .collect();
    assert_eq!(options, ["iops=100"]);
}

#[test]
fn limits_and_grace_reach_the_task() {
    let app = app(
        json!({"id": "a", "cmd": "x", "taskKillGracePeriodSeconds": 3,
        "resourceLimits": {"cpus": "unlimited", "mem": 256}}),
    );
    let limits: Vec<_> = limits(&app)
        .into_iter()
        .map(|(k, v)| (k, v.value))
        .collect();
    assert_eq!(
        limits,
        [
            ("cpus".to_owned(), f64::INFINITY),
            ("mem".to_owned(), 256.0)
        ]
    );
    let grace = kill_policy(&app).unwrap().grace_period.unwrap();
    assert_eq!(grace.nanoseconds, 3_000_000_000);
}

#[test]
fn checks_by_the_agent_use_the_inner_port() {
    let app = app(json!({"id": "a", "container": {"docker": {
        "image": "i", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}},
        "healthChecks": [{"protocol": "HTTP"}, {"protocol": "MESOS_HTTP", "path": "/up"}]}));
    let check = health_check(&app, &[31000]).unwrap();
    let http = check.http.unwrap();
    assert_eq!((http.port, http.path()), (80, "/up"));
}
