//! What users send, and what they get back.

use proptest::prelude::*;
use serde_json::json;

use super::container::{ContainerKind, Docker};
use super::ports::{PortMapping, Protocol};
use super::volumes::{Mode, Volume, VolumeSource};
use super::*;

/// Keys that the strictest known client accepts in an app (spec/client-quirks.md).
const KNOWN_KEYS: &str = "acceptedResourceRoles args backoffFactor backoffSeconds cmd constraints \
    container cpus dependencies deployments disk env executor fetch gpus healthChecks id instances \
    ipAddress killSelection labels lastTaskFailure maxLaunchDelaySeconds mem networks \
    portDefinitions ports readinessCheckResults readinessChecks requirePorts residency role secrets \
    storeUrls taskKillGracePeriodSeconds taskRateLimit taskStats tasks tasksHealthy tasksRunning \
    tasksStaged tasksUnhealthy unreachableStrategy upgradeStrategy uris user version versionInfo";

fn app(body: Value) -> App {
    App::create(&body).unwrap_or_else(|error| panic!("{body}: {error}"))
}

/// The app `/a` running `true`, with more keys.
fn with(more: Value) -> App {
    app(overlaid(more))
}

fn refused(more: Value) -> Invalid {
    App::create(&overlaid(more)).unwrap_err()
}

fn overlaid(more: Value) -> Value {
    let mut body = json!({"id": "a", "cmd": "true"});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body
}

fn written(app: &App) -> Value {
    Value::Object(app.to_json())
}

#[test]
fn every_app_of_the_training_material_is_accepted_and_reads_back() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/app/training");
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
fn what_cannot_be_read_is_named_by_path() {
    let error = App::create(&json!({
        "cmd": 1, "cpus": "1", "instances": -1, "ports": [70000], "args": "x", "env": [],
        "container": {"type": "PODMAN", "docker": {}, "volumes": [{"containerPath": "/a"}]},
        "upgradeStrategy": {"minimumHealthCapacity": "all"},
    }))
    .unwrap_err();
    assert_eq!(error.status, 422);
    let word = |path: &str, word: &str| json!({"path": path, "errors": [word]});
    let mut details = error.body()["details"].as_array().unwrap().clone();
    details.sort_by_key(|d| d["path"].to_string());
    assert_eq!(
        details,
        [
            word("/args", "error.expected.jsarray"),
            word("/cmd", "error.expected.jsstring"),
            word("/container/docker/image", "error.path.missing"),
            word("/container/type", "error.unknown.enum.literal"),
            word("/container/volumes(0)/hostPath", "error.path.missing"),
            word("/cpus", "error.expected.jsnumber"),
            word("/env", "error.expected.jsobject"),
            word("/id", "error.path.missing"),
            word("/instances", "error.min"),
            word("/ports(0)", "error.max"),
            word(
                "/upgradeStrategy/minimumHealthCapacity",
                "error.expected.jsnumber"
            ),
        ]
    );
    assert_eq!(error.body()["message"], "Invalid JSON");
}

#[test]
fn a_body_that_is_no_object_is_an_error_of_the_root() {
    for body in [json!([]), json!(1), json!(null), json!("app")] {
        let error = App::create(&body).unwrap_err();
        assert_eq!(
            error.body(),
            json!({"message": "Invalid JSON",
                   "details": [{"path": "/", "errors": ["error.expected.jsobject"]}]})
        );
    }
}

/// Each row: what is added to a valid app, and the path and beginning of the error.
#[test]
fn broken_rules_are_named_by_path() {
    let bridge = |mappings: Value| {
        json!({"networks": [{"mode": "container/bridge"}],
               "container": {"docker": {"image": "i"}, "portMappings": mappings}})
    };
    let resident = |disk: Value, path: &str| json!({"container": {"volumes": [{"containerPath": path, "persistent": disk}]}});
    let rows = [
        (
            json!({"id": "a_b"}),
            "/id",
            "must fully match regular expression",
        ),
        (json!({"id": "/"}), "/id", "must not be root"),
        (
            json!({"id": "a/tasks"}),
            "/id",
            "must not end with any of the following reserved",
        ),
        (
            json!({"cmd": null}),
            "/",
            "AppDefinition must either contain one of 'cmd' or 'args'",
        ),
        (
            json!({"args": ["x"]}),
            "/",
            "AppDefinition must either contain one of 'cmd' or 'args'",
        ),
        (json!({"cmd": ""}), "/cmd", "must not be empty"),
        (
            json!({"upgradeStrategy": {"minimumHealthCapacity": 2}}),
            "/upgradeStrategy/minimumHealthCapacity",
            "got 2.0, expected between 0.0 and 1.0",
        ),
        (
            json!({"backoffFactor": 0.5}),
            "/backoffFactor",
            "got 0.5, expected 1.0 or more",
        ),
        (json!({"executor": "//x"}), "/executor", "must be '//cmd'"),
        (
            json!({"ports": [80, 80]}),
            "/portDefinitions",
            "Ports must be unique.",
        ),
        (
            json!({"portDefinitions": [{"name": "a"}, {"name": "a"}]}),
            "/",
            "Port names must be unique.",
        ),
        (
            bridge(json!([{"hostPort": 80}, {"hostPort": 80}])),
            "/container/portMappings",
            "Ports must be unique.",
        ),
        (
            json!({"healthChecks": [{"portIndex": 1}]}),
            "/healthChecks(0)/portIndex",
            "Health check port indices must address an element",
        ),
        (
            json!({"healthChecks": [{"portIndex": 0, "port": 80}]}),
            "/healthChecks(0)/port",
            "must not be set together with portIndex",
        ),
        (
            json!({"healthChecks": [{"command": "a"}, {"protocol": "MESOS_TCP"}]}),
            "/healthChecks",
            "AppDefinition can contain at most one Mesos health check",
        ),
        (
            json!({"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}, "instances": 2}),
            "/instances",
            "Single instance app may only have one instance",
        ),
        (
            json!({"networks": [{"mode": "host", "name": "x"}]}),
            "/networks",
            "Host networks may not have names or labels",
        ),
        (
            json!({"networks": [{"mode": "container/bridge", "name": "x"}]}),
            "/networks",
            "Bridge networks may not have names",
        ),
        (
            json!({"networks": [{"mode": "host"}, {"mode": "container", "name": "x"}]}),
            "/networks",
            "May specify a single host network, single bridge network, or else 1-to-n",
        ),
        (
            json!({"networks": [{"mode": "container"}]}),
            "/networks",
            "Network name must be specified when container network is selected.",
        ),
        (
            json!({"networks": [{"mode": "host"}], "ipAddress": {"networkName": "x"}}),
            "/ipAddress",
            "must not specify both networks and ipAddress",
        ),
        (
            json!({"networks": [{"mode": "host"}],
                   "container": {"docker": {"image": "i", "network": "BRIDGE"}}}),
            "/container/docker/network",
            "must not specify both container.docker.network and networks",
        ),
        (
            json!({"container": {"docker": {"image": "i", "network": "NONE"}}}),
            "/container/docker/network",
            "network NONE is not supported",
        ),
        (
            json!({"uris": ["a b"]}),
            "/uris(0)",
            "URI has invalid syntax.",
        ),
        (
            json!({"fetch": [{"uri": ""}]}),
            "/fetch(0)/uri",
            "URI has invalid syntax.",
        ),
        (
            json!({"fetch": [{"uri": "/a", "destPath": "../x"}]}),
            "/fetch(0)/destPath",
            "must be a path inside the sandbox",
        ),
        (
            json!({"uris": ["/a"], "fetch": [{"uri": "/b"}]}),
            "/uris",
            "may not be set in conjunction with fetch",
        ),
        (
            json!({"constraints": [["hostname"]]}),
            "/constraints(0)",
            "Each constraint must have either 2 or 3 fields",
        ),
        (
            json!({"constraints": [["hostname", "LIKE", "("]]}),
            "/constraints(0)",
            "'(' is not a valid regular expression",
        ),
        (
            json!({"env": {"A=B": "c"}}),
            "/env/A=B",
            "a variable's name must not",
        ),
        (
            json!({"env": {"A": {"secret": "s"}}}),
            "/env/A",
            "references an undefined secret",
        ),
        (
            json!({"unreachableStrategy": {"inactiveAfterSeconds": 2, "expungeAfterSeconds": 1}}),
            "/unreachableStrategy",
            "inactiveAfterSeconds must not be greater",
        ),
        (
            json!({"resourceLimits": {"mem": 1}}),
            "/resourceLimits/mem",
            "got 1.0, expected \"unlimited\" or at least the request, 128.0",
        ),
        (
            json!({"readinessChecks": [{"portName": "web"}]}),
            "/readinessChecks(0)/portName",
            "No port definition reference for portName web",
        ),
        (
            resident(json!({"size": 0}), "data"),
            "/container/volumes(0)/persistent/size",
            "must be greater than 0",
        ),
        (
            resident(json!({"size": 1}), "/data"),
            "/container/volumes(0)/containerPath",
            "must be one name without '/'",
        ),
        (
            json!({"gpus": 1, "container": {"docker": {"image": "i"}}}),
            "/gpus",
            "GPU resources",
        ),
        (
            json!({"taskKillGracePeriodSeconds": 0}),
            "/taskKillGracePeriodSeconds",
            "must be greater",
        ),
        (
            json!({"dependencies": ["/a"]}),
            "/dependencies",
            "Dependency graph has cyclic",
        ),
    ];
    for (more, path, says) in rows {
        let error = refused(more.clone());
        assert_eq!(
            (error.status, error.message.as_str()),
            (422, "Object is not valid"),
            "{more}"
        );
        let Details::Paths(paths) = &error.details else {
            panic!("{more}: {error:?}")
        };
        let found = paths
            .iter()
            .any(|(at, errors)| at == path && errors[0].starts_with(says));
        assert!(found && paths.len() == 1, "{more}: {paths:?}");
    }
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
fn a_partial_update_replaces_whole_values_and_keeps_the_rest() {
    let before = with(
        json!({"cpus": 0.5, "env": {"A": "1"}, "resourceLimits": {"mem": 256},
                             "executorResources": {}}),
    );
    let after = before
        .update(&json!({"id": "/other", "env": {"B": "2"}}), true)
        .unwrap();
    let expected = App {
        env: BTreeMap::from([("B".to_owned(), EnvValue::Text("2".to_owned()))]),
        ..before.clone()
    };
    assert_eq!(after, expected);
    assert!(!after.same_definition(&before));
    let scaled = before.update(&json!({"instances": 4}), true).unwrap();
    assert!(scaled.same_definition(&before) && scaled != before);
}

#[test]
fn a_full_update_puts_defaults_back() {
    let before = with(json!({"cpus": 0.5, "env": {"A": "1"}}));
    let after = before
        .update(&json!({"id": "/other", "cmd": "true"}), false)
        .unwrap();
    assert_eq!(after, with(json!({})));
}

#[test]
fn null_in_a_partial_update_removes() {
    let before = with(json!({"user": "nobody", "container": {"docker": {"image": "i"}}}));
    let after = before
        .update(&json!({"cmd": null, "user": null}), true)
        .unwrap();
    assert_eq!((after.cmd, after.user), (None, None));
}

#[test]
fn an_update_in_old_words_displaces_the_new_ones() {
    let change = |app: &App, change: Value| app.update(&change, true).unwrap();
    let before = with(json!({"fetch": [{"uri": "/a"}], "portDefinitions": [{"port": 80}]}));
    assert_eq!(change(&before, json!({"args": ["x"]})).cmd, None);
    assert_eq!(change(&before, json!({"uris": ["/b"]})).fetch[0].uri, "/b");
    assert!(
        change(&before, json!({"ports": []}))
            .port_definitions
            .is_empty()
    );
    let bridge = change(
        &before,
        json!({"container": {"docker": {
        "image": "i", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}}}),
    );
    assert_eq!(
        bridge.networks,
        Networks::Bridge {
            labels: BTreeMap::new()
        }
    );
    let back = change(&bridge, json!({"networks": [{"mode": "host"}]}));
    assert!(back.container.unwrap().port_mappings.is_empty());
}

#[test]
fn a_version_alone_asks_to_roll_back() {
    let (old, new) = ("2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z");
    let current = Some(new.parse().unwrap());
    assert_eq!(rollback(&json!({"cmd": "x"}), current), Ok(None));
    let wanted = Ok(Some(old.parse().unwrap()));
    assert_eq!(
        rollback(&json!({"version": old, "id": "/a"}), current),
        wanted
    );
    // GET, edit, PUT.
    assert_eq!(
        rollback(&json!({"version": new, "cmd": "x"}), current),
        Ok(None)
    );
    let error = rollback(&json!({"version": old, "cmd": "x"}), current).unwrap_err();
    assert_eq!(
        error.message,
        "The 'version' field may only be combined with the 'id' field."
    );
    assert_eq!(
        rollback(&json!({"version": "soon"}), current)
            .unwrap_err()
            .status,
        422
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

fn labels() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-zA-Z_.]{1,6}", "[ -~]{0,8}", 0..3).prop_map(|l| json!(l))
}

fn mapping() -> impl Strategy<Value = Value> {
    (
        any::<u16>(),
        prop::option::of(Just(0)),
        any::<u16>(),
        labels(),
        0..4usize,
    )
        .prop_map(|(container, host, service, labels, protocol)| {
            let protocol = ["tcp", "udp", "udp,tcp", "TCP,UDP"][protocol];
            json!({"containerPort": container, "hostPort": host, "servicePort": service,
                   "labels": labels, "protocol": protocol})
        })
}

/// Some network, in one of its forms, with the ports that belong to it.
fn network() -> impl Strategy<Value = Value> {
    let mappings = || prop::option::of(prop::collection::vec(mapping(), 0..3));
    prop_oneof![
        Just(json!({})),
        prop::collection::hash_set(1..u16::MAX, 0..3).prop_map(|ports| json!({"ports": ports})),
        any::<bool>().prop_map(|r| json!({"portDefinitions": [{"port": 9}], "requirePorts": r})),
        mappings().prop_map(|m| json!({"container": {"docker": {
            "image": "i", "network": "BRIDGE", "portMappings": m}}})),
        mappings().prop_map(|m| json!({"networks": [{"mode": "container", "name": "n"}],
            "container": {"type": "MESOS", "portMappings": m}})),
        Just(json!({"ipAddress": {"networkName": "n"}})),
    ]
}

/// An assortment of everything else: each key is there or not.
fn rest() -> impl Strategy<Value = Value> {
    let some = |key: &'static str, value: Value| {
        prop::bool::ANY.prop_map(move |there| there.then(|| (key.to_owned(), value.clone())))
    };
    vec![
        some("user", json!("nobody")),
        some("uris", json!(["/a.zip", "http://h/b"])),
        some("gpus", json!(0.0)),
        some("tty", json!(true)),
        some("executor", json!("//cmd")),
        some("executorResources", json!({"cpus": 0.5})),
        some("resourceLimits", json!({"cpus": "unlimited", "mem": 1e6})),
        some(
            "constraints",
            json!([["a", "unique"], ["b", "LIKE", ".*"], ["c", "group_by"]]),
        ),
        some("dependencies", json!(["b", "/c/d"])),
        some("acceptedResourceRoles", json!(["*", "web"])),
        some("role", json!("web")),
        some("secrets", json!({"s": {"source": "/s"}})),
        some("taskKillGracePeriodSeconds", json!(5)),
        some("upgradeStrategy", json!({"maximumOverCapacity": 0.25})),
        some("unreachableStrategy", json!("disabled")),
        some("killSelection", json!("OldestFirst")),
        some(
            "healthChecks",
            json!([
                {"protocol": "HTTPS", "port": 80, "path": "/a?b"}, {"protocol": "tcp", "port": 1},
                {"protocol": "COMMAND", "command": {"value": "true"}, "delaySeconds": 1},
            ]),
        ),
    ]
    .prop_map(|keys| Value::Object(keys.into_iter().flatten().collect()))
}

proptest! {
    #[test]
    fn what_is_written_reads_back_equal(
        network in network(),
        rest in rest(),
        labels in labels(),
        (cpus, mem, instances) in (0.001..64.0f64, 0.0..1e6f64, 0..1000u32),
    ) {
        let mut body = json!({"id": "/g/a", "cmd": "x", "labels": labels, "cpus": cpus,
                              "mem": mem, "instances": instances});
        for part in [network, rest] {
            body.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        }
        // A general limit, whatever the request.
        if let Some(limits) = body.pointer_mut("/resourceLimits/mem") {
            *limits = json!(mem + 1.0);
        }
        let first = App::create(&body).map_err(|e| TestCaseError::fail(format!("{body}: {e}")))?;
        prop_assert_eq!(&App::create(&written(&first)).unwrap(), &first);
        // GET, edit, PUT, both ways.
        let edited = App { instances: 7, ..first.clone() };
        prop_assert_eq!(&first.update(&json!({"instances": 7}), true).unwrap(), &edited);
        prop_assert_eq!(&first.update(&written(&edited), false).unwrap(), &edited);
        prop_assert_eq!(&first.update(&json!({}), true).unwrap(), &first);
    }

    #[test]
    fn no_json_makes_the_parser_fail_otherwise_than_by_an_error(
        key in prop::sample::select(KNOWN_KEYS.split_whitespace().collect::<Vec<_>>()),
        value in prop_oneof![
            Just(json!(null)), Just(json!(1)), Just(json!("x")), Just(json!([1])),
            Just(json!([[]])), Just(json!({})), Just(json!([{}])), Just(json!({"docker": 1})),
            Just(json!(-1.5)), Just(json!(1e300)), Just(json!(true)),
        ],
    ) {
        let _ = App::create(&overlaid(json!({key: value})));
    }
}
