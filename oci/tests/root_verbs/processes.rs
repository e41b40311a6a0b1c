//! `ps`.

use serde_json::Value;

use crate::support::Bundle;

#[test]
fn root_processes_are_shown_by_their_numbers_on_the_host() {
    let bundle = Bundle::new("ps", "sleep 1000 & sleep 1000");
    bundle.run_detached();
    let first = bundle.state()["pid"].clone();
    let numbers = bundle.output(&["ps", "-f", "json", &bundle.id]);
    let numbers: Vec<Value> = serde_json::from_str(&numbers).expect("numbers");
    assert!(numbers.contains(&first), "{first} of {numbers:?}");

    let table = bundle.output(&["ps", &bundle.id]);
    assert!(table.starts_with("UID "), "{table}");
    assert!(table.contains(&format!(" {first} ")), "{table}");
    let ours = std::process::id().to_string();
    assert!(!table.contains(&format!(" {ours} ")), "{table}");
    // What follows the name is for ps(1), flags and all.
    let table = bundle.output(&["ps", &bundle.id, "-e", "-o", "comm,pid"]);
    assert!(table.starts_with("COMMAND "), "{table}");

    bundle.output(&["kill", &bundle.id, "KILL"]);
    bundle.until_status("stopped");
    let table = bundle.output(&["ps", &bundle.id]);
    assert_eq!(table.lines().count(), 1, "{table}");
}
