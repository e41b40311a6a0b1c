//! What the container's file system is made of, in the order of making it.

use std::collections::BTreeSet;
use std::path::Path;

use init::mount_attributes::RDONLY;
use init::{Attributes, Source, Step, Terminal};
use oci_spec::runtime::{Linux, LinuxNamespaceType, Process, Spec};

use super::mounts::Plan;
use super::overlay::OfRoot;
use super::texts::from_root;
use super::view::Kind;
use super::{
    CompileError, Console, Facts, Lines, Numbers, at, devices, hooks, namespaces, overlay, sysctls,
    text,
};

pub struct FileSystem {
    /// Takes hold of what is the host's.
    pub sources: Vec<Step>,
    /// In the container's namespaces.
    pub steps: Vec<Step>,
}

pub fn plan(
    spec: &Spec,
    linux: &Linux,
    facts: &Facts<'_>,
    numbers: &Numbers,
) -> Result<FileSystem, CompileError> {
    let root = spec.root().as_ref().ok_or(CompileError::Missing("root"))?;
    let propagation = propagation(linux.rootfs_propagation().as_deref())?;
    let host_root = root.path() == Path::new("/");
    let own_mounts = namespaces::has_new(linux, LinuxNamespaceType::Mount);
    let cwd = spec
        .process()
        .as_ref()
        .map_or(Path::new("/"), |process| process.cwd());
    let own = if host_root { cwd } else { Path::new("/") };
    let mut plan = Plan::new(facts, (spec, linux), (root.path(), own), propagation);
    if !host_root && (facts.lookup)(root.path()) != Some(Kind::Directory) {
        return Err(CompileError::NoRoot(root.path().clone()));
    }
    let of_root = overlay::of_root(spec);
    let idmap = match of_root {
        Some(of_root) => plan
            .idmap(of_root.mount(), Path::new("/"))
            .map_err(at("mounts[0]"))?,
        None => None,
    };
    let layers = match of_root {
        Some(OfRoot::Layers(mount)) => Some(mount),
        Some(OfRoot::Idmapped(_)) | None => None,
    };
    if !host_root && layers.is_none() {
        plan.sources.push(Source {
            path: text("root", root.path())?,
            // What is mounted below may be of a kind that cannot be idmapped.
            recursive: idmap.is_none(),
            propagation: propagation.before & !libc::MS_REC,
            idmap,
        });
    }
    let mounts = spec.mounts().iter().flatten().enumerate();
    for (n, mount) in mounts.skip(of_root.iter().len()) {
        plan.mount(mount).map_err(at(format!("mounts[{n}]")))?;
    }
    let opened = plan.sources.len() as u32;
    let owners = idmap.map(|idmap| plan.owners(idmap)).transpose()?;
    let open_overlay = layers.map(|mount| overlay::open(mount, owners));
    let open_overlay = open_overlay.transpose().map_err(at("mounts[0]"))?;
    let new_root = match host_root {
        true => None,
        false => {
            let path = text("root", root.path())?;
            let on = match numbers.cradle {
                Some(_) => "/".to_owned(),
                None => path.clone(),
            };
            Some(Step::NewRoot {
                path,
                source: open_overlay.as_ref().map_or(0, |_| opened),
                on,
                shared: !own_mounts,
            })
        }
    };
    let own = match host_root && cwd != Path::new("/") {
        true => Some(text("working directory", cwd)?),
        false => None,
    };
    let has_sources = !plan.sources.is_empty() || !plan.maps.is_empty();
    let sources = Step::OpenSources {
        sources: plan.sources,
        own,
        maps: plan.maps,
    };
    let mut steps = Vec::new();
    match numbers.cradle {
        Some(namespace) => steps.push(Step::Cradle { namespace }),
        None if own_mounts => steps.push(Step::Propagation {
            path: "/".to_owned(),
            flags: propagation.before,
        }),
        None => {}
    }
    if let Some(new_root) = new_root {
        steps.push(new_root);
    } else if plan.mirror_root {
        steps.push(Step::MirrorRoot {
            staging: text("staging directory", facts.staging)?,
        });
    }
    steps.extend(plan.steps);
    if !host_root {
        steps.extend(devices::steps(spec, linux)?);
        steps.push(Step::MakeDir {
            path: text("working directory", cwd)?,
            base: None,
            mode: 0o755,
        });
    }
    steps.extend(hooks::steps(spec));
    let mut masked = BTreeSet::new();
    for path in linux.masked_paths().iter().flatten() {
        let path = from_root(path);
        if masked.insert(path.clone()) {
            steps.push(Step::Mask { path });
        }
    }
    if !host_root || plan.mirror_root {
        steps.push(match own_mounts && numbers.cradle.is_none() {
            true => Step::PivotRoot {},
            false => Step::ChangeRoot {},
        });
    }
    if let (Some(wanted), Some(process)) = (numbers.console, spec.process()) {
        // Nothing is shown in the host's own /dev.
        steps.push(console(process, wanted, !host_root));
    }
    if let Some(flags) = propagation.after {
        steps.push(Step::Propagation {
            path: "/".to_owned(),
            flags,
        });
    }
    steps.extend(sysctls::steps(linux)?);
    steps.extend(plan.sealed.into_iter().map(|target| Step::Remount {
        target,
        top: Attributes {
            set: RDONLY,
            clear: 0,
        },
        all: Attributes::default(),
    }));
    for path in linux.readonly_paths().iter().flatten() {
        steps.push(Step::ReadOnly {
            path: from_root(path),
            recursive: true,
        });
    }
    if root.readonly() == Some(true) {
        steps.push(Step::ReadOnlyRoot {});
    }
    Ok(FileSystem {
        sources: has_sources
            .then_some(sources)
            .into_iter()
            .chain(open_overlay)
            .collect(),
        steps,
    })
}

/// `shown`: at /dev/console.
pub fn console(process: &Process, console: Console, shown: bool) -> Step {
    // More than fits is no size that a terminal has.
    let small = |n: u64| u16::try_from(n).ok();
    let size = process.console_size();
    Step::Console {
        socket: console.socket,
        terminal: Terminal {
            size: size.and_then(|size| Some((small(size.height())?, small(size.width())?))),
            uid: process.user().uid(),
            shown,
            plain: console.lines == Lines::Plain,
        },
    }
}

/// How mounts travel between container and host: mount(2) flags.
#[derive(Clone, Copy)]
pub struct Propagation {
    /// While the container's mounts are made, all of them stay in the container.
    pub before: u64,
    /// What its root becomes at the end.
    after: Option<u64>,
    /// Volumes that are shared may be so with the host.
    pub shares: bool,
}

fn propagation(wanted: Option<&str>) -> Result<Propagation, CompileError> {
    const SLAVE: u64 = libc::MS_SLAVE | libc::MS_REC;
    const PRIVATE: u64 = libc::MS_PRIVATE | libc::MS_REC;
    let (before, after) = match wanted {
        None | Some("" | "slave" | "rslave") => (SLAVE, None),
        Some("private" | "rprivate") => (PRIVATE, None),
        Some("shared") => (SLAVE, Some(libc::MS_SHARED)),
        Some("rshared") => (SLAVE, Some(libc::MS_SHARED | libc::MS_REC)),
        Some("unbindable") => (SLAVE, Some(libc::MS_UNBINDABLE)),
        Some("runbindable") => (SLAVE, Some(libc::MS_UNBINDABLE | libc::MS_REC)),
        Some(other) => return Err(CompileError::UnknownPropagation(other.to_owned())),
    };
    Ok(Propagation {
        before,
        after,
        shares: after.is_some_and(|flags| flags & libc::MS_SHARED != 0),
    })
}

#[cfg(test)]
mod tests {
    use init::{Origin, Then};
    use serde_json::{Value, json};

    use super::*;
    use crate::compile::{Attached, Filters};

    fn file_system(patch: &Value) -> Result<FileSystem, String> {
        let mut spec = json!({
            "ociVersion": "1.2.0",
            "root": {"path": "/rootfs", "readonly": true},
            "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/work", "args": ["x"]},
            "mounts": [
                {"destination": "/dev", "type": "tmpfs", "options": ["ro"]},
                {"destination": "/data", "type": "bind", "source": "/data"},
            ],
            "linux": {
                "maskedPaths": ["/proc/kcore", "/proc/kcore"],
                "readonlyPaths": ["/proc/sys"],
                "sysctl": {"net.ipv4.ip_forward": "1"},
                "namespaces": [{"type": "mount"}, {"type": "network"}],
            },
        });
        for (key, value) in patch.as_object().expect("an object") {
            spec[key] = value.clone();
        }
        let spec: Spec = serde_json::from_value(spec).expect("a spec");
        let linux = spec.linux().as_ref().expect("a linux section");
        let facts = Facts {
            cgroup_files: 0,
            cgroup: Path::new("/"),
            cgroup_v1_mounts: &[],
            staging: Path::new("/"),
            lookup: &|path| (path != Path::new("/nowhere")).then_some(Kind::Directory),
            filters: &Filters::default(),
            then: Then::Become {},
            attached: Attached::default(),
        };
        let numbers = facts.attached.numbers(0);
        plan(&spec, linux, &facts, &numbers).map_err(|error| error.to_string())
    }

    /// The names of the steps, in order, and how much of the host they take hold of beforehand.
    fn planned(patch: &Value) -> Result<(Vec<String>, usize), String> {
        let plan = file_system(patch)?;
        let Some(Step::OpenSources { sources, .. }) = plan.sources.into_iter().next() else {
            return Err("no sources".to_owned());
        };
        let name = |step: &Step| {
            let shown = format!("{step:?}");
            shown.split(' ').next().unwrap_or_default().to_owned()
        };
        Ok((plan.steps.iter().map(name).collect(), sources.len()))
    }

    #[test]
    fn what_is_made_is_made_before_it_is_closed_and_masks_come_from_the_host() {
        let (mut steps, sources) = planned(&json!({})).expect("plans");
        // The root.
        assert_eq!(sources, 1);
        assert_eq!(steps.iter().filter(|step| *step == "Mask").count(), 1);
        steps.dedup();
        let expected = "Propagation NewRoot MakeDir Mount MakeDir Bind Device Symlink MakeDir Mask \
                        PivotRoot Sysctl Remount ReadOnly ReadOnlyRoot";
        assert_eq!(steps.join(" "), expected);
    }

    /// For each bind: where from, and what.
    fn binds(patch: &Value) -> Vec<String> {
        let plan = file_system(patch).expect("plans");
        let Some(Step::OpenSources { sources, .. }) = plan.sources.into_iter().next() else {
            return vec![];
        };
        let origins = plan.steps.iter().filter_map(|step| match step {
            Step::Bind { origin, .. } => Some(origin),
            _ => None,
        });
        let shown = |origin: &Origin| match origin {
            Origin::Opened { source } => format!("opened {}", sources[*source as usize].path),
            Origin::Host { source } => format!("host {}", source.path),
            Origin::Root { source } => format!("root {}", source.path),
        };
        origins.map(shown).collect()
    }

    #[test]
    fn what_is_bound_is_found_at_its_turn_unless_our_mounts_or_the_lack_of_rights_would_hide_it() {
        let bind = |source: &str, option: &str| {
            json!({
                "destination": format!("/to{source}"), "type": "bind", "source": source,
                "options": ["rbind", option],
            })
        };
        let list = json!([
            bind("/data", "rw"),
            bind("/rootfs/to", "rw"),
            bind("/shared", "rshared")
        ]);
        let namespaces = |user: &[&str]| {
            let kinds = ["mount", "network"].iter().chain(user);
            let list: Vec<_> = kinds.map(|kind| json!({"type": kind})).collect();
            json!({"namespaces": list, "rootfsPropagation": "shared"})
        };
        let alone = json!({"mounts": list, "linux": namespaces(&[])});
        assert_eq!(binds(&alone), ["host /data", "root /to", "opened /shared"]);
        let user = json!({"mounts": list, "linux": namespaces(&["user"])});
        assert_eq!(binds(&user), ["opened /data", "root /to", "opened /shared"]);
        let of_host = json!({"mounts": list, "root": {"path": "/"}, "linux": namespaces(&[])});
        assert_eq!(
            binds(&of_host),
            ["opened /data", "opened /rootfs/to", "opened /shared"]
        );
    }

    #[test]
    fn a_mount_point_may_be_named_as_the_host_sees_it() {
        let mount = json!({"destination": "/rootfs/a/b", "type": "tmpfs", "source": "tmpfs"});
        let plan = file_system(&json!({"mounts": [mount]})).expect("plans");
        let on = |step: &Step| matches!(step, Step::Mount { mount } if mount.target == "/a/b");
        assert!(plan.steps.iter().any(on));
    }

    #[test]
    fn what_cannot_be_a_containers_root_or_mount_is_refused() {
        for (patch, why) in [
            (
                json!({"root": {"path": "/nowhere"}}),
                "root.path: /nowhere is no directory of the host",
            ),
            (
                json!({"mounts": [{"destination": "/", "type": "tmpfs"}]}),
                "mounts[0]: mount on /: it would hide the container's root, and stay hidden itself",
            ),
            (
                json!({"mounts": [{"destination": "/a/../b", "type": "tmpfs"}]}),
                "mounts[0]: mount on /a/../b: the destination must be a path without '..'",
            ),
            (
                json!({"mounts": [{"destination": "/proc/self", "type": "tmpfs"}]}),
                "mounts[0]: mount on /proc/self: a container's /proc shows what the kernel says; mount it elsewhere",
            ),
        ] {
            assert_eq!(planned(&patch).expect_err("refused"), why);
        }
    }

    #[test]
    fn a_root_propagates_at_the_end_as_asked_and_until_then_nothing_leaves_the_container() {
        for (asked, after) in [
            (None, None),
            (Some("rslave"), None),
            (Some("shared"), Some(libc::MS_SHARED)),
            (
                Some("runbindable"),
                Some(libc::MS_UNBINDABLE | libc::MS_REC),
            ),
        ] {
            let found = propagation(asked).expect("known");
            assert_eq!(found.after, after, "{asked:?}");
            assert_eq!(found.before & libc::MS_SHARED, 0);
        }
    }
}
