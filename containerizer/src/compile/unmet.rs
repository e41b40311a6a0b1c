//! What a spec may ask for and nothing here does. It is refused: a container that runs with more, or
//! less, than its spec says would be worse than none.

use std::path::Path;

use oci_spec::runtime::{Linux, Process, Spec};

use super::{Attached, CompileError, Facts, at};

pub fn refuse(
    spec: &Spec,
    linux: &Linux,
    process: &Process,
    facts: &Facts<'_>,
) -> Result<(), CompileError> {
    let Attached { hooks, console, .. } = facts.attached;
    // Then somebody has the terminal's other end.
    let stays = facts.then.supervises();
    // Without it a label says nothing.
    let selinux = (facts.lookup)(Path::new("/sys/fs/selinux/enforce")).is_some();
    let table = [
        (spec.hooks().is_some() && !hooks, "hooks", "hooks"),
        (
            process.terminal() == Some(true) && console.is_none() && !stays,
            "process.terminal",
            "a terminal",
        ),
        (
            linux.mount_label().is_some() && selinux,
            "linux.mountLabel",
            "an SELinux label of mounts",
        ),
        (linux.intel_rdt().is_some(), "linux.intelRdt", "Intel RDT"),
        (
            linux.net_devices().is_some(),
            "linux.netDevices",
            "network devices",
        ),
    ];
    refuse_labels(process)?;
    first(&table)
}

/// What a process must not be without when it is asked for, also one that joins a container.
pub fn refuse_labels(process: &Process) -> Result<(), CompileError> {
    // Programs that write specs leave one that they do not set empty.
    let asks = |label: &Option<String>| label.as_ref().is_some_and(|label| !label.is_empty());
    first(&[
        (
            asks(process.apparmor_profile()),
            "process.apparmorProfile",
            "an AppArmor profile",
        ),
        (
            asks(process.selinux_label()),
            "process.selinuxLabel",
            "an SELinux label",
        ),
    ])
}

/// Whether each is asked for, where, and what it is.
fn first(table: &[(bool, &'static str, &'static str)]) -> Result<(), CompileError> {
    match table.iter().find(|(is_asked, ..)| *is_asked) {
        Some((_, place, what)) => Err(at(*place)(CompileError::Unsupported(what))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is refused of a spec with these parts.
    fn refused(linux: Value, process: Value) -> Option<String> {
        let mut spec = json!({
            "ociVersion": "1.2.0",
            "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["x"]},
            "linux": linux,
        });
        let added = process.as_object().expect("an object").clone();
        spec["process"]
            .as_object_mut()
            .expect("one, too")
            .extend(added);
        let spec: Spec = serde_json::from_value(spec).expect("a spec");
        let (linux, process) = (spec.linux().as_ref(), spec.process().as_ref());
        let (linux, process) = (linux.expect("linux"), process.expect("a process"));
        let facts = Facts {
            cgroup_files: 0,
            cgroup: Path::new("/"),
            cgroup_v1_mounts: &[],
            staging: Path::new("/"),
            lookup: &|_path| None,
            filters: &Default::default(),
            then: init::Then::Become {},
            attached: Attached::default(),
        };
        let refused = refuse(&spec, linux, process, &facts).err();
        refused.map(|error| error.to_string())
    }

    #[test]
    fn what_is_set_is_taken() {
        let resources = json!({"resources": {"pids": {"limit": 5}, "cpu": {"cpus": "0"}}});
        assert_eq!(refused(resources, json!({})), None);
    }

    #[test]
    fn what_is_not_is_refused_by_name() {
        let unsupported = |at, what| {
            Some(format!(
                "{at}: the spec asks for {what}, which this build cannot do"
            ))
        };
        let apparmor = refused(json!({}), json!({"apparmorProfile": "p"}));
        assert_eq!(
            apparmor,
            unsupported("process.apparmorProfile", "an AppArmor profile")
        );
        let label = refused(json!({}), json!({"selinuxLabel": "l"}));
        assert_eq!(
            label,
            unsupported("process.selinuxLabel", "an SELinux label")
        );
        let terminal = refused(json!({}), json!({"terminal": true}));
        assert_eq!(terminal, unsupported("process.terminal", "a terminal"));
        // Without SELinux one of mounts says nothing.
        assert_eq!(refused(json!({"mountLabel": "l"}), json!({})), None);
    }
}
