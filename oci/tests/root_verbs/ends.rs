//! How containers end, and what is left of them.

use crate::support::{Bundle, cgroup_file, until};

#[test]
fn root_a_signal_reaches_all_processes_where_it_is_asked_for() {
    let bundle = Bundle::new("signals", "sleep 1000 & wait");
    bundle.run_detached();
    until("a child sleeps", || {
        bundle
            .output(&["ps", "-f", "json", &bundle.id])
            .contains(',')
    });
    // The first process of a pid namespace ends of no signal that it does not handle.
    bundle.output(&["kill", &bundle.id, "RTMIN"]);
    assert_eq!(bundle.state()["status"], "running");
    bundle.output(&["kill", "--all", &bundle.id, "RTMIN"]);
    bundle.until_status("stopped");
    // Nobody is left to be told, and that is no error for all.
    bundle.output(&["kill", "--all", &bundle.id, "TERM"]);
    bundle
        .call(&["kill", &bundle.id, "TERM"])
        .refuses("container not running");
}

#[test]
fn root_what_is_kept_of_a_container_is_its_state_and_cgroup() {
    let bundle = Bundle::new("keep", "exit 7");
    bundle.set(
        "linux/resources",
        serde_json::json!({"pids": {"limit": 20}}),
    );
    let said = bundle.call(&["run", "--keep", &bundle.id]);
    assert_eq!(said.status, Some(7), "{said:?}");
    let state = bundle.state();
    assert_eq!(
        (&state["status"], &state["pid"]),
        (&"stopped".into(), &0.into())
    );
    assert_eq!(cgroup_file(&bundle.id, "pids/pids.max", "pids.max"), "20");
    bundle.output(&["delete", &bundle.id]);
    bundle
        .call(&["state", &bundle.id])
        .refuses("does not exist");

    let said = bundle.call(&["run", &bundle.id]);
    assert_eq!(said.status, Some(7), "{said:?}");
    bundle
        .call(&["state", &bundle.id])
        .refuses("does not exist");
}
