//! Namespaces: which come with the clone, which are entered by the new process itself.

use std::path::Path;

use init::{IdMap, Maps, Step};
use isolators::PidNamespace;
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespace, LinuxNamespaceType, Spec};

use super::{CompileError, at, options, text};

/// clone3(2) flags for the namespaces that a new process is born in.
///
/// None where that process forks into them itself. Not the cgroup namespace: it begins where its first
/// process is when it is made, and on cgroup v1 that process enters its cgroups only after the clone.
/// Nor the time namespace, whose clocks are set before anyone is in it.
pub fn clone_flags(spec: &Spec) -> u64 {
    match spec.linux() {
        Some(linux) if !forks(spec, linux) => {
            new(linux) & !(flag(LinuxNamespaceType::Cgroup) | flag(LinuxNamespaceType::Time))
        }
        _ => 0,
    }
}

/// Whether something must be done with the host's rights, or before a fork: user namespaces take away
/// the first, and a pid namespace is joined by children only.
pub fn forks(spec: &Spec, linux: &Linux) -> bool {
    has(linux, LinuxNamespaceType::User)
        || joins(linux, LinuxNamespaceType::Pid)
        || spec.mounts().iter().flatten().any(options::is_idmapped)
}

/// One that is joined goes on like the host's when the container has ended.
pub fn pids(spec: &Spec) -> PidNamespace {
    let linux = spec.linux().as_ref();
    let own = linux.is_some_and(|linux| has_new(linux, LinuxNamespaceType::Pid));
    match own {
        true => PidNamespace::Own,
        false => PidNamespace::Hosts,
    }
}

/// Nobody else's.
pub fn has_own_mounts(spec: &Spec) -> bool {
    let linux = spec.linux().as_ref();
    linux.is_some_and(|linux| has_new(linux, LinuxNamespaceType::Mount))
}

/// Flags of those that are not joined.
fn new(linux: &Linux) -> u64 {
    let new = list(linux)
        .iter()
        .filter(|namespace| joined(namespace).is_none());
    new.fold(0, |flags, namespace| flags | flag(namespace.typ()))
}

/// setns(2) flags for all that a container has of its own.
pub fn own(linux: &Linux) -> u32 {
    let flags = list(linux).iter().map(|namespace| flag(namespace.typ()));
    flags.fold(0, |flags, flag| flags | flag) as u32
}

pub fn has(linux: &Linux, kind: LinuxNamespaceType) -> bool {
    list(linux).iter().any(|namespace| namespace.typ() == kind)
}

pub fn joins(linux: &Linux, kind: LinuxNamespaceType) -> bool {
    has(linux, kind) && !has_new(linux, kind)
}

/// Made for the container, not joined.
pub fn has_new(linux: &Linux, kind: LinuxNamespaceType) -> bool {
    new(linux) & flag(kind) != 0
}

/// Whether a container of this spec may get a network namespace that was made ahead.
pub fn takes_network(spec: &Spec) -> bool {
    clone_flags(spec) & flag(LinuxNamespaceType::Network) != 0
}

/// The same of an ipc namespace.
pub fn takes_ipc(spec: &Spec) -> bool {
    clone_flags(spec) & flag(LinuxNamespaceType::Ipc) != 0
}

/// `network`, `ipc`: the descriptors of those that were made ahead.
pub fn steps(
    spec: &Spec,
    linux: &Linux,
    network: Option<u32>,
    ipc: Option<u32>,
) -> Result<Vec<Step>, CompileError> {
    check(linux)?;
    let maps = maps(linux)?;
    let mut steps = Vec::new();
    if has_new(linux, LinuxNamespaceType::Time) {
        let offsets = time_offsets(linux)?;
        steps.push(Step::TimeNamespace { offsets });
    }
    let mut in_turn: Vec<_> = list(linux).iter().collect();
    in_turn.sort_by_key(|namespace| turn(namespace.typ()));
    for namespace in in_turn {
        if let Some(path) = joined(namespace) {
            steps.push(Step::SetNamespace {
                path: text("namespace", path)?,
                flag: flag(namespace.typ()) as u32,
            });
        }
    }
    let join_network = network.map(|pidfd| Step::Join {
        pidfd,
        flags: libc::CLONE_NEWNET as u32,
    });
    let forks = forks(spec, linux);
    if forks {
        // With the host's rights: in a user namespace of its own it has none over what was made outside.
        steps.extend(join_network.clone());
        let joined = network.map_or(0, |_| flag(LinuxNamespaceType::Network));
        steps.push(Step::Fork {
            flags: new(linux) & !flag(LinuxNamespaceType::Time) & !joined,
            maps,
            becomes_root: has(linux, LinuxNamespaceType::User),
        });
    } else if has_new(linux, LinuxNamespaceType::Cgroup) {
        steps.push(Step::Unshare {
            flags: libc::CLONE_NEWCGROUP as u32,
        });
    }
    if let Some(pidfd) = ipc {
        steps.push(Step::Join {
            pidfd,
            flags: libc::CLONE_NEWIPC as u32,
        });
    }
    match join_network {
        Some(_) if forks => {}
        Some(join) => steps.push(join),
        None if has_new(linux, LinuxNamespaceType::Network) => steps.push(Step::LoopbackUp {}),
        None => {}
    }
    Ok(steps)
}

/// Paths of namespaces lead nowhere in another mount namespace, and afterwards a user namespace might
/// close the others to us.
fn turn(kind: LinuxNamespaceType) -> u8 {
    match kind {
        LinuxNamespaceType::Mount => 1,
        LinuxNamespaceType::User => 2,
        _ => 0,
    }
}

/// Source: OCI runtime spec, config-linux.md, "Namespaces".
fn check(linux: &Linux) -> Result<(), CompileError> {
    for (n, namespace) in list(linux).iter().enumerate() {
        let kind = namespace.typ();
        let refused = |fault| Err(at(format!("linux.namespaces[{n}]"))(fault));
        if list(linux)[..n].iter().any(|other| other.typ() == kind) {
            return refused(CompileError::NamespaceTwice(kind.to_string()));
        }
        match joined(namespace) {
            Some(path) if !path.is_absolute() => {
                return refused(CompileError::RelativeNamespace(path.to_owned()));
            }
            _ => {}
        }
    }
    let asks_maps = linux.uid_mappings().is_some() || linux.gid_mappings().is_some();
    let needs = [
        (
            asks_maps,
            LinuxNamespaceType::User,
            "linux.uidMappings",
            "user",
        ),
        (
            linux.time_offsets().is_some(),
            LinuxNamespaceType::Time,
            "linux.timeOffsets",
            "time",
        ),
    ];
    match needs
        .into_iter()
        .find(|(asked, kind, ..)| *asked && !has(linux, *kind))
    {
        None => Ok(()),
        Some((.., what, namespace)) => Err(CompileError::NeedsNamespace {
            what: what.to_owned(),
            namespace,
        }),
    }
}

/// Of a new user namespace.
fn maps(linux: &Linux) -> Result<Option<Maps>, CompileError> {
    if !has_new(linux, LinuxNamespaceType::User) {
        return Ok(None);
    }
    match container_maps(linux) {
        Some(maps) if !maps.uids.is_empty() && !maps.gids.is_empty() => Ok(Some(maps)),
        _ => Err(CompileError::Missing(
            "linux.uidMappings or linux.gidMappings, which a user namespace needs",
        )),
    }
}

/// Those in the spec.
pub fn container_maps(linux: &Linux) -> Option<Maps> {
    let (uids, gids) = (
        linux.uid_mappings().as_ref()?,
        linux.gid_mappings().as_ref()?,
    );
    Some(Maps {
        uids: id_maps(uids),
        gids: id_maps(gids),
    })
}

pub fn id_maps(mappings: &[LinuxIdMapping]) -> Vec<IdMap> {
    let map = |mapping: &LinuxIdMapping| IdMap {
        inside: mapping.container_id(),
        outside: mapping.host_id(),
        count: mapping.size(),
    };
    mappings.iter().map(map).collect()
}

/// As /proc/self/timens_offsets takes them. time_namespaces(7).
fn time_offsets(linux: &Linux) -> Result<String, CompileError> {
    let mut lines = Vec::new();
    for (clock, offset) in linux.time_offsets().iter().flatten() {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(CompileError::UnknownClock(clock.clone()));
        }
        let (seconds, nanoseconds) = (offset.secs(), offset.nanosecs());
        let (seconds, nanoseconds) = (seconds.unwrap_or(0), nanoseconds.unwrap_or(0));
        lines.push(format!("{clock} {seconds} {nanoseconds}\n"));
    }
    lines.sort_unstable();
    Ok(lines.concat())
}

/// Programs that write specs leave the path of a new one empty.
fn joined(namespace: &LinuxNamespace) -> Option<&Path> {
    let path = namespace.path().as_deref();
    path.filter(|path| !path.as_os_str().is_empty())
}

fn list(linux: &Linux) -> &[LinuxNamespace] {
    linux.namespaces().as_deref().unwrap_or_default()
}

fn flag(kind: LinuxNamespaceType) -> u64 {
    const CLONE_NEWTIME: i32 = 0x80;
    let flag = match kind {
        LinuxNamespaceType::Mount => libc::CLONE_NEWNS,
        LinuxNamespaceType::Cgroup => libc::CLONE_NEWCGROUP,
        LinuxNamespaceType::Uts => libc::CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => libc::CLONE_NEWIPC,
        LinuxNamespaceType::User => libc::CLONE_NEWUSER,
        LinuxNamespaceType::Pid => libc::CLONE_NEWPID,
        LinuxNamespaceType::Network => libc::CLONE_NEWNET,
        LinuxNamespaceType::Time => CLONE_NEWTIME,
    };
    flag as u64
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn planned(linux: Value) -> Result<(u64, Vec<Step>), String> {
        let spec = json!({"ociVersion": "1.2.0", "linux": linux});
        let spec: Spec = serde_json::from_value(spec).expect("a spec");
        let linux = spec.linux().as_ref().expect("a linux section");
        let steps = steps(&spec, linux, None, None).map_err(|error| error.to_string())?;
        Ok((clone_flags(&spec), steps))
    }

    #[test]
    fn a_network_that_was_made_outside_is_joined_before_a_fork() {
        let spec = json!({"ociVersion": "1.2.0", "linux": {"namespaces": [
            {"type": "mount"}, {"type": "network"}, {"type": "pid", "path": "/proc/1/ns/pid"},
        ]}});
        let spec: Spec = serde_json::from_value(spec).expect("a spec");
        let linux = spec.linux().as_ref().expect("a linux section");
        let steps = steps(&spec, linux, Some(9), None).expect("plans");
        let join = Step::Join {
            pidfd: 9,
            flags: libc::CLONE_NEWNET as u32,
        };
        let fork = Step::Fork {
            flags: libc::CLONE_NEWNS as u64,
            maps: None,
            becomes_root: false,
        };
        assert_eq!(steps[1..], [join, fork]);
    }

    #[test]
    fn a_process_is_born_in_its_namespaces_unless_it_must_fork_into_them() {
        let mount = libc::CLONE_NEWNS as u64;
        let own = json!({"namespaces": [{"type": "mount"}, {"type": "cgroup", "path": ""}]});
        let unshare = Step::Unshare {
            flags: libc::CLONE_NEWCGROUP as u32,
        };
        assert_eq!(planned(own), Ok((mount, vec![unshare])));
        let joins = json!({"namespaces": [
            {"type": "mount"}, {"type": "cgroup"}, {"type": "pid", "path": "/proc/1/ns/pid"},
        ]});
        let (flags, steps) = planned(joins).expect("plans");
        let flags_of_fork = mount | libc::CLONE_NEWCGROUP as u64;
        assert_eq!(flags, 0);
        assert_eq!(
            steps[1],
            Step::Fork {
                flags: flags_of_fork,
                maps: None,
                becomes_root: false
            }
        );
    }

    #[test]
    fn a_user_namespace_is_joined_last_and_one_of_mounts_after_what_has_a_path_in_ours() {
        let linux = json!({"namespaces": [
            {"type": "user", "path": "/u"}, {"type": "mount", "path": "/m"},
            {"type": "network", "path": "/n"},
        ]});
        let (_, steps) = planned(linux).expect("plans");
        let joined: Vec<_> = (steps.iter())
            .filter_map(|step| match step {
                Step::SetNamespace { path, .. } => Some(path.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(joined, ["/n", "/m", "/u"]);
    }

    #[test]
    fn what_namespaces_cannot_be_is_refused() {
        let map = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
        let offset = json!({"secs": 1});
        for (linux, why) in [
            (
                json!({"namespaces": [{"type": "uts"}, {"type": "uts"}]}),
                "linux.namespaces[1]: namespace uts is there twice",
            ),
            (
                json!({"namespaces": [{"type": "uts", "path": "ns/uts"}]}),
                "linux.namespaces[0]: namespace ns/uts: the path must be absolute",
            ),
            (
                json!({"namespaces": [], "uidMappings": map}),
                "linux.uidMappings needs a user namespace of the container's own",
            ),
            (
                json!({"namespaces": [{"type": "user"}]}),
                "linux.uidMappings or linux.gidMappings, which a user namespace needs: the spec lacks it",
            ),
            (
                json!({"timeOffsets": {"monotonic": offset}, "namespaces": []}),
                "linux.timeOffsets needs a time namespace of the container's own",
            ),
            (
                json!({"timeOffsets": {"realtime": offset}, "namespaces": [{"type": "time"}]}),
                "linux.timeOffsets: unknown clock \"realtime\": write monotonic or boottime",
            ),
        ] {
            assert_eq!(planned(linux).expect_err("refused"), why);
        }
    }
}
