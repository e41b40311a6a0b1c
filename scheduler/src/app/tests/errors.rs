//! What is refused, and with which words.

use super::*;

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
    let explained =
        |path: &str, word: &str, says: &str| json!({"path": path, "errors": [word, says]});
    let mut details = error.body()["details"].as_array().unwrap().clone();
    details.sort_by_key(|d| d["path"].to_string());
    assert_eq!(
        details,
        [
            word("/args", "error.expected.jsarray"),
            word("/cmd", "error.expected.jsstring"),
            word("/container/docker/image", "error.path.missing"),
            explained(
                "/container/type",
                "error.unknown.enum.literal",
                "got \"PODMAN\", expected one of DOCKER, MESOS"
            ),
            word("/container/volumes(0)/hostPath", "error.path.missing"),
            word("/cpus", "error.expected.jsnumber"),
            word("/env", "error.expected.jsobject"),
            word("/id", "error.path.missing"),
            explained("/instances", "error.min", "got -1, expected 0 or more"),
            explained(
                "/ports(0)",
                "error.max",
                "got 70000, expected 65535 or less"
            ),
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
    let volume =
        |path: &str| json!({"container": {"volumes": [{"containerPath": path, "hostPath": "/a"}]}});
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
            json!({"cmd": null, "args": ["", "x"]}),
            "/args(0)",
            "must not be empty: name the program to run",
        ),
        (
            json!({"user": ""}),
            "/user",
            "must not be empty: name a user, or leave it out",
        ),
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
            json!({"container": {"docker": {"image": "i", "network": "NONE",
                   "portMappings": [{"containerPort": 80}]}}}),
            "/container/portMappings",
            "must be empty: the network \"none\" leads nowhere",
        ),
        (
            json!({"networks": [{"mode": "container", "name": "blue"}, {"mode": "container", "name": "none"}]}),
            "/networks",
            "the network \"none\" leads nowhere: name it alone",
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
            json!({"fetch": [{"uri": "/a", "checksum": "md5:00"}]}),
            "/fetch(0)/checksum",
            "must be \"sha256:\" with 64 hexadecimal digits",
        ),
        (
            json!({"fetch": [{"uri": "/a.tgz", "unpacked": true}]}),
            "/fetch(0)/unpacked",
            "must not be set without cache and extract",
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
            volume("../../b"),
            "/container/volumes(0)/containerPath",
            "must be absolute, or relative to the sandbox, and without '..'",
        ),
        (
            volume("/a/../b"),
            "/container/volumes(0)/containerPath",
            "must be absolute, or relative to the sandbox, and without '..'",
        ),
        (
            resident(json!({"size": 1}), ".."),
            "/container/volumes(0)/containerPath",
            "must be absolute, or relative to the sandbox, and without '..'",
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

/// Each row: what is added to a valid app, and where the NUL in it is found.
#[test]
fn no_text_of_an_app_holds_a_nul() {
    let volume = |host: &str, container: &str| json!({"container": {"volumes": [{"hostPath": host, "containerPath": container}]}});
    let docker = |more: Value| json!({"container": {"docker": more}});
    let nul = "a\0b";
    let rows = [
        (json!({"cmd": nul}), "/cmd"),
        (json!({"cmd": null, "args": ["a", nul]}), "/args(1)"),
        (json!({"user": nul}), "/user"),
        (json!({"env": {"A": nul}}), "/env/A"),
        (json!({"env": {nul: "a"}}), "/env/a\0b"),
        (json!({"labels": {"a": nul}}), "/labels/a"),
        (json!({"labels": {nul: "a"}}), "/labels/a\0b"),
        (json!({"uris": [nul]}), "/uris(0)"),
        (json!({"fetch": [{"uri": nul}]}), "/fetch(0)/uri"),
        (
            json!({"fetch": [{"uri": "/a", "destPath": nul}]}),
            "/fetch(0)/destPath",
        ),
        (volume(nul, "/b"), "/container/volumes(0)/hostPath"),
        (volume("/a", nul), "/container/volumes(0)/containerPath"),
        (docker(json!({"image": nul})), "/container/docker/image"),
        (
            json!({"container": {"image": "i", "options": ["-v", nul]}}),
            "/container/options(1)",
        ),
        (
            docker(json!({"image": "i", "parameters": [{"key": "a", "value": nul}]})),
            "/container/docker/parameters(0)/value",
        ),
        (
            json!({"healthChecks": [{"command": {"value": nul}}]}),
            "/healthChecks(0)/command/value",
        ),
        (
            json!({"healthChecks": [{"command": nul}]}),
            "/healthChecks(0)/command",
        ),
    ];
    for (more, path) in rows {
        let error = refused(more.clone());
        assert_eq!(error.status, 422, "{more}");
        let Details::Paths(paths) = &error.details else {
            panic!("{more}: {error:?}")
        };
        let is_told = |errors: &[String]| errors[0].ends_with("must not contain NUL");
        let found = paths
            .iter()
            .any(|(at, errors)| at == path && is_told(errors));
        assert!(found && paths.len() == 1, "{more}: {paths:?}");
    }
}
