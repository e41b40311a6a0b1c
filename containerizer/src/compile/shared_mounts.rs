//! A container in a mount namespace that is others', too: the host's, or one that it joins. What is
//! mounted for it others see, and its root is a directory below theirs.

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxNamespaceType, Spec};

use super::{CompileError, Facts, namespaces};

/// Whether the rest of the spec makes sense then.
pub fn check(spec: &Spec, linux: &Linux, facts: &Facts<'_>) -> Result<(), CompileError> {
    let of_host = !namespaces::has(linux, LinuxNamespaceType::Mount);
    if !facts.attached.engine {
        return Err(CompileError::Unsupported(match of_host {
            true => "the host's mount namespace",
            false => "joining a mount namespace",
        }));
    }
    let root = spec.root().as_ref().map(|root| root.path().as_path());
    let needs = [
        (
            root == Some(Path::new("/")),
            "the host's root as the container's",
        ),
        (
            of_host && namespaces::has(linux, LinuxNamespaceType::User),
            "a user namespace",
        ),
    ];
    match needs.into_iter().find(|(is_asked, _)| *is_asked) {
        None => Ok(()),
        Some((_, what)) => Err(CompileError::NeedsNamespace {
            what: what.to_owned(),
            namespace: "mount",
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::compile::{Attached, Filters};
    use init::Then;

    fn checked(root: &str, namespaces: &[Value], engine: bool) -> Result<(), String> {
        let spec = json!({
            "ociVersion": "1.2.0", "root": {"path": root}, "linux": {"namespaces": namespaces},
        });
        let spec: Spec = serde_json::from_value(spec).expect("a spec");
        let facts = Facts {
            cgroup_files: 0,
            cgroup: Path::new("/"),
            cgroup_v1_mounts: &[],
            staging: Path::new("/"),
            lookup: &|_path| None,
            filters: &Filters::default(),
            then: Then::Become {},
            attached: Attached {
                engine,
                ..Attached::default()
            },
        };
        let linux = spec.linux().as_ref().expect("a linux section");
        check(&spec, linux, &facts).map_err(|error| error.to_string())
    }

    #[test]
    fn what_makes_no_sense_in_a_mount_namespace_of_others_is_refused() {
        let joined = json!({"type": "mount", "path": "/proc/1/ns/mnt"});
        let user = json!({"type": "user"});
        let refused = |what: &str| {
            Err(format!(
                "{what} needs a mount namespace of the container's own"
            ))
        };
        assert_eq!(checked("/rootfs", &[], true), Ok(()));
        assert_eq!(
            checked("/rootfs", &[joined.clone(), user.clone()], true),
            Ok(())
        );
        assert_eq!(
            checked("/", &[joined], true),
            refused("the host's root as the container's")
        );
        assert_eq!(
            checked("/rootfs", &[user], true),
            refused("a user namespace")
        );
        let task = checked("/rootfs", &[], false).expect_err("refused");
        assert!(task.contains("the host's mount namespace"), "{task}");
    }
}
