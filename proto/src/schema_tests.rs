//! The schema against the totals of its reference table.

use prost_reflect::{FileDescriptor, Kind, MessageDescriptor};

use crate::json::POOL;

fn mesos_files() -> impl Iterator<Item = FileDescriptor> {
    POOL.files()
        .filter(|file| file.package_name().starts_with("mesos.v1"))
}

fn mesos_messages() -> impl Iterator<Item = MessageDescriptor> {
    POOL.all_messages()
        .filter(|m| m.package_name().starts_with("mesos.v1") && !m.is_map_entry())
}

/// Totals of spec/mesos-v1-messages.txt.
#[test]
fn the_schema_is_complete() {
    let enums: Vec<_> = POOL
        .all_enums()
        .filter(|e| e.package_name().starts_with("mesos.v1"))
        .collect();
    let totals = [
        ("files", mesos_files().count(), 9),
        ("messages", mesos_messages().count(), 351),
        (
            "fields",
            mesos_messages().map(|m| m.fields().count()).sum(),
            1206,
        ),
        ("enums", enums.len(), 53),
        (
            "enum values",
            enums.iter().map(|e| e.values().count()).sum(),
            442,
        ),
    ];
    for (what, counted, expected) in totals {
        assert_eq!(counted, expected, "{what}");
    }
}

/// What `json` and `wire` build on.
#[test]
fn the_schema_has_no_groups_and_maps_have_text_keys() {
    for message in POOL.all_messages() {
        for field in message.fields() {
            assert!(!field.is_group(), "{}", field.full_name());
            if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
                let key = entry.map_entry_key_field().kind();
                assert_eq!(key, Kind::String, "{}", field.full_name());
            }
        }
    }
}

/// Numbers that v0 and v1 disagree about.
#[test]
fn subscribe_has_the_numbers_of_v1() {
    let subscribe = POOL
        .get_message_by_name("mesos.v1.scheduler.Call.Subscribe")
        .unwrap();
    let numbers: Vec<(u32, String)> = subscribe
        .fields()
        .map(|f| (f.number(), f.name().to_owned()))
        .collect();
    let expected = [
        (1, "framework_info"),
        (2, "suppressed_roles"),
        (3, "offer_constraints"),
    ];
    assert_eq!(
        numbers,
        expected.map(|(number, name)| (number, name.to_owned()))
    );
}
