use proptest::prelude::*;
use prost_reflect::{FieldDescriptor, Kind, MapKey, Value as Field};
use serde_json::json;

use super::*;
use crate::v1;

fn task_info() -> Value {
    json!({"name": "t", "task_id": {"value": "t.1"}, "agent_id": {"value": "s"}})
}

/// `task_info` with one more key.
fn task_info_with(key: &str, value: Value) -> Result<v1::TaskInfo, JsonError> {
    let mut info = task_info();
    info[key] = value;
    from_value(&info)
}

fn error_of<M: prost::Message + prost::Name + Default>(value: &Value) -> String {
    from_value::<M>(value).err().unwrap().to_string()
}

#[test]
fn unset_fields_with_a_default_are_written_unless_deprecated() {
    let info = v1::FrameworkInfo {
        name: "n".into(),
        ..v1::FrameworkInfo::default()
    };
    assert_eq!(
        to_string(&info),
        r#"{"user":"","name":"n","failover_timeout":0.0,"checkpoint":false}"#
    );
    assert_eq!(to_string(&v1::CommandInfo::default()), r#"{"shell":true}"#);
    let check = v1::health_check::HttpCheckInfo {
        port: 80,
        ..Default::default()
    };
    assert_eq!(to_value(&check), json!({"port": 80, "protocol": "IPv4"}));
}

#[test]
fn numbers_are_bare_and_doubles_show_that_they_are() {
    let filters = |seconds| {
        to_string(&v1::Filters {
            refuse_seconds: Some(seconds),
        })
    };
    assert_eq!(filters(2.0), r#"{"refuse_seconds":2.0}"#);
    assert_eq!(filters(0.1), r#"{"refuse_seconds":0.1}"#);
    assert_eq!(filters(f64::INFINITY), r#"{"refuse_seconds":"Infinity"}"#);
    assert!(filters(1e300).contains("e+300") || filters(1e300).contains("e300"));
    let time = v1::TimeInfo {
        nanoseconds: i64::MAX,
    };
    assert_eq!(to_string(&time), r#"{"nanoseconds":9223372036854775807}"#);
}

#[test]
fn bytes_are_base64() {
    let uuid = v1::Uuid {
        value: vec![0, 255, 16],
    };
    assert_eq!(to_string(&uuid), r#"{"value":"AP8Q"}"#);
    assert_eq!(
        from_value::<v1::Uuid>(&json!({"value": "AP8Q"})).unwrap(),
        uuid
    );
    assert_eq!(
        from_value::<v1::Uuid>(&json!({"value": "AP8"}))
            .unwrap()
            .value,
        [0, 255]
    );
    assert!(error_of::<v1::Uuid>(&json!({"value": "A*"})).starts_with("value: this is not base64"));
}

#[test]
fn text_output_is_one_line_of_ascii() {
    let id = v1::TaskId {
        value: "é\n\"😀\u{7f}ü".to_owned(),
    };
    let text = to_string(&id);
    assert_eq!(
        text,
        "{\"value\":\"\\u00e9\\n\\\"\\ud83d\\ude00\u{7f}\\u00fc\"}"
    );
    assert_eq!(from_slice::<v1::TaskId>(text.as_bytes()).unwrap(), id);
}

#[test]
fn enums_are_names() {
    let status = v1::TaskStatus {
        state: 1,
        reason: Some(34),
        ..v1::TaskStatus::default()
    };
    let value = to_value(&status);
    assert_eq!(value["state"], "TASK_RUNNING");
    assert_eq!(value["reason"], "REASON_AGENT_DRAINING");
    let nameless = v1::TaskStatus {
        reason: Some(4711),
        ..status
    };
    assert_eq!(to_value(&nameless).get("reason"), None);
}

#[test]
fn an_unknown_enum_name_is_unset_unless_required() {
    let status =
        json!({"task_id": {"value": "t"}, "state": "TASK_RUNNING", "reason": "REASON_NEW"});
    assert_eq!(from_value::<v1::TaskStatus>(&status).unwrap().reason, None);
    let status = json!({"task_id": {"value": "t"}, "state": "TASK_DANCING"});
    let error = error_of::<v1::TaskStatus>(&status);
    assert!(
        error.starts_with("state: \"TASK_DANCING\" is not one of TASK_STARTING"),
        "{error}"
    );
    let status = json!({"task_id": {"value": "t"}, "state": 1});
    assert_eq!(
        error_of::<v1::TaskStatus>(&status),
        "state: expected the name of an enum value, found the number 1"
    );
}

#[test]
fn null_is_unset_and_unknown_keys_are_ignored_at_any_depth() {
    let info =
        task_info_with("command", json!({"user": null, "uris": null, "x": [1, {}]})).unwrap();
    assert_eq!(info.command, Some(v1::CommandInfo::default()));
    let info = task_info_with("resources", json!([null])).unwrap();
    assert!(info.resources.is_empty());
}

#[test]
fn quoted_numbers_and_booleans_are_read() {
    let command = task_info_with("command", json!({"shell": "false"}))
        .unwrap()
        .command
        .unwrap();
    assert_eq!(command.shell, Some(false));
    let time = |value| from_value::<v1::TimeInfo>(&json!({"nanoseconds": value}));
    for value in [json!(7), json!("7"), json!(7.0), json!("7.0"), json!(" 7 ")] {
        assert_eq!(time(value.clone()).unwrap().nanoseconds, 7, "{value}");
    }
    assert_eq!(time(json!(i64::MIN)).unwrap().nanoseconds, i64::MIN);
    for value in [
        json!(7.5),
        json!("x"),
        json!(1e19),
        json!("9223372036854775808"),
        json!("inf"),
    ] {
        assert!(time(value.clone()).is_err(), "{value}");
    }
}

#[test]
fn infinity_is_a_number() {
    let info = task_info_with("limits", json!({"mem": {"value": "Infinity"}})).unwrap();
    assert_eq!(info.limits["mem"].value, f64::INFINITY);
    assert_eq!(
        to_value(&info)["limits"],
        json!({"mem": {"value": "Infinity"}})
    );
}

#[test]
fn a_bare_value_stands_for_an_array_of_one() {
    let call = json!({"arguments": "a", "uris": {"value": "http://x"}});
    let command: v1::CommandInfo = from_value(&call).unwrap();
    assert_eq!(command.arguments, ["a"]);
    assert_eq!(command.uris[0].value, "http://x");
}

#[test]
fn errors_say_where_and_what() {
    let info = task_info_with(
        "resources",
        json!([{"name": "cpus", "type": "SCALAR"}, {"name": 7}]),
    );
    let error = info.unwrap_err();
    assert_eq!(error.path(), "resources[1].name");
    assert_eq!(
        error.to_string(),
        "resources[1].name: expected a text, found the number 7"
    );
    assert_eq!(
        error_of::<v1::AgentId>(&json!({})),
        "value: required field is missing"
    );
    assert_eq!(
        error_of::<v1::AgentId>(&json!([])),
        "expected an object, found an array"
    );
    let limits = task_info_with("limits", json!({"cpus": {}})).unwrap_err();
    assert_eq!(
        limits.to_string(),
        "limits.cpus.value: required field is missing"
    );
    let port = json!({"scheme": "http", "address": {"port": 4294967296u64}});
    assert_eq!(
        error_of::<v1::Url>(&port),
        "address.port: 4294967296 is not a whole number of 32 bits"
    );
    let error = from_slice::<v1::AgentId>(b"{\"value\": ")
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("this is not JSON: EOF"), "{error}");
}

#[test]
fn nesting_is_bounded_in_messages_and_in_text() {
    let nested = |levels: usize| {
        (1..levels).fold(
            json!({"value": "c"}),
            |id, _| json!({"value": "c", "parent": id}),
        )
    };
    assert!(from_value::<v1::ContainerId>(&nested(MAX_DEPTH)).is_ok());
    let error = error_of::<v1::ContainerId>(&nested(MAX_DEPTH + 1));
    assert!(
        error.ends_with("messages are nested more than 64 levels deep"),
        "{error}"
    );
    let text = format!("{{\"x\":{}", "[".repeat(100_000));
    assert!(from_slice::<v1::ContainerId>(text.as_bytes()).is_err());
}

#[test]
fn a_message_that_is_too_deep_is_cut_off_and_does_not_panic() {
    let leaf = v1::ContainerId {
        value: "c".to_owned(),
        parent: None,
    };
    let deep = (0..200).fold(leaf, |id, _| v1::ContainerId {
        value: "c".to_owned(),
        parent: Some(Box::new(id)),
    });
    assert_eq!(to_value(&deep)["value"], "c");
}

#[test]
fn a_duration_is_an_object_and_may_be_read_from_a_text() {
    let drain = |grace: Value| {
        let call = json!({"agent_id": {"value": "s"}, "max_grace_period": grace});
        from_value::<v1::master::call::DrainAgent>(&call)
    };
    for (grace, seconds, nanos) in [
        (json!({"seconds": 600}), 600, 0),
        (json!("600s"), 600, 0),
        (json!("10mins"), 600, 0),
        (json!("1.5s"), 1, 500_000_000),
    ] {
        let read = drain(grace.clone()).unwrap().max_grace_period.unwrap();
        assert_eq!((read.seconds, read.nanos), (seconds, nanos), "{grace}");
    }
    let written = to_value(&drain(json!("10mins")).unwrap());
    assert_eq!(written["max_grace_period"], json!({"seconds": 600}));
    let error = drain(json!("soon")).unwrap_err().to_string();
    assert!(
        error.starts_with("max_grace_period: this is not a duration: write"),
        "{error}"
    );
}

/// A value that is not the default, for any field, until `depth` is used up.
fn sample(field: &FieldDescriptor, depth: usize) -> Option<Field> {
    if field.is_map() {
        let entry = field.kind().as_message().map(|m| m.map_entry_value_field());
        let value = sample(&entry?, depth)?;
        return Some(Field::Map(
            [(MapKey::String("k é".to_owned()), value)].into(),
        ));
    }
    let one = match field.kind() {
        Kind::Message(_) if depth == 0 => return None,
        Kind::Message(inner) => Field::Message(filled(&inner, depth - 1)?),
        Kind::Enum(names) => Field::EnumNumber(names.values().last()?.number()),
        Kind::String => Field::String("é \"\\\n".to_owned()),
        Kind::Bytes => Field::Bytes(vec![0, 255, 1].into()),
        Kind::Bool => Field::Bool(true),
        Kind::Double => Field::F64(0.1),
        Kind::Float => Field::F32(0.5),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Field::I32(i32::MIN),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Field::I64(i64::MIN),
        Kind::Uint32 | Kind::Fixed32 => Field::U32(u32::MAX),
        Kind::Uint64 | Kind::Fixed64 => Field::U64(u64::MAX),
    };
    Some(if field.is_list() {
        Field::List(vec![one.clone(), one])
    } else {
        one
    })
}

/// A message with all of its fields, or `None` if a required one needs more depth.
fn filled(descriptor: &MessageDescriptor, depth: usize) -> Option<DynamicMessage> {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        match sample(&field, depth) {
            Some(value) => message.set_field(&field, value),
            None if field.is_required() => return None,
            None => {}
        }
    }
    Some(message)
}

#[test]
fn every_message_of_the_schema_survives_its_json_form() {
    let mut walked = 0;
    for descriptor in POOL.all_messages().filter(|m| !m.is_map_entry()) {
        let Some(message) = filled(&descriptor, 4) else {
            continue;
        };
        let text = write::ascii(&write::View(&message));
        assert!(text.is_ascii() && !text.contains('\n'));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, serde_json::to_value(write::View(&message)).unwrap());
        let back = read::message(&descriptor, &value).unwrap();
        assert_eq!(back, message, "{}", descriptor.full_name());
        walked += 1;
    }
    assert!(walked > 351, "{walked}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof!["[a-z0-9.]{0,6}", Just("TASK_RUNNING".to_owned())].prop_map(Value::from),
    ];
    let keys = "(value|task_id|state|resources|name|labels|command|statuses|limits|uuid|healthy)";
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(keys, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_a_message_or_an_error(value in any_json()) {
        let _ = from_value::<v1::TaskInfo>(&value);
        let _ = from_value::<v1::TaskStatus>(&value);
        let _ = from_value::<v1::scheduler::Call>(&value);
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = from_slice::<v1::TaskInfo>(&bytes);
    }

    #[test]
    fn doubles_survive(value: f64) {
        let filters = v1::Filters { refuse_seconds: Some(value) };
        let back: v1::Filters = from_slice(to_string(&filters).as_bytes()).unwrap();
        let back = back.refuse_seconds.unwrap();
        prop_assert!(back == value || (back.is_nan() && value.is_nan()));
    }
}
