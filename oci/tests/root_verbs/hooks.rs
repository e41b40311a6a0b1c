//! Hooks that run in the container.

use serde_json::json;

use crate::support::Bundle;

#[test]
fn root_hooks_in_the_container_run_under_its_filter_with_its_rights() {
    let bundle = Bundle::new("hookfilter", "echo command");
    let hook =
        |words: &[&str]| json!({"startContainer": [{"path": "/bin/busybox", "args": words}]});
    bundle.set(
        "linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}],
        }),
    );
    bundle.set(
        "process/rlimits",
        json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]),
    );
    bundle.set("hooks", hook(&["busybox", "mkdir", "/tmp/made"]));
    bundle
        .call(&["run", &bundle.id])
        .refuses("error running startContainer hook #0: signal: bad system call");

    bundle.set(
        "process/capabilities",
        json!({"bounding": [], "effective": [], "permitted": []}),
    );
    let rights = "test $(grep -c '^Cap.*:.0*$' /proc/self/status) = 5";
    bundle.set("hooks", hook(&["busybox", "sh", "-c", rights]));
    assert_eq!(bundle.output(&["run", &bundle.id]), "command\n");
}
