//! Kernel parameters: only those that a container has for itself.

use init::Step;
use oci_spec::runtime::{Linux, LinuxNamespaceType};

use super::{CompileError, at, namespaces};

pub fn steps(linux: &Linux) -> Result<Vec<Step>, CompileError> {
    let mut steps = Vec::new();
    for (name, value) in linux.sysctl().iter().flatten() {
        let path = path(name);
        check(&path, linux).map_err(at(format!("linux.sysctl.{name}")))?;
        steps.push(Step::Sysctl {
            path,
            value: value.clone(),
        });
    }
    // A map has no order; the same spec shall make the same program.
    steps.sort_by_cached_key(|step| format!("{step:?}"));
    Ok(steps)
}

/// Relative to /proc/sys. As sysctl(8) reads names: what separates their parts is the first of `.` and
/// `/` to occur, and the other then stands for itself.
fn path(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('.') => {
            let swapped = name.chars().map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            });
            swapped.collect()
        }
        _ => name.to_owned(),
    }
}

fn check(path: &str, linux: &Linux) -> Result<(), CompileError> {
    let host = || CompileError::HostSysctl(path.to_owned());
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(host());
    }
    let (kind, namespace) = match path {
        "kernel/hostname" => return Err(CompileError::HostnameSysctl),
        "kernel/domainname" => (LinuxNamespaceType::Uts, "uts"),
        _ if IPC.contains(&path) || path.starts_with("fs/mqueue/") => {
            (LinuxNamespaceType::Ipc, "ipc")
        }
        _ if path.starts_with("net/") => (LinuxNamespaceType::Network, "network"),
        _ => return Err(host()),
    };
    match namespaces::has(linux, kind) {
        true => Ok(()),
        false => Err(CompileError::NeedsNamespace {
            what: format!("sysctl {path}"),
            namespace,
        }),
    }
}

/// Source: ipc_namespaces(7).
const IPC: &[&str] = &[
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shm_rmid_forced",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(name: &str, namespaces: &str) -> Result<Vec<Step>, String> {
        let linux = format!(r#"{{"sysctl": {{"{name}": "1"}}, "namespaces": {namespaces}}}"#);
        let linux: Linux = serde_json::from_str(&linux).expect("a linux section");
        steps(&linux).map_err(|error| error.to_string())
    }

    const ALL: &str = r#"[{"type": "ipc"}, {"type": "network"}, {"type": "uts"}]"#;

    #[test]
    fn the_first_separator_of_a_name_is_the_one_that_separates() {
        for (name, path) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/conf/eth0.1/mtu", "net/ipv4/conf/eth0.1/mtu"),
            ("net.ipv4.conf.eth0/1.mtu", "net/ipv4/conf/eth0.1/mtu"),
        ] {
            let value = "1".to_owned();
            let path = path.to_owned();
            assert_eq!(planned(name, ALL), Ok(vec![Step::Sysctl { path, value }]));
        }
    }

    #[test]
    fn what_a_container_has_for_itself_may_be_set_and_nothing_else() {
        for name in [
            "kernel.shmmax",
            "fs.mqueue.msg_max",
            "kernel.domainname",
            "net.core.somaxconn",
        ] {
            assert!(planned(name, ALL).is_ok(), "{name}");
            let refused = planned(name, "[]").expect_err("refused");
            assert!(
                refused.ends_with("namespace of the container's own"),
                "{refused}"
            );
        }
        for name in [
            "kernel.panic",
            "vm.swappiness",
            "fs.mqueue",
            "kernel.hostname",
            "net/../kernel/panic",
            "net.//.kernel.panic",
            "kernel/shmmax.",
        ] {
            assert!(planned(name, ALL).is_err(), "{name}");
        }
    }
}
