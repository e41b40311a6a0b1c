//! Tries one property of one crate, which PROPERTY names, as in `isolators/mountinfo`.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static HOLDS: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let named = std::env::var("PROPERTY").unwrap_or_default();
    let packages = [
        ("containerizer", containerizer::properties::ALL),
        ("fetcher", fetcher::properties::ALL),
        ("images", images::properties::ALL),
        ("init", init::properties::ALL),
        ("isolators", isolators::properties::ALL),
        ("oci", oci::properties::ALL),
    ];
    let all = packages.iter().flat_map(|(package, properties)| {
        properties
            .iter()
            .map(move |(name, holds)| (format!("{package}/{name}"), *holds))
    });
    let mut all: Vec<_> = all.collect();
    match all.iter().position(|(name, _)| *name == named) {
        Some(at) => all.swap_remove(at).1,
        None => panic!(
            "PROPERTY is {named:?}, and must be one of {:?}",
            all.iter().map(|(name, _)| name)
        ),
    }
});

fuzz_target!(|bytes: &[u8]| HOLDS(bytes));
