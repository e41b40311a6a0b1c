//! What an audit of a node, whose agent has its cgroups where the containers are, says of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use containerizer::audit::{Difference, Keeper, Remedy, RepairError, Scope, differences, repair};
use serde_json::json;

use crate::support::Bundle;

struct Subtree(String);

impl Subtree {
    fn scope(&self, bundle: &Bundle) -> Scope {
        Scope {
            runtime_dir: bundle.path("run"),
            cgroups_hierarchy: "/sys/fs/cgroup".into(),
            cgroups_root: self.0.clone(),
            directories: vec![],
            oci_root: bundle.path("state"),
        }
    }

    /// Links are those of other tests' agents.
    fn differences(&self, bundle: &Bundle) -> Vec<Difference> {
        // A sandbox of that name is there: the agent would take the cgroup for its own.
        let known = BTreeSet::from([bundle.id.clone()]);
        let found = differences(&self.scope(bundle), known, Keeper::Next(BTreeSet::new()));
        let mut found = found.expect("looks");
        found.retain(|it| !matches!(it, Difference::Link(_)));
        found
    }
}

impl Drop for Subtree {
    fn drop(&mut self) {
        let top = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(top).into_iter().flatten().flatten();
        for hierarchy in hierarchies.map(|it| it.path()).chain([top.to_owned()]) {
            // In most it is not.
            let _ = fs::remove_dir(hierarchy.join(&self.0));
        }
    }
}

fn only(found: &[Difference]) -> &Difference {
    match found {
        [one] => one,
        other => panic!("{other:?}"),
    }
}

#[test]
fn root_an_audit_knows_what_lives_and_explains_what_has_ended_and_repairs_neither() {
    let subtree = Subtree(format!("longshore-test-{}-subtree", std::process::id()));
    let bundle = Bundle::new("audited", "sleep 1000");
    let place = format!("/{}/{}", subtree.0, bundle.id);
    bundle.set("linux/cgroupsPath", json!(place));
    bundle.run_detached();
    assert_eq!(subtree.differences(&bundle), []);

    bundle.output(&["kill", &bundle.id, "KILL"]);
    bundle.until_status("stopped");
    let found = subtree.differences(&bundle);
    let ended = only(&found);
    assert_eq!(ended.kind(), "oci container");
    let why = ended.why();
    assert!(why.contains("its cgroup is there, and empty"), "{why}");
    let root = bundle.path("state");
    let delete = format!(
        "longshore oci --root {} delete {}",
        root.display(),
        bundle.id
    );
    assert_eq!(ended.remedy(), Remedy::Advice(delete));
    let refused = repair(&subtree.scope(&bundle), ended);
    assert!(matches!(refused, Err(RepairError::NotOurs)), "{refused:?}");
    assert_eq!(bundle.state()["status"], "stopped");

    bundle.output(&["delete", &bundle.id]);
    assert_eq!(subtree.differences(&bundle), []);
    // As a call that was killed leaves it.
    fs::create_dir(root.join(&bundle.id)).expect("a directory");
    let found = subtree.differences(&bundle);
    let why = only(&found).why();
    assert!(why.contains("cut off before it had a process"), "{why}");
    bundle.output(&["delete", "--force", &bundle.id]);
    assert_eq!(subtree.differences(&bundle), []);
}
