//! Rules and uses of all kinds.

use proptest::prelude::*;

use super::{Access, DENY_ALL, Key, Kind, Rule};

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Block), Just(Kind::Char)]
}

/// Few numbers, so that rules meet.
pub fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let number = || prop::option::of(0_u32..4);
    let rule = (
        any::<bool>(),
        prop::option::of(kind()),
        number(),
        number(),
        1_u8..8,
    );
    let rule = rule.prop_map(|(allow, kind, major, minor, access)| Rule {
        allow,
        kind,
        major,
        minor,
        access: Access(access),
    });
    prop::collection::vec(prop_oneof![8 => rule, 1 => Just(DENY_ALL)], 0..8)
}

pub fn uses() -> impl Strategy<Value = (Key, Access)> {
    // The kernel asks for the making of a device alone, and for reading and writing together.
    let access = prop_oneof![Just(1_u8), Just(2), Just(4), Just(6)];
    (kind(), 0_u32..5, 0_u32..5, access).prop_map(|(kind, major, minor, access)| {
        let key = Key {
            kind,
            major: Some(major),
            minor: Some(minor),
        };
        (key, Access(access))
    })
}
