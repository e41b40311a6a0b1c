//! The isolators that `--isolation` names. Here containers have all that there are, always; a name of
//! one that there is not is accepted, because agents are configured for many versions, and told of.
//!
//! Source: spec/mesos-agent.md section 20.

use self::Does::{All, Lacks};

/// What this build does of an isolator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    All,
    /// Words for what follows: "without it, …".
    Lacks(&'static str),
}

#[rustfmt::skip] // An isolator a row.
const KNOWN: &[(&str, Does)] = &[
    ("cgroups/all", All),
    ("cgroups/blkio", Lacks("statistics tell of block I/O on cgroup v2 only")),
    ("cgroups/cpu", All),
    ("cgroups/cpuset", All),
    ("cgroups/devices", All),
    ("cgroups/hugetlb", All),
    ("cgroups/mem", All),
    ("cgroups/pids", All),
    ("disk/du", All),
    ("disk/xfs", All),
    ("docker/runtime", All),
    ("environment_secret", All),
    ("filesystem/linux", All),
    ("filesystem/posix", All),
    ("linux/capabilities", All),
    ("linux/devices", All),
    ("linux/nnp", All),
    ("linux/seccomp", All),
    ("network/cni", All),
    (PORTS, All),
    ("namespaces/ipc", All),
    ("namespaces/pid", All),
    ("posix/cpu", All),
    ("posix/disk", All),
    ("posix/mem", All),
    ("posix/rlimits", All),
    ("volume/host_path", All),
    ("volume/image", All),
    ("volume/sandbox_path", All),
    ("volume/secret", All),
    ("appc/runtime", Lacks("tasks with images fail")),
    ("cgroups/net_cls", Lacks("packets of tasks have no class")),
    ("cgroups/net_prio", Lacks("packets of tasks have no priority of their own")),
    ("cgroups/perf_event", Lacks("statistics tell nothing of perf events")),
    ("docker/volume", Lacks("tasks with such volumes fail")),
    ("filesystem/shared", Lacks("tasks share the host's directories")),
    ("gpu/nvidia", Lacks("no gpus are offered by themselves, and none are isolated")),
    ("network/port_mapping", Lacks("tasks share the host's ports")),
    ("volume/csi", Lacks("tasks with such volumes fail")),
];

/// Alone among all that there are, it does something only when it is named.
const PORTS: &str = "network/ports";

/// Whether a list that means something names it.
pub fn looks_at_ports(text: &str) -> bool {
    names(text).is_ok_and(|names| names.contains(&PORTS))
}

/// Old names of several.
const ALIASES: &[(&str, &[&str])] = &[
    ("cgroups", &["cgroups/cpu", "cgroups/mem"]),
    ("process", &["posix/cpu", "posix/mem"]),
];

/// One that was asked for and is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lack {
    pub isolator: &'static str,
    pub consequence: &'static str,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIsolation {
    #[error(
        "bad --isolation: no isolator is called {name:?}; there are {}",
        known()
    )]
    Unknown { name: String },
    #[error("bad --isolation: {0} is named twice")]
    Twice(&'static str),
    #[error("bad --isolation: {0} and {1} exclude each other: name one of them")]
    Exclusive(&'static str, &'static str),
}

fn known() -> String {
    let names = KNOWN.iter().map(|(name, _)| *name);
    names.collect::<Vec<_>>().join(", ")
}

/// What of a comma-separated list is lacking here.
pub fn lacks(text: &str) -> Result<Vec<Lack>, BadIsolation> {
    let names = names(text)?;
    let lack = |name: &&'static str| {
        let (isolator, does) = KNOWN.iter().find(|(known, _)| known == name)?;
        match *does {
            All => None,
            Lacks(consequence) => Some(Lack {
                isolator,
                consequence,
            }),
        }
    };
    Ok(names.iter().filter_map(lack).collect())
}

fn names(text: &str) -> Result<Vec<&'static str>, BadIsolation> {
    let mut names: Vec<&'static str> = Vec::new();
    for word in text.split(',').map(str::trim) {
        for name in meant(word)? {
            if names.contains(&name) {
                return Err(BadIsolation::Twice(name));
            }
            if let Some(other) = names.iter().find(|other| exclude_each_other(other, name)) {
                return Err(BadIsolation::Exclusive(other, name));
            }
            names.push(name);
        }
    }
    Ok(names)
}

fn meant(word: &str) -> Result<Vec<&'static str>, BadIsolation> {
    if let Some((_, names)) = ALIASES.iter().find(|(alias, _)| *alias == word) {
        return Ok(names.to_vec());
    }
    match KNOWN.iter().find(|(name, _)| *name == word) {
        Some((name, _)) => Ok(vec![*name]),
        None => Err(BadIsolation::Unknown {
            name: word.to_owned(),
        }),
    }
}

/// A container has one file system and one network; who looks at its ports comes in addition.
fn exclude_each_other(one: &str, other: &str) -> bool {
    let both = |prefix: &str| one.starts_with(prefix) && other.starts_with(prefix);
    both("filesystem/") || both("network/") && ![one, other].contains(&PORTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacking(text: &str) -> Result<Vec<&'static str>, String> {
        let lacks = lacks(text).map_err(|error| error.to_string())?;
        Ok(lacks.iter().map(|lack| lack.isolator).collect())
    }

    #[test]
    fn what_every_container_has_is_not_lacking() {
        for text in [
            crate::flags::ISOLATION,
            "cgroups",
            "process",
            "filesystem/linux, cgroups/cpu",
            "posix/cpu,posix/mem",
        ] {
            assert_eq!(lacking(text), Ok(vec![]), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_told_with_what_follows() {
        let lack = lacks("cgroups/cpu,disk/du,network/ports,network/cni,gpu/nvidia").unwrap();
        assert_eq!(lack.len(), 1);
        assert_eq!(
            lack[0].consequence,
            "no gpus are offered by themselves, and none are isolated"
        );
    }

    #[test]
    fn ports_are_looked_at_where_that_is_asked_for() {
        assert!(looks_at_ports("cgroups/cpu, network/ports"));
        assert!(!looks_at_ports(crate::flags::ISOLATION));
    }

    #[test]
    fn a_list_that_means_nothing_is_refused_with_what_is_known() {
        let table = [
            ("cgroups/cpus", "no isolator is called \"cgroups/cpus\""),
            ("cgroups/cpus", "volume/secret"),
            ("", "no isolator is called \"\""),
            ("cgroups/cpu,", "no isolator is called \"\""),
            ("windows/cpu", "no isolator is called"),
            ("cgroups/cpu,cgroups", "cgroups/cpu is named twice"),
            (
                "filesystem/posix,filesystem/linux",
                "filesystem/posix and filesystem/linux exclude each other",
            ),
            (
                "network/ports,network/cni,network/port_mapping",
                "network/cni and network/port_mapping exclude each other",
            ),
        ];
        for (text, wanted) in table {
            let error = lacking(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
