//! `ps`, and processes that would not be seen.

use serde_json::Value;

use crate::support::{Bundle, until};

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

/// A container that is taken for stopped is deleted, and its command would be killed or left alone with that.
#[test]
fn root_no_name_of_a_process_makes_it_look_ended() {
    let rename = "printf 'a\\377) Z' >/proc/$$/comm; sleep 1000; true";
    let bundle = Bundle::new("name", rename);
    bundle.run_detached();
    let name = format!("/proc/{}/comm", bundle.state()["pid"]);
    until("it has another name", || {
        std::fs::read(&name).is_ok_and(|name| name.starts_with(b"a\xff) Z"))
    });
    bundle.until_status("running");
    bundle
        .call(&["delete", &bundle.id])
        .refuses("that is not stopped: running");
    bundle.output(&["kill", &bundle.id, "KILL"]);
    bundle.until_status("stopped");
}
