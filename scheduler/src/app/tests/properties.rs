//! What holds for any app.

use proptest::prelude::*;

use super::*;

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
