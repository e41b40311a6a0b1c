//! `linux.memoryPolicy`.

use serde_json::json;

use crate::support::Bundle;

/// Of all of a process' memory that has none of its own. numa(7).
const POLICY: &str = "read -r _ policy _ < /proc/self/numa_maps; echo $policy";

#[test]
fn root_memory_comes_from_the_nodes_that_a_spec_names() {
    let bundle = Bundle::new("mempolicy", "sleep 1000");
    let policy = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
    bundle.set("linux/memoryPolicy", policy);
    bundle.run_detached();
    let said = bundle.output(&["exec", &bundle.id, "sh", "-c", POLICY]);
    assert_eq!(said, "bind=static:0\n");
}

#[test]
fn root_a_memory_policy_may_name_no_nodes() {
    let bundle = Bundle::new("mempolicy-none", POLICY);
    bundle.set("linux/memoryPolicy", json!({"mode": "MPOL_DEFAULT"}));
    assert_eq!(bundle.output(&["run", &bundle.id]), "default\n");
    bundle.set("linux/memoryPolicy", json!({"mode": "MPOL_LOCAL"}));
    assert_eq!(bundle.output(&["run", &bundle.id]), "local\n");
}

#[test]
fn root_a_memory_policy_that_cannot_be_is_refused() {
    let bundle = Bundle::new("mempolicy-bad", POLICY);
    bundle.set(
        "linux/memoryPolicy",
        json!({"mode": "MPOL_DEFAULT", "nodes": "0-7"}),
    );
    let said = bundle.call(&["run", &bundle.id]);
    said.refuses("mode requires 0 nodes but got 8");
}
