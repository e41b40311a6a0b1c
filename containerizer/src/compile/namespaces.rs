//! Namespaces: which come with the clone, which are entered by the new process itself.

use init::Step;
use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceType};

use super::{CompileError, text};

/// clone3(2) flags for the namespaces that a new process is born in.
///
/// Not the cgroup namespace: it begins where its first process is when it is made, and on cgroup
/// v1 that process enters its cgroups only after the clone.
pub fn clone_flags(linux: Option<&Linux>) -> u64 {
    let namespaces = linux
        .and_then(|linux| linux.namespaces().as_deref())
        .unwrap_or_default();
    let new = namespaces
        .iter()
        .filter(|namespace| namespace.path().is_none());
    new.filter(|namespace| namespace.typ() != LinuxNamespaceType::Cgroup)
        .fold(0, |flags, namespace| flags | flag(namespace.typ()))
}

/// setns(2) flags for all that a container has of its own.
pub fn own(linux: &Linux) -> Result<u32, CompileError> {
    let mut flags = 0;
    for namespace in list(linux) {
        if namespace.typ() == LinuxNamespaceType::User {
            return Err(CompileError::Unsupported("joining a user namespace"));
        }
        flags |= flag(namespace.typ()) as u32;
    }
    Ok(flags)
}

pub fn has(linux: &Linux, kind: LinuxNamespaceType) -> bool {
    list(linux).iter().any(|namespace| namespace.typ() == kind)
}

pub fn steps(linux: &Linux) -> Result<Vec<Step>, CompileError> {
    let mut steps = Vec::new();
    for namespace in list(linux) {
        match (namespace.typ(), namespace.path()) {
            (LinuxNamespaceType::User, _) => {
                return Err(CompileError::Unsupported("a user namespace"));
            }
            (LinuxNamespaceType::Time, _) => {
                return Err(CompileError::Unsupported("a time namespace"));
            }
            (LinuxNamespaceType::Pid, Some(_)) => {
                return Err(CompileError::Unsupported("joining a pid namespace"));
            }
            (LinuxNamespaceType::Mount, Some(_)) => {
                return Err(CompileError::Unsupported("joining a mount namespace"));
            }
            (kind, Some(path)) => steps.push(Step::SetNamespace {
                path: text("namespace", path)?,
                flag: flag(kind) as u32,
            }),
            (LinuxNamespaceType::Cgroup, None) => {
                steps.push(Step::Unshare {
                    flags: libc::CLONE_NEWCGROUP as u32,
                });
            }
            (LinuxNamespaceType::Network, None) => steps.push(Step::LoopbackUp {}),
            (_, None) => {}
        }
    }
    Ok(steps)
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
