//! `volume/host_path`: files and directories of the host at other places of the container.

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{Mount, MountBuilder};

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::{Access, Request, Volume};

pub(crate) struct Volumes;

impl Isolator for Volumes {
    fn name(&self) -> &'static str {
        "volume/host_path"
    }

    fn plan(&self, request: &Request, host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        for volume in &request.volumes {
            if !volume.source.is_absolute() {
                return Err(PlanError::RelativeVolumeSource(volume.source.clone()));
            }
            let sandbox = request.sandbox_inside();
            let target = target(volume, sandbox)?;
            check_target(&target)?;
            let over_sandbox = sandbox.starts_with(&target);
            if over_sandbox && (target != volume.source || request.root.is_some()) {
                let sandbox = sandbox.to_owned();
                return Err(PlanError::HidesSandbox { target, sandbox });
            }
            let access = volume.access;
            spec.mounts
                .push(bind(&volume.source, &target, access, request)?);
            // What is hidden of the host stays so where a volume shows it again.
            let again = host.hidden.iter().filter_map(|hidden| {
                let inside = Path::new(hidden).strip_prefix(&volume.source).ok()?;
                let shown: PathBuf = target.join(inside).components().collect();
                shown.into_os_string().into_string().ok()
            });
            spec.masked_paths.extend(again);
            if over_sandbox && volume.access == Access::ReadOnly {
                // The same files at the same place, but the task's own stay its own.
                let sandbox = &request.sandbox;
                let access = Access::ReadWrite;
                spec.mounts.push(bind(sandbox, sandbox, access, request)?);
            }
        }
        Ok(())
    }
}

/// What every container has there is not hidden.
pub(crate) fn check_target(target: &Path) -> Result<(), PlanError> {
    let kernels = ["/proc", "/sys"]
        .into_iter()
        .any(|top| target.starts_with(top));
    match kernels || target == Path::new("/dev") || target == Path::new("/") {
        true => Err(PlanError::ReservedTarget(target.to_owned())),
        false => Ok(()),
    }
}

/// Files keep their owners on the host, and the container sees them as its own ids. Not those of file
/// systems mounted below, of which some kinds cannot do that: they belong to nobody there.
pub(crate) fn bind(
    source: &Path,
    target: &Path,
    access: Access,
    request: &Request,
) -> Result<Mount, PlanError> {
    let owners = request.user_namespace.map(|_own| "idmap");
    let access = match access {
        // Recursively: a file system mounted below the source must not stay writable.
        Access::ReadOnly => "rro",
        Access::ReadWrite => "rw",
    };
    let mount = MountBuilder::default()
        .destination(target)
        .typ("bind")
        .source(source)
        .options(
            (["rbind", access].into_iter().chain(owners))
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        );
    Ok(mount.build()?)
}

/// A relative target lies in the sandbox.
fn target(volume: &Volume, sandbox: &Path) -> Result<PathBuf, PlanError> {
    if volume
        .target
        .components()
        .any(|part| part == Component::ParentDir)
    {
        return Err(PlanError::VolumeTargetLeaves(volume.target.clone()));
    }
    Ok(sandbox.join(&volume.target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::Version;
    use crate::isolator::plan;
    use crate::isolator::tests::{host, request};

    fn planned(
        source: &str,
        target: &str,
        access: Access,
    ) -> Result<(String, Vec<String>), String> {
        let volume = Volume {
            source: source.into(),
            target: target.into(),
            access,
        };
        let request = Request {
            volumes: vec![volume],
            ..request()
        };
        let spec = plan(&request, &host(Version::V2)).map_err(|e| e.to_string())?;
        let mount = spec
            .mounts()
            .as_ref()
            .and_then(|m| m.last())
            .cloned()
            .expect("a mount");
        let options = mount.options().clone().unwrap_or_default();
        Ok((mount.destination().display().to_string(), options))
    }

    #[test]
    fn a_read_only_volume_is_read_only_all_the_way_down() {
        let (to, options) = planned("/a", "/b", Access::ReadOnly).expect("plans");
        assert_eq!(
            (to.as_str(), options),
            ("/b", vec!["rbind".to_owned(), "rro".to_owned()])
        );
    }

    #[test]
    fn a_volume_does_not_show_what_is_hidden() {
        let shown = |source: &str| {
            let volume = Volume {
                source: source.into(),
                target: "/mnt".into(),
                access: Access::ReadWrite,
            };
            let request = Request {
                volumes: vec![volume],
                ..request()
            };
            let spec = plan(&request, &host(Version::V2)).expect("plans");
            let linux = spec.linux().clone().expect("a linux section");
            let masked = linux.masked_paths().clone().unwrap_or_default();
            masked.into_iter().find(|path| path.starts_with("/mnt"))
        };
        assert_eq!(shown("/").as_deref(), Some("/mnt/run/agent"));
        assert_eq!(shown("/run").as_deref(), Some("/mnt/agent"));
        assert_eq!(shown("/run/agent").as_deref(), Some("/mnt"));
        assert_eq!(shown("/run/agent2"), None);
    }

    #[test]
    fn a_relative_target_lies_in_the_sandbox() {
        let (to, _) = planned("/a", "data/x", Access::ReadWrite).expect("plans");
        assert_eq!(to, "/sandbox/data/x");
    }

    #[test]
    fn a_volume_may_not_hide_the_sandbox() {
        let error = planned("/data", "/sandbox", Access::ReadWrite).expect_err("refused");
        assert_eq!(
            error,
            "volume target /sandbox would hide the task's sandbox /sandbox: mount it elsewhere, or give the \
             agent another --work_dir"
        );
    }

    #[test]
    fn a_read_only_view_of_what_holds_the_sandbox_leaves_the_sandbox_writable() {
        let (to, options) = planned("/sandbox", "/sandbox", Access::ReadOnly).expect("plans");
        assert_eq!(
            (to.as_str(), options),
            ("/sandbox", vec!["rbind".to_owned(), "rw".to_owned()])
        );
    }

    #[test]
    fn a_target_with_parent_components_is_refused() {
        let error = planned("/a", "../x", Access::ReadWrite).expect_err("refused");
        assert_eq!(error, "volume target ../x: it must not contain '..'");
    }

    #[test]
    fn what_is_the_kernels_or_the_root_is_no_place_for_a_volume() {
        for reserved in ["/", "/dev", "/proc", "/proc/self", "/sys/fs"] {
            let error = planned("/data", reserved, Access::ReadOnly).expect_err("refused");
            assert!(error.contains("is taken in every container"), "{error}");
        }
        assert!(planned("/data", "/dev/mine", Access::ReadOnly).is_ok());
    }

    #[test]
    fn a_relative_source_is_refused() {
        let error = planned("a", "/x", Access::ReadWrite).expect_err("refused");
        assert_eq!(error, "volume a: the path on the host must be absolute");
    }
}
