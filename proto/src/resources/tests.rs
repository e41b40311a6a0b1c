use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::json;

fn parse(text: &str) -> Resources {
    Resources::parse(text, "*").unwrap()
}

fn error(text: &str) -> String {
    Resources::parse(text, "*").unwrap_err().to_string()
}

fn messages(value: Value) -> Vec<v1::Resource> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|item| json::from_value(item).unwrap())
        .collect()
}

fn from_json(value: Value) -> Resources {
    Resources::from_protos(&messages(value)).unwrap()
}

fn proto_error(value: Value) -> String {
    Resources::from_protos(&messages(value))
        .unwrap_err()
        .to_string()
}

fn shown(messages: &[v1::Resource]) -> Value {
    messages.iter().map(json::to_value).collect()
}

/// A volume of 10 MB, reserved by a framework.
fn volume(id: &str) -> Value {
    json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 10},
        "reservations": [{"type": "DYNAMIC", "role": "db"}], "disk": {"persistence": {"id": id}}})
}

// === text ===

#[test]
fn text_names_amounts_ranges_and_sets() {
    let all = parse(" cpus:4; mem(web):0.5 ;ports : [31000-32000, 5-5] ;dev:{b,a};");
    assert_eq!(
        all.to_string(),
        "cpus:4;mem(web):0.5;ports:[5-5,31000-32000];dev:{a,b}"
    );
    assert_eq!((all.cpus(), all.mem(), all.gpus()), (4.0, 0.5, 0.0));
    assert!(all.ports().contains(31500));
    assert_eq!(parse(""), Resources::new());
}

#[test]
fn a_role_reserves_statically_and_the_default_role_is_for_the_rest() {
    let all = Resources::parse("cpus:1;mem(web/a):2;disk(*):3", "ops").unwrap();
    assert_eq!(all.to_string(), "cpus(ops):1;mem(web/a):2;disk:3");
    let reserved: Vec<_> = all.reserved().into_keys().collect();
    assert_eq!(reserved, ["ops", "web/a"]);
    assert_eq!(all.unreserved(), parse("disk:3"));
}

#[test]
fn the_same_name_twice_is_added_up() {
    assert_eq!(
        parse("cpus:1;cpus:2;ports:[1-2];ports:[3-4]"),
        parse("cpus:3;ports:[1-4]")
    );
}

#[test]
fn bad_text_is_explained() {
    #[rustfmt::skip]
    let cases = [
        ("cpus=4", "resource 1 (cpus=4): expected name:value or name(role):value, such as cpus:4 or \
                    ports(web):[31000-32000]"),
        ("cpus:1;mem(web:5", "resource 2 (mem(web:5): expected name:value"),
        ("cpus:x", "resource 1 (cpus:x): \"x\" is no value: write an amount such as 4 or 0.5"),
        ("cpus:-1", "\"-1\" is no value"),
        ("cpus:inf", "\"inf\" is no value"),
        ("cpus:0", "it has no value: leave it out, or give it more than nothing"),
        ("ports:[]", "it has no value"),
        ("dev:{}", "it has no value"),
        ("ports:[5-1]", "range 5-1 ends before it begins: write [1-5]"),
        ("ports:[1-5,5-6]", "ranges overlap at 5: name each number once"),
        ("ports:[1-5];ports:[5-6]", "resource 2 (ports:[5-6]): part of it is already counted"),
        ("dev:{a,a}", "\"a\" is in the set twice"),
        ("cpus:[1-2]", "it must be an amount (SCALAR), not ranges (RANGES)"),
        ("ports:80", "it must be ranges (RANGES), not an amount (SCALAR)"),
        ("x:1;x:{a}", "resource 2 (x:{a}): it is a set (SET) here and an amount (SCALAR) before"),
        ("gpus:0.5", "0.5 is not whole: give whole devices"),
        ("cpus(a//b):1", "role \"a//b\" has the empty level"),
        (":1", "a name must not be empty"),
        ("a b:1", "a name must not be empty or contain any of"),
    ];
    for (text, expected) in cases {
        let error = error(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
    let error = Resources::parse("cpus:1", "/").unwrap_err().to_string();
    assert!(error.contains("role \"/\""), "{error}");
}

// === JSON ===

#[test]
fn json_is_an_array_of_resource_messages() {
    let all = parse(
        r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":2},"role":"web"},
            {"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":2}]}},
            {"name":"disk","type":"SCALAR","scalar":{"value":9},
             "disk":{"source":{"type":"MOUNT","mount":{"root":"/mnt"}}}}]"#,
    );
    assert_eq!(all.to_string(), "cpus(web):2;ports:[1-2];disk<mount>:9");
}

#[test]
fn bad_json_is_explained() {
    let one = |extra: Value| {
        let mut item = json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 1}});
        item.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        error(&json!([item]).to_string())
    };
    #[rustfmt::skip]
    let cases = [
        (error("[{"), "resources: this is not a JSON array of resources: this is not JSON: EOF"),
        (error("[{}]"), "resource 1 (without a name): this is not a JSON array of resources: name: \
                         required field is missing"),
        (one(json!({"type": "TEXT"})), "resource 1 (disk): its type is not one of SCALAR, RANGES and SET"),
        (one(json!({"scalar": null})), "its type is an amount (SCALAR) but the field \"scalar\" is missing"),
        (one(json!({"scalar": {"value": -1}})), "-1 is not an amount"),
        (one(json!({"role": "a", "reservation": {}})), "only static reservations can be configured"),
        (one(json!({"reservation": {}})), "a dynamic reservation needs a role other than \"*\""),
        (one(json!({"reservations": [{"role": "a"}]})), "a reservation needs a type"),
        (one(json!({"reservations": [{"type": "STATIC", "role": "*"}]})), "needs a role other than"),
        (one(json!({"disk": {"persistence": {"id": "v"}}})), "a persistent volume cannot be configured"),
        (one(json!({"disk": {"persistence": {"id": "a/b"}}})), "cannot be an id"),
        (one(json!({"disk": {"source": {"type": "RAW"}}})), "must be of type PATH or MOUNT"),
        (one(json!({"disk": {"source": {"type": "MOUNT"}}})), "of type MOUNT needs \"mount\""),
        (one(json!({"name": "mem", "disk": {}})), "only a resource named \"disk\""),
        (one(json!({"revocable": {}})), "cannot be configured as revocable"),
        (one(json!({"shared": {}})), "only persistent volumes can be shared"),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected), "{error}");
    }
}

// === formats ===

#[test]
fn a_static_reservation_has_three_forms() {
    let cpus = parse("cpus(web):1");
    let new = json!({"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0},
        "reservations": [{"type": "STATIC", "role": "web"}]});
    let old = json!({"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}, "role": "web"});
    let mut both = new.clone();
    both["role"] = json!("web");
    assert_eq!(shown(&cpus.to_protos()), json!([new]));
    assert_eq!(
        shown(&cpus.to_protos_pre_refinement().unwrap()),
        json!([old])
    );
    assert_eq!(shown(&cpus.to_protos_for_endpoints()), json!([both]));
    for form in [new, old, both] {
        assert_eq!(from_json(json!([form])), cpus);
    }
}

#[test]
fn unreserved_resources_have_the_role_star_only_in_the_older_format() {
    let cpus = parse("cpus:1");
    assert_eq!(shown(&cpus.to_protos())[0].get("role"), None);
    assert_eq!(
        shown(&cpus.to_protos_pre_refinement().unwrap())[0]["role"],
        "*"
    );
}

#[test]
fn a_dynamic_reservation_keeps_principal_and_labels() {
    let labels = json!({"labels": [{"key": "k"}]});
    let old = json!([{"name": "mem", "type": "SCALAR", "scalar": {"value": 1.0}, "role": "db",
        "reservation": {"principal": "p", "labels": labels}}]);
    let mem = from_json(old.clone());
    assert_eq!(shown(&mem.to_protos_pre_refinement().unwrap()), old);
    assert_eq!(
        shown(&mem.to_protos())[0]["reservations"],
        json!([{"type": "DYNAMIC", "role": "db", "principal": "p", "labels": labels}])
    );
    assert_eq!(mem.reserved()["db"], mem);
}

#[test]
fn a_refined_reservation_needs_the_newer_format() {
    let stack = |roles: [(&str, &str); 2]| {
        let stack: Vec<Value> = roles
            .iter()
            .map(|(kind, role)| json!({"type": kind, "role": role}))
            .collect();
        json!([{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}, "reservations": stack}])
    };
    let cpus = from_json(stack([("STATIC", "eng"), ("DYNAMIC", "eng/web")]));
    assert_eq!(cpus.reserved().into_keys().collect::<Vec<_>>(), ["eng/web"]);
    assert_eq!(from_json(shown(&cpus.to_protos_for_endpoints())), cpus);
    let error = cpus.to_protos_pre_refinement().unwrap_err().to_string();
    assert!(
        error.contains("reserved more than once on top of each other"),
        "{error}"
    );
    for bad in [
        [("STATIC", "eng"), ("STATIC", "eng/web")],
        [("STATIC", "a"), ("DYNAMIC", "b/c")],
    ] {
        assert!(proto_error(stack(bad)).contains("must be DYNAMIC and for a role below"));
    }
}

#[test]
fn formats_must_not_be_mixed_or_contradict_each_other() {
    let cpus = |extra: Value| {
        let mut item = json!({"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}});
        item.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        item
    };
    let new = cpus(json!({"reservations": [{"type": "STATIC", "role": "a"}]}));
    let old = cpus(json!({"role": "a"}));
    let error = proto_error(json!([new, old]));
    assert!(error.starts_with("resource 2 (cpus): \"role\" or \"reservation\" is used here"));
    assert_eq!(
        from_json(json!([new, cpus(json!({"role": "*"}))])).cpus(),
        2.0
    );
    let both = cpus(json!({"reservations": [{"type": "STATIC", "role": "a"}], "role": "b"}));
    assert!(proto_error(json!([both])).contains("use \"reservations\""));
}

#[test]
fn amounts_of_zero_vanish_and_negative_ones_are_errors() {
    let cpus = |value: f64| {
        let message = v1::Resource {
            name: "cpus".to_owned(),
            scalar: Some(v1::value::Scalar { value }),
            ..v1::Resource::default()
        };
        Resources::from_protos(&[message]).map_err(|error| error.to_string())
    };
    assert_eq!(cpus(0.0), Ok(Resources::new()));
    assert_eq!(cpus(0.0004), Ok(Resources::new()));
    for bad in [-1.0, f64::INFINITY, f64::NAN] {
        let error = cpus(bad).unwrap_err();
        assert!(
            error.contains("is not an amount: expected a number from 0"),
            "{error}"
        );
    }
}

// === arithmetic ===

#[test]
fn only_one_identity_is_added_up() {
    let mut all = parse("cpus:1;cpus(web):2");
    all += &parse("cpus:1").allocate("web");
    assert_eq!(all.iter().count(), 3);
    assert_eq!(all.cpus(), 4.0);
    assert!(!all.contains(&parse("cpus:2")));
    assert_eq!(all.unallocate().to_string(), "cpus:2;cpus(web):2");
}

#[test]
fn a_port_is_not_counted_twice() {
    let a = parse("ports:[1-5]");
    assert_eq!(a.try_add(&parse("ports:[5-6]")), None);
    assert_eq!(a.add(&parse("ports:[5-6]")), parse("ports:[1-6]"));
    assert_eq!(a.try_add(&parse("ports:[6-6]")), Some(parse("ports:[1-6]")));
}

#[test]
fn volumes_are_things_and_not_amounts() {
    let (a, b) = (
        from_json(json!([volume("a")])),
        from_json(json!([volume("b")])),
    );
    let both = a.add(&b);
    assert_eq!(both.iter().count(), 2);
    assert_eq!(both.try_sub(&a), Some(b));
    let mut half = volume("a");
    half["scalar"] = json!({"value": 5});
    assert!(!a.contains(&from_json(json!([half]))));
}

#[test]
fn where_a_volume_is_mounted_does_not_matter() {
    let mut mounted = volume("a");
    mounted["disk"]["volume"] = json!({"container_path": "data", "mode": "RW"});
    assert!(from_json(json!([volume("a")])).contains(&from_json(json!([mounted]))));
}

#[test]
fn shared_volumes_are_counted() {
    let mut shared = volume("a");
    shared["shared"] = json!({});
    let (one, two) = (
        from_json(json!([shared])),
        from_json(json!([shared, shared])),
    );
    assert_eq!(
        (two.iter().count(), two.to_protos().len(), two.disk()),
        (1, 2, 10.0)
    );
    assert!(two.contains(&one) && !one.contains(&two));
    assert_eq!(two.try_sub(&one), Some(one));
}

#[test]
fn whole_devices_are_not_split() {
    let mount = |size: u32| {
        from_json(
            json!([{"name": "disk", "type": "SCALAR", "scalar": {"value": size},
            "disk": {"source": {"type": "MOUNT", "mount": {"root": "/mnt"}}}}]),
        )
    };
    assert!(!mount(10).contains(&mount(5)));
    assert!(mount(10).contains(&mount(10)));
}

// === flat ===

#[test]
fn flat_objects_always_have_the_four_numbers() {
    let all = from_json(json!([
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.5}},
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 2}, "role": "web"},
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 4}, "revocable": {}},
        {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 2}]}},
        {"name": "dev", "type": "SET", "set": {"item": ["b", "a"]}}
    ]));
    assert_eq!(
        Value::from(all.flat_json()),
        json!({"cpus": 3.5, "cpus_revocable": 4.0, "gpus": 0.0, "mem": 0.0, "disk": 0.0,
            "ports": "[1-2]", "dev": "{a,b}"})
    );
}

// === laws ===

/// The tiny model: thousandths of cpus by role, and the ports there are.
#[derive(Debug, Clone, PartialEq)]
struct Model {
    cpus: [u64; 2],
    ports: BTreeSet<u64>,
}

const ROLES: [&str; 2] = ["*", "web"];

fn model() -> impl Strategy<Value = Model> {
    (
        any::<[u16; 2]>(),
        prop::collection::btree_set(0u64..30, 0..15),
    )
        .prop_map(|(cpus, ports)| Model {
            cpus: cpus.map(u64::from),
            ports,
        })
}

fn of(model: &Model) -> Resources {
    let cpus = ROLES.iter().zip(model.cpus).map(|(role, amount)| {
        let amount = Scalar::from_f64(amount as f64 / 1000.0).unwrap();
        let text = format!("cpus({role}):{amount}");
        if amount.is_zero() {
            Resources::new()
        } else {
            parse(&text)
        }
    });
    let ports = Amount::Ranges(model.ports.iter().copied().collect());
    let ports = Resources::from(Resource::new("ports", ports));
    cpus.fold(ports, |all, one| all.add(&one))
}

proptest! {
    #[test]
    fn sums_are_those_of_the_model(a in model(), b in model()) {
        let sum = Model {
            cpus: [a.cpus[0] + b.cpus[0], a.cpus[1] + b.cpus[1]],
            ports: &a.ports | &b.ports,
        };
        prop_assert_eq!(of(&a).add(&of(&b)), of(&sum));
        let disjoint = a.ports.is_disjoint(&b.ports);
        prop_assert_eq!(of(&a).try_add(&of(&b)), disjoint.then(|| of(&sum)));
    }

    #[test]
    fn what_was_added_can_be_taken_away(a in model(), b in model()) {
        if let Some(sum) = of(&a).try_add(&of(&b)) {
            prop_assert_eq!(sum.try_sub(&of(&b)), Some(of(&a)));
        }
    }

    #[test]
    fn containing_is_that_of_the_model(a in model(), b in model()) {
        let contains = a.cpus[0] >= b.cpus[0]
            && a.cpus[1] >= b.cpus[1]
            && a.ports.is_superset(&b.ports);
        prop_assert_eq!(of(&a).contains(&of(&b)), contains);
        prop_assert!(of(&a).contains(&of(&a)));
        prop_assert!(of(&a).add(&of(&b)).contains(&of(&b)));
        let both_ways = contains && of(&b).contains(&of(&a));
        prop_assert_eq!(both_ways, of(&a) == of(&b));
    }

    #[test]
    fn written_resources_read_back(a in model()) {
        let resources = of(&a);
        prop_assert_eq!(&parse(&resources.to_string()), &resources);
        prop_assert_eq!(&Resources::from_protos(&resources.to_protos()).unwrap(), &resources);
        let json = shown(&resources.to_protos()).to_string();
        prop_assert_eq!(&parse(&json), &resources);
        let old = resources.to_protos_pre_refinement().unwrap();
        prop_assert_eq!(&Resources::from_protos(&old).unwrap(), &resources);
    }

    #[test]
    fn parts_make_the_whole(a in model()) {
        let resources = of(&a);
        let parts = resources.reserved().into_values();
        let whole = parts.fold(resources.unreserved(), |all, part| all.add(&part));
        prop_assert_eq!(&whole, &resources);
        prop_assert_eq!(resources.allocate("x").unallocate(), resources);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-c0-9.:;,(){}\\[\\]\" -]{0,30}") {
        let _ = Resources::parse(&text, "*");
    }
}
