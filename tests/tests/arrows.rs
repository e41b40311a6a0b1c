//! The arrows between crates, as ARCHITECTURE.md draws them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// A crate, and every crate of the project that it may use. Using fewer is fine.
#[rustfmt::skip]
const ARROWS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("endpoint", &["proto"]),
    ("failpoint", &[]),
    ("state", &[]),
    ("testbed", &[]),
    ("init", &[]),
    ("fetcher", &["proto"]),
    ("images", &["fetcher"]),
    ("isolators", &["proto", "failpoint"]),
    ("network", &["failpoint", "state"]),
    ("engine", &[]),
    ("cni", &["failpoint", "state"]),
    ("containerizer", &["proto", "failpoint", "state", "isolators", "init", "testbed"]),
    ("agent", &["proto", "endpoint", "failpoint", "state", "isolators", "network", "cni", "containerizer", "engine", "fetcher", "images", "testbed"]),
    ("master", &["proto", "endpoint"]),
    ("scheduler", &["proto", "endpoint"]),
    ("oci", &["isolators", "containerizer", "init"]),
    ("selftest", &["isolators", "containerizer", "testbed"]),
    ("longshore", &["proto", "isolators", "containerizer", "engine", "fetcher", "images", "agent", "master", "scheduler", "oci", "selftest"]),
    ("crash", &["proto", "failpoint"]),
    ("tests", &["testbed"]),
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
fn unsafe_code_has_two_homes() {
    for package in packages() {
        let name = package["name"].as_str().expect("it has a name");
        let targets = package["targets"].as_array().into_iter().flatten();
        let of_the_product = |it: &&Value| it["kind"][0] == "lib" || it["kind"][0] == "bin";
        for root in targets.filter(of_the_product) {
            let path = root["src_path"].as_str().expect("it has a root");
            let text = std::fs::read_to_string(path).expect("reads");
            let wanted = match (name, path.ends_with("main.rs")) {
                // Its program is all system calls; what it is told in is not.
                ("init", true) => continue,
                // `sys` alone allows it again.
                ("containerizer", _) => "#![deny(unsafe_code)]",
                _ => "#![forbid(unsafe_code)]",
            };
            assert!(text.contains(wanted), "{path} lacks {wanted}");
        }
    }
    let allowed = Command::new("grep")
        .args([
            "-rl",
            "--include=*.rs",
            "allow(unsafe_code)",
            "../containerizer/src",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("grep starts");
    let allowed = String::from_utf8(allowed.stdout).expect("names");
    assert_eq!(allowed, "../containerizer/src/sys/mod.rs\n");
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
