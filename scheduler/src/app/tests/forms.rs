//! Forms of all ages, and the one they become.

use super::*;
use crate::app::container::{ContainerKind, Docker};
use crate::app::ports::{PortMapping, Protocol};
use crate::app::volumes::{Mode, Volume, VolumeSource};

#[test]
fn every_app_of_the_training_material_is_accepted_and_reads_back() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/app/tests/training");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let body: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let first = app(body);
        assert_eq!(app(written(&first)), first, "{}", path.display());
        for key in first.to_json().keys() {
            assert!(
                KNOWN_KEYS.split_whitespace().any(|known| known == key),
                "{key}"
            );
        }
        seen += 1;
    }
    assert!(seen >= 25, "only {seen} apps in {folder}");
}

#[test]
fn the_canonical_form_of_a_plain_app() {
    let hello = app(json!({"id": "Hello", "cmd": "echo hi", "cpus": 0.1, "mem": 10.0}));
    assert_eq!(
        written(&hello),
        json!({
            "id": "/hello", "cmd": "echo hi", "env": {}, "instances": 1, "cpus": 0.1, "mem": 10,
            "disk": 0, "gpus": 0, "executor": "", "constraints": [], "fetch": [],
            "networks": [{"mode": "host"}],
            "portDefinitions": [{"port": 0, "protocol": "tcp", "name": "default", "labels": {}}],
            "requirePorts": false, "healthChecks": [], "dependencies": [], "labels": {},
            "backoffSeconds": 1, "backoffFactor": 1.15, "maxLaunchDelaySeconds": 300,
            "upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 1},
            "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0},
            "killSelection": "YOUNGEST_FIRST",
        })
    );
}

#[test]
fn the_oldest_container_form_is_understood() {
    let cassandra = app(json!({"id": "Cassandra", "container": {
        "image": "docker:///mesosphere/cassandra:2.0.6",
        "options": ["-v", "/mnt:/mnt:rw", "-e", "CLUSTER_NAME=prod"],
    }}));
    assert_eq!(cassandra.id.as_str(), "/cassandra");
    let container = cassandra.container.unwrap();
    assert_eq!(container.kind, ContainerKind::Docker);
    assert_eq!(
        container.docker,
        Some(Docker {
            image: "mesosphere/cassandra:2.0.6".to_owned(),
            force_pull_image: false,
            privileged: false,
            parameters: vec![],
            pull_secret: None,
        })
    );
    assert_eq!(
        container.volumes,
        [Volume {
            container_path: "/mnt".to_owned(),
            mode: Mode::ReadWrite,
            source: VolumeSource::Host {
                host_path: "/mnt".to_owned()
            },
        }]
    );
    assert_eq!(
        cassandra.env["CLUSTER_NAME"],
        EnvValue::Text("prod".to_owned())
    );
}

#[test]
fn uris_become_files_to_fetch() {
    let play = app(
        json!({"id": "Play", "cmd": "./Hello-*/bin/hello -Dhttp.port=$PORT",
        "uris": ["http://downloads.mesosphere.io/tutorials/PlayHello.zip", "/srv/run.sh"],
        "env": {"SECRET": "password123"}}),
    );
    let extract: Vec<_> = play
        .fetch
        .iter()
        .map(|f| (f.uri.as_str(), f.extract))
        .collect();
    assert_eq!(
        extract,
        [
            (
                "http://downloads.mesosphere.io/tutorials/PlayHello.zip",
                true
            ),
            ("/srv/run.sh", false)
        ]
    );
}

#[test]
fn an_argument_of_an_image_may_be_empty() {
    let docker = json!({"cmd": null, "args": [""], "container": {"docker": {"image": "i"}}});
    assert_eq!(with(docker).args, [""]);
}

#[test]
fn old_network_forms_become_canonical() {
    let docker = |docker: Value| {
        let mut docker = docker;
        docker["image"] = json!("i");
        json!({"container": {"type": "DOCKER", "docker": docker}})
    };
    let merged = |mut body: Value, more: Value| {
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let mappings = |app: &App| -> Vec<(u16, Option<u16>, u16, Protocol)> {
        let mappings = app.container.as_ref().map(|c| c.port_mappings.as_slice());
        let row = |m: &PortMapping| (m.container_port, m.host_port, m.service_port, m.protocol);
        mappings.unwrap_or_default().iter().map(row).collect()
    };

    let bridge = with(docker(json!({"network": "BRIDGE", "portMappings": [
        {"containerPort": 8080, "hostPort": 0, "servicePort": 9000},
        {"containerPort": 161, "protocol": "udp"},
    ]})));
    assert_eq!(
        bridge.networks,
        Networks::Bridge {
            labels: BTreeMap::new()
        }
    );
    assert_eq!(
        mappings(&bridge),
        [
            (8080, Some(0), 9000, Protocol::Tcp),
            (161, Some(0), 0, Protocol::Udp)
        ]
    );
    assert!(bridge.port_definitions.is_empty());

    let ports = with(merged(
        docker(json!({"network": "bridge"})),
        json!({"ports": [80, 0]}),
    ));
    assert_eq!(
        mappings(&ports),
        [
            (0, Some(0), 80, Protocol::Tcp),
            (0, Some(0), 0, Protocol::Tcp)
        ]
    );

    let host = with(docker(
        json!({"network": "HOST", "portMappings": [{"containerPort": 1}]}),
    ));
    assert_eq!(
        (host.networks.clone(), mappings(&host)),
        (Networks::Host, vec![])
    );
    assert_eq!(host.port_definitions.len(), 1);

    let user = with(merged(
        docker(json!({"network": "USER", "portMappings": [{"containerPort": 80}]})),
        json!({"ipAddress": {"networkName": "blue", "labels": {"a": "b"}}}),
    ));
    assert_eq!(
        written(&user)["networks"],
        json!([{"mode": "container", "name": "blue", "labels": {"a": "b"}}])
    );
    assert_eq!(mappings(&user), [(80, None, 0, Protocol::Tcp)]);

    let none = with(docker(json!({"network": "NONE"})));
    assert_eq!(
        written(&none)["networks"],
        json!([{"mode": "container", "name": "none"}])
    );
    assert_eq!(mappings(&none), []);

    let ip = with(
        json!({"ipAddress": {"networkName": "blue", "discovery": {"ports": [
        {"number": 80, "name": "http", "protocol": "tcp"}]}}}),
    );
    assert_eq!(mappings(&ip), [(80, None, 0, Protocol::Tcp)]);
    assert_eq!(ip.container.unwrap().kind, ContainerKind::Mesos);
}

#[test]
fn old_clients_may_send_both_forms_if_they_agree() {
    with(json!({"uris": ["http://h/a.zip"], "fetch": [{"uri": "http://h/a.zip"}]}));
    with(json!({"uris": [], "fetch": [{"uri": "http://h/a.zip"}]}));
    with(json!({"ports": [80], "portDefinitions": [{"port": 80, "name": "http"}]}));
    with(
        json!({"networks": [{"mode": "container/bridge"}], "container": {"docker": {
        "image": "i", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]},
        "portMappings": [{"containerPort": 80}]}}),
    );
}

#[test]
fn slips_of_the_training_material_are_forgiven() {
    let lenient = with(json!({
        "instances": 2.0,
        "storeUrls": ["x"], "_comment": "ignored", "cpus": 0,
        "env": {"NUMBER": 1.5, "FLAG": true},
        "container": {"volumes": [
            {"containerPath": "/a", "hostPath": "/b", "mode": "R0"},
            {"containerPath": "/c", "hostPath": "/d", "mode": "rw"},
        ]},
        "constraints": [["hostname", "Unlike", "a[Y]]"], ["rack", "max_per", 2]],
        "healthChecks": [{"command": "true"}],
        "acceptedResourceRoles": ["slave_public"],
    }));
    assert_eq!(lenient.instances, 2);
    assert_eq!(lenient.env["NUMBER"], EnvValue::Text("1.5".to_owned()));
    let modes: Vec<_> = lenient
        .container
        .as_ref()
        .unwrap()
        .volumes
        .iter()
        .map(|v| v.mode)
        .collect();
    assert_eq!(modes, [Mode::ReadOnly, Mode::ReadWrite]);
    assert_eq!(
        written(&lenient)["constraints"],
        json!([["hostname", "UNLIKE", "a[Y]]"], ["rack", "MAX_PER", "2"]])
    );
    assert_eq!(
        written(&lenient)["healthChecks"][0]["command"],
        json!({"value": "true"})
    );
}

#[test]
fn an_app_in_a_group_is_its_direct_child() {
    let group: AppId = "/prod".parse().unwrap();
    let body = |id: &str| json!({"id": id, "cmd": "true", "dependencies": ["db", "../x", "/y"]});
    let web = App::create_in(&group, &body("web")).unwrap();
    assert_eq!(web.id.as_str(), "/prod/web");
    let dependencies: Vec<_> = web.dependencies.iter().map(AppId::as_str).collect();
    assert_eq!(dependencies, ["/prod/db", "/x", "/y"]);
    let error = App::create_in(&group, &body("/other/web"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("Identifier is not child of '/prod'. Hint:"),
        "{error}"
    );
}

#[test]
fn special_apps_have_upgrade_strategies_of_their_own() {
    let single = with(json!({"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}}));
    assert_eq!(single.upgrade_strategy, UpgradeStrategy::SINGLE_INSTANCE);
    let resident = with(json!({"container": {"type": "MESOS", "volumes": [
        {"containerPath": "data", "mode": "RW", "persistent": {"size": 10}}]}}));
    assert_eq!(resident.upgrade_strategy, UpgradeStrategy::RESIDENT);
    assert_eq!(resident.unreachable_strategy, UnreachableStrategy::Disabled);
}

#[test]
fn the_store_keeps_what_clients_see() {
    let before = with(json!({"mem": 64, "constraints": [["rack", "GROUP_BY", "3"]]}));
    let text = serde_json::to_string(&before).unwrap();
    assert_eq!(serde_json::from_str::<App>(&text).unwrap(), before);
}
