//! The schema against its reference table: totals, and a digest of what was compared line by line.

use prost_reflect::{
    EnumValueDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor,
};

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

/// Every field with number, label and type, and every value of an enum. The digests were taken when
/// each line agreed with spec/mesos-v1-messages.txt.
#[test]
fn the_schema_is_what_was_compared_with_its_reference() {
    #[rustfmt::skip] // A file and its digest share a row.
    let compared = [
        ("mesos/v1/mesos.proto", 0x1982_2ad0_17a2_cf36),
        ("mesos/v1/scheduler/scheduler.proto", 0x4e20_cecb_a56c_b6e6),
        ("mesos/v1/executor/executor.proto", 0xbcd3_a035_5c11_e44c),
        ("mesos/v1/agent/agent.proto", 0xbed4_45c5_22f9_315a),
        ("mesos/v1/master/master.proto", 0x7b60_78f4_e726_653d),
        ("mesos/v1/quota/quota.proto", 0x7b65_7867_7bb7_717d),
        ("mesos/v1/allocator/allocator.proto", 0xc00f_37ea_9067_0c43),
        ("mesos/v1/maintenance/maintenance.proto", 0x7a81_8528_6fed_be2b),
        ("mesos/v1/resource_provider/resource_provider.proto", 0x61a1_d7d3_2b33_ebcf),
    ];
    for (path, digest) in compared {
        let mut lines = lines(path);
        lines.sort_unstable();
        let now = fnv_1a(&lines.concat());
        assert!(
            now == digest,
            "{path} says something else than what was compared: `git log -p -- proto/schema/{path}` \
             and `git diff` show what has changed. If spec/mesos-v1-messages.txt says so, too, the \
             digest is now {now:#x}"
        );
    }
}

/// What a file means on the wire and in JSON, one field or value a line.
fn lines(path: &str) -> Vec<String> {
    let messages = POOL
        .all_messages()
        .filter(|m| m.parent_file().name() == path);
    let fields = messages.flat_map(|m| m.fields().map(|f| field(&f)).collect::<Vec<_>>());
    let enums = POOL.all_enums().filter(|e| e.parent_file().name() == path);
    let values = enums.flat_map(|e| {
        let value =
            |v: EnumValueDescriptor| format!("{} {} {}\n", e.full_name(), v.number(), v.name());
        e.values().map(value).collect::<Vec<_>>()
    });
    fields.chain(values).collect()
}

/// With what decides whether it is written when unset, and beside what else it cannot be set.
fn field(field: &FieldDescriptor) -> String {
    let proto = field.field_descriptor_proto();
    let is_deprecated = proto.options.as_ref().is_some_and(|o| o.deprecated());
    format!(
        "{} {} {} {}{} default={:?} oneof={:?} deprecated={is_deprecated}\n",
        field.full_name(),
        field.number(),
        proto.label().as_str_name(),
        proto.r#type().as_str_name(),
        proto.type_name(),
        proto.default_value.as_deref().unwrap_or_default(),
        field.containing_oneof().map(|o| o.name().to_owned()),
    )
}

/// Of 64 bits. Whoever changes the schema means no harm, so nothing stronger is needed.
fn fnv_1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
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
