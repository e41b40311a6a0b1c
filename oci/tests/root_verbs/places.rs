//! `exec --cgroup`.

use serde_json::json;

use crate::support::{Bundle, cgroup_directory};

/// As the kernel tells of one hierarchy that limits memory.
fn place(bundle: &Bundle, words: &[&str]) -> String {
    let command = ["cat", "/proc/self/cgroup"];
    let words = [&["exec"], words, &[bundle.id.as_str()], &command].concat();
    let said = bundle.output(&words);
    let of_memory = |line: &&str| line.contains(":memory:") || line.starts_with("0::");
    let line = said.lines().find(of_memory).unwrap_or_default();
    line.rsplit(':').next().unwrap_or_default().to_owned()
}

#[test]
fn root_exec_joins_the_cgroup_that_is_named() {
    let bundle = Bundle::new("places", "sleep 1000");
    bundle.set(
        "linux/namespaces",
        json!([{"type": "pid"}, {"type": "mount"}, {"type": "uts"}]),
    );
    bundle.run_detached();
    let own = format!("/{}", bundle.id);
    assert_eq!(place(&bundle, &[]), own);
    assert_eq!(place(&bundle, &["--cgroup", "/"]), own);

    let failed = |place: &str, words: &str| {
        let said = bundle.call(&["exec", "--cgroup", place, &bundle.id, "true"]);
        assert_eq!(said.status, Some(255), "{said:?}");
        said.refuses(words);
    };
    failed("..", "bad sub cgroup path");
    failed("a/../..", "bad sub cgroup path");
    failed("nowhere", "adding pid to cgroups");
    failed("nowhere", "No such file");
    failed("whaaat:/", "unknown controller whaaat");

    std::fs::create_dir(cgroup_directory(&bundle.id, "memory").join("sub")).expect("makes one");
    let named = match cgroup_directory("", "memory").ends_with("memory") {
        true => "memory:sub",
        false => "sub",
    };
    assert_eq!(place(&bundle, &["--cgroup", named]), format!("{own}/sub"));
}
