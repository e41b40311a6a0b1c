use super::*;

fn parsed<M: prost::Message + prost::Name + Default>(value: Value) -> M {
    form::from_value(&value).unwrap()
}

fn web_task() -> v1::Task {
    parsed(json!({
        "name": "web", "task_id": {"value": "web.1"}, "framework_id": {"value": "f"},
        "agent_id": {"value": "m-S0"}, "state": "TASK_RUNNING",
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}, "allocation_info": {"role": "dev"}},
            {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31001, "end": 31001}]}}
        ],
        "statuses": [{
            "task_id": {"value": "web.1"}, "state": "TASK_RUNNING", "timestamp": 1767000009.25,
            "healthy": true, "source": "SOURCE_AGENT", "uuid": "AAAA",
            "container_status": {
                "container_id": {"value": "5d0c"}, "executor_pid": 7,
                "network_infos": [{
                    "ip_addresses": [{"protocol": "IPv4", "ip_address": "10.0.0.5"}],
                    "labels": {"labels": [{"key": "net", "value": "a"}]}
                }]
            }
        }],
        "labels": {"labels": [{"key": "k", "value": "v"}, {"key": "flag"}]},
        "discovery": {"visibility": "FRAMEWORK", "name": "web",
            "ports": {"ports": [{"number": 31001, "name": "http", "protocol": "tcp"}]}},
        "user": "nobody"
    }))
}

#[test]
fn a_task_has_the_keys_of_v0() {
    assert_eq!(
        task(&web_task()),
        json!({
            "id": "web.1", "name": "web", "framework_id": "f", "executor_id": "", "slave_id": "m-S0",
            "state": "TASK_RUNNING", "role": "dev", "user": "nobody",
            "resources": {"cpus": 1.0, "gpus": 0.0, "mem": 0.0, "disk": 0.0, "ports": "[31001-31001]"},
            "statuses": [{
                "state": "TASK_RUNNING", "timestamp": 1767000009.25, "healthy": true,
                "container_status": {
                    "container_id": {"value": "5d0c"},
                    "network_infos": [{
                        "ip_addresses": [{"protocol": "IPv4", "ip_address": "10.0.0.5"}],
                        "labels": [{"key": "net", "value": "a"}]
                    }]
                }
            }],
            "labels": [{"key": "k", "value": "v"}, {"key": "flag"}],
            "discovery": {"visibility": "FRAMEWORK", "name": "web",
                "ports": {"ports": [{"number": 31001, "name": "http", "protocol": "tcp"}]}}
        })
    );
}

#[test]
fn limits_are_numbers_or_infinity() {
    let mut limited = web_task();
    for (name, value) in [("cpus", 2.0), ("mem", f64::INFINITY)] {
        limited
            .limits
            .insert(name.to_owned(), v1::value::Scalar { value });
    }
    assert_eq!(
        task(&limited)["limits"],
        json!({"cpus": 2.0, "mem": "Infinity"})
    );
}

#[test]
fn a_command_shows_its_arguments_uris_and_variables() {
    let info: v1::CommandInfo = parsed(json!({
        "value": "sleep 1", "arguments": ["a"], "uris": [{"value": "http://me:pw@x/y"}],
        "environment": {"variables": [{"name": "A", "value": "b"}]}
    }));
    assert_eq!(
        command(&info),
        json!({
            "value": "sleep 1", "argv": ["a"],
            "uris": [{"value": "http://me:***@x/y", "executable": false}],
            "environment": {"variables": [{"name": "A", "value": "b", "type": "VALUE"}]}
        })
    );
}

#[test]
fn a_framework_has_roles_only_with_multi_role() {
    let info: v1::FrameworkInfo = parsed(json!({
        "user": "u", "name": "n", "id": {"value": "f"}, "roles": ["a", "b"], "principal": "p",
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]
    }));
    assert_eq!(
        Value::Object(framework(&info)),
        json!({"id": "f", "name": "n", "user": "u", "failover_timeout": 0.0, "checkpoint": false,
            "hostname": "", "principal": "p", "roles": ["a", "b"]})
    );
    assert_eq!(
        framework_capabilities(&info),
        json!(["MULTI_ROLE", "PARTITION_AWARE"])
    );
    let info: v1::FrameworkInfo = parsed(json!({"user": "u", "name": "n"}));
    assert_eq!(framework(&info)["role"], "*");
    assert!(!framework(&info).contains_key("roles"));
}

#[test]
fn an_executor_has_its_type_and_labels() {
    let info: v1::ExecutorInfo = parsed(json!({
        "executor_id": {"value": "e"}, "name": "x", "type": "DEFAULT",
        "labels": {"labels": [{"key": "k"}]}
    }));
    let executor = executor(&info);
    assert_eq!(executor["type"], "DEFAULT");
    assert_eq!(executor["labels"], json!([{"key": "k"}]));
    assert_eq!(executor["name"], "x");
}

#[test]
fn full_resources_are_in_both_reservation_formats() {
    let resources = Resources::parse("cpus(web):1", "*").unwrap();
    assert_eq!(
        resources_full(&resources),
        json!([{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}, "role": "web",
            "reservations": [{"type": "STATIC", "role": "web"}]}])
    );
}

#[test]
fn reasons_and_sources_say_slave() {
    assert_eq!(reason(Reason::AgentRemoved), "REASON_SLAVE_REMOVED");
    assert_eq!(reason(Reason::TaskInvalid), "REASON_TASK_INVALID");
    assert_eq!(source(Source::Agent), "SOURCE_SLAVE");
}

#[test]
fn every_reason_is_read_back_from_its_name() {
    let all = (0..100).filter_map(|number| Reason::try_from(number).ok());
    for one in all {
        assert_eq!(reason_named(&reason(one)), Some(one));
    }
    assert_eq!(reason_named("REASON_BOREDOM"), None);
}
