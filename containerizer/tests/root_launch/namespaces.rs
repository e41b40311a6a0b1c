//! Which namespaces of a container are its own.

use std::fs;

use crate::support::Host;

#[tokio::test]
async fn root_all_namespaces_but_that_of_the_network_are_the_containers_own() {
    let host = Host::new("own");
    let script = "cd /proc/self/ns && for ns in cgroup ipc mnt pid uts net; do readlink $ns; done";
    let output = host.output(&host.request(script)).await;
    let kinds = ["cgroup", "ipc", "mnt", "pid", "uts", "net"];
    assert_eq!(output.lines().count(), kinds.len(), "{output}");
    for (kind, inside) in kinds.into_iter().zip(output.lines()) {
        let outside = fs::read_link(format!("/proc/self/ns/{kind}")).expect("reads");
        let outside = outside.to_str().expect("utf-8");
        assert!(inside.starts_with(&format!("{kind}:[")), "{output}");
        assert_eq!(inside == outside, kind == "net", "{inside}, {outside}");
    }
    host.finish();
}
