//! The arrows between crates, as ARCHITECTURE.md draws them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// A crate, and every crate of the project that it may use. Using fewer is fine.
#[rustfmt::skip]
const ARROWS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("endpoint", &["proto"]),
    ("init", &[]),
    ("fetcher", &[]),
    ("isolators", &["proto"]),
    ("containerizer", &["proto", "isolators", "init"]),
    ("agent", &["proto", "endpoint", "isolators", "containerizer", "fetcher"]),
    ("master", &["proto", "endpoint"]),
    ("scheduler", &["proto", "endpoint"]),
    ("longshore", &["proto", "isolators", "containerizer", "fetcher", "agent", "master", "scheduler"]),
    ("tests", &[]),
];

#[test]
fn no_crate_uses_another_against_the_arrows() {
    let used = dependencies();
    let names: BTreeSet<_> = used.keys().map(String::as_str).collect();
    let drawn: BTreeSet<_> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names, drawn,
        "a crate without a row, or a row without a crate"
    );
    for (name, allowed) in ARROWS {
        for other in &used[*name] {
            let fine = allowed.contains(&other.as_str());
            assert!(
                fine,
                "{name} must not depend on {other}: it may use {allowed:?}"
            );
        }
    }
}

#[test]
fn cargo_run_means_longshore() {
    let packages = packages();
    let defaults = packages.iter().filter_map(|it| it["default_run"].as_str());
    assert_eq!(defaults.collect::<Vec<_>>(), ["longshore"]);
}

/// Crate name to the crates of this project it names, for any purpose.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let name = |value: &Value| value["name"].as_str().expect("it has a name").to_owned();
    let ours = |package: &Value| {
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        // Only crates of the workspace have a path.
        dependencies
            .filter(|it| it["path"].is_string())
            .map(name)
            .collect()
    };
    packages()
        .iter()
        .map(|package| (name(package), ours(package)))
        .collect()
}

/// The crates as cargo sees them.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array();
    packages.expect("there are packages").clone()
}
