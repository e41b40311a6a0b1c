//! Namespaces that are joined, and clocks.

use std::fs;

use serde_json::json;

use crate::support::{Bundle, Namespace};

#[tokio::test]
async fn root_clocks_run_with_the_offsets_asked_for() {
    let bundle = Bundle::new("time");
    let mut spec = json!({"linux": {"timeOffsets": {
        "boottime": {"secs": 1_000_000, "nanosecs": 5},
        "monotonic": {"secs": 86400},
    }}});
    let kinds = ["pid", "mount", "time"];
    spec["linux"]["namespaces"] = json!(kinds.map(|kind| json!({"type": kind})));
    let script = "tr -s ' ' </proc/self/timens_offsets; cut -d. -f1 /proc/uptime; \
                  readlink /proc/self/ns/time";
    let output = bundle.output(spec, script).await;
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(
        lines[..2],
        ["monotonic 86400 0", "boottime 1000000 5"],
        "{output}"
    );
    let uptime: u64 = lines[2].parse().expect("a number");
    assert!(uptime >= 1_000_000, "{output}");
    let ours = fs::read_link("/proc/self/ns/time").expect("reads");
    assert_ne!(Some(lines[3]), ours.to_str());
}

#[tokio::test]
async fn root_a_pid_namespace_is_joined_by_a_child_that_becomes_the_command() {
    let bundle = Bundle::new("pid");
    let other = Namespace::new(&["-p", "-i"]);
    let spec = json!({"linux": {"namespaces": [
        {"type": "mount"},
        {"type": "pid", "path": other.path("pid_for_children")},
        {"type": "ipc", "path": other.path("ipc")},
    ]}});
    let theirs = |kind: &str| fs::read_link(other.path(kind)).expect("reads");
    let script =
        "for ns in pid ipc; do readlink /proc/self/ns/$ns; done; cat /proc/1/comm; [ $$ != 1 ]";
    let expected = format!(
        "{}\n{}\nsh",
        theirs("pid_for_children").display(),
        theirs("ipc").display()
    );
    let spec = bundle.spec(spec, script);
    assert_eq!(bundle.output_as_the_command(spec).await, expected);
}

#[tokio::test]
async fn root_a_process_that_watches_over_another_needs_a_pid_namespace() {
    let bundle = Bundle::new("watch");
    let other = Namespace::new(&["-p"]);
    let spec = json!({"linux": {"namespaces": [
        {"type": "mount"}, {"type": "pid", "path": other.path("pid_for_children")},
    ]}});
    assert_eq!(
        bundle.refusal(spec).await,
        "linux.namespaces: the spec asks for a supervised command in a pid namespace that is neither its \
         own nor the host's, which this build cannot do"
    );
}
