//! From flags to what the agent relies on: parsed once, here; valid ever after. Pure.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use isolators::{Capability, CapabilitySets};
use proto::attributes::BadAttributes;
use proto::ids::BadRole;
use proto::resources::{BadResources, Resources};
use proto::v1;

use crate::flags::Flags;
use crate::host::HostFacts;
use crate::isolation::{self, BadIsolation};
use crate::logs::{Asked, BadLimit, Limits};
use crate::task::capabilities::{BadCapabilities, named};

/// Offered when `--resources` names no ports.
const DEFAULT_PORTS: &str = "[31000-32000]";

#[derive(Debug, Clone)]
pub struct Config {
    pub hostname: String,
    pub resources: Resources,
    pub attributes: Vec<v1::Attribute>,
    pub executor_variables: BTreeMap<String, String>,
    pub capabilities: CapabilitySets,
    pub lacking_isolators: Vec<isolation::Lack>,
    /// Of tasks that say nothing else.
    pub logs: Limits,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("bad --resources {text:?}")]
    Resources { text: String, source: BadResources },
    #[error("bad --default_role {role:?}")]
    DefaultRole { role: String, source: BadRole },
    #[error("bad --attributes {text:?}")]
    Attributes { text: String, source: BadAttributes },
    #[error(
        "bad --executor_environment_variables {text:?}: it must be a JSON object whose values are \
         strings, such as {{\"REGION\":\"ger\"}}"
    )]
    Environment {
        text: String,
        source: serde_json::Error,
    },
    #[error(
        "bad --executor_environment_variables: the name {0:?} is empty or contains '=', or it or its \
         value contains a NUL byte, which no environment can hold"
    )]
    Variable(String),
    #[error(
        "bad --{flag} {text:?}: it must be like {{\"capabilities\": [\"NET_RAW\", \"CHOWN\"]}}"
    )]
    Capabilities {
        flag: &'static str,
        text: String,
        source: serde_json::Error,
    },
    #[error("bad --{flag}")]
    UnknownCapability {
        flag: &'static str,
        source: BadCapabilities,
    },
    #[error("--effective_capabilities holds {0}, which --bounding_capabilities lacks")]
    EffectiveBeyondBounding(String),
    #[error("bad --hostname {0:?}: give a name or address that others can reach this host by")]
    Hostname(String),
    #[error("--runtime_dir and --work_dir are both {}: give each a directory of its own", .0.display())]
    SameDirectory(PathBuf),
    #[error(
        "bad --cgroups_root {0:?}: it must be a path relative to the top of the cgroup hierarchy, such \
         as mesos or a/b, without . or .. or control characters"
    )]
    CgroupsRoot(String),
    #[error(transparent)]
    Isolation(#[from] BadIsolation),
    #[error(transparent)]
    Logs(#[from] BadLimit),
    #[error("bad --gc_disk_headroom {0}: it must be a fraction from 0 to 1")]
    Headroom(f64),
}

impl Config {
    pub fn new(flags: &Flags, host: &HostFacts) -> Result<Config, ConfigError> {
        if !(0.0..=1.0).contains(&flags.gc_disk_headroom) {
            return Err(ConfigError::Headroom(flags.gc_disk_headroom));
        }
        if !flags.cgroups_root.split('/').all(is_plain) {
            return Err(ConfigError::CgroupsRoot(flags.cgroups_root.clone()));
        }
        if flags.runtime_dir == flags.work_dir {
            return Err(ConfigError::SameDirectory(flags.work_dir.clone()));
        }
        let role = &flags.default_role;
        proto::ids::check_role(role).map_err(|source| ConfigError::DefaultRole {
            role: role.clone(),
            source,
        })?;
        let attributes = flags.attributes.as_deref().unwrap_or("");
        let attributes =
            proto::attributes::parse(attributes).map_err(|source| ConfigError::Attributes {
                text: attributes.to_owned(),
                source,
            })?;
        Ok(Config {
            hostname: hostname(flags, host)?,
            resources: resources(flags, host)?,
            attributes,
            executor_variables: executor_variables(flags)?,
            capabilities: capabilities(flags)?,
            lacking_isolators: isolation::lacks(&flags.isolation)?,
            logs: logs(flags)?,
        })
    }

    pub fn agent_info(&self, port: u16, id: Option<v1::AgentId>) -> v1::AgentInfo {
        v1::AgentInfo {
            hostname: self.hostname.clone(),
            resources: self.resources.to_protos(),
            attributes: self.attributes.clone(),
            id,
            port: Some(i32::from(port)),
            domain: None,
        }
    }
}

/// One component of a path that leads down.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(char::is_control)
}

fn hostname(flags: &Flags, host: &HostFacts) -> Result<String, ConfigError> {
    match &flags.hostname {
        // It stands in URLs.
        Some(name) if name.is_empty() || name.contains(|c: char| !is_of_a_host(c)) => {
            Err(ConfigError::Hostname(name.clone()))
        }
        Some(name) => Ok(name.clone()),
        // The host's own name would lead nobody to an agent that listens on loopback only.
        None if flags.ip.is_loopback() => Ok("localhost".to_owned()),
        None => Ok(host.hostname.clone()),
    }
}

/// Names with letters of any script, and addresses of both kinds.
fn is_of_a_host(c: char) -> bool {
    c.is_alphanumeric() || ".-_:[]".contains(c)
}

/// What was asked for, plus what was detected for the names that were not.
fn resources(flags: &Flags, host: &HostFacts) -> Result<Resources, ConfigError> {
    let text = flags.resources.as_deref().unwrap_or("");
    let bad = |source| ConfigError::Resources {
        text: text.to_owned(),
        source,
    };
    let asked = match text.trim() {
        "" => Resources::new(),
        text => Resources::parse(text, &flags.default_role).map_err(bad)?,
    };
    let detected = [
        ("cpus", host.cpus.to_string()),
        ("mem", host.memory_to_offer().to_string()),
        ("disk", host.disk_to_offer().to_string()),
        ("ports", DEFAULT_PORTS.to_owned()),
    ];
    let mut all = asked.clone();
    for (name, value) in detected {
        // What there is none of cannot be offered: the disk of the smallest file systems.
        if !asked.names().contains(name) && value != "0" {
            let one = format!("{name}:{value}");
            all = all.add(&Resources::parse(&one, &flags.default_role).map_err(bad)?);
        }
    }
    Ok(all)
}

fn executor_variables(flags: &Flags) -> Result<BTreeMap<String, String>, ConfigError> {
    let Some(text) = &flags.executor_environment_variables else {
        return Ok(BTreeMap::new());
    };
    let parsed = serde_json::from_str(text);
    let variables: BTreeMap<String, String> =
        parsed.map_err(|source| ConfigError::Environment {
            text: text.clone(),
            source,
        })?;
    let is_bad = |(name, value): &(&String, &String)| {
        name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
    };
    match variables.iter().find(is_bad) {
        Some((name, _)) => Err(ConfigError::Variable(name.clone())),
        None => Ok(variables),
    }
}

fn logs(flags: &Flags) -> Result<Limits, BadLimit> {
    let stdout = Asked {
        size: &flags.max_stdout_size,
        options: &flags.logrotate_stdout_options,
    };
    let stderr = Asked {
        size: &flags.max_stderr_size,
        options: &flags.logrotate_stderr_options,
    };
    Limits::new(stdout, stderr)
}

/// Read strictly: a name that is not known would silently grant less.
#[derive(serde::Deserialize)]
struct CapabilityNames {
    capabilities: Vec<String>,
}

pub fn capabilities(flags: &Flags) -> Result<CapabilitySets, ConfigError> {
    let read = |flag: &'static str, text: &Option<String>| {
        let Some(text) = text else { return Ok(None) };
        let names: CapabilityNames =
            serde_json::from_str(text).map_err(|source| ConfigError::Capabilities {
                flag,
                text: text.clone(),
                source,
            })?;
        let names = names.capabilities.iter().map(|name| named(name));
        let set: Result<HashSet<Capability>, _> = names.collect();
        let bad = |source| ConfigError::UnknownCapability { flag, source };
        set.map(Some).map_err(bad)
    };
    let effective = read("effective_capabilities", &flags.effective_capabilities)?;
    let bounding = read("bounding_capabilities", &flags.bounding_capabilities)?;
    if let (Some(effective), Some(bounding)) = (&effective, &bounding) {
        let beyond = effective.difference(bounding).map(|c| format!("CAP_{c}"));
        if let Some(beyond) = beyond.min() {
            return Err(ConfigError::EffectiveBeyondBounding(beyond));
        }
    }
    Ok(CapabilitySets {
        effective,
        bounding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::parse;

    fn config(arguments: &[&str]) -> Result<Config, ConfigError> {
        let host = HostFacts {
            cpus: 8,
            memory: Some(4 << 30),
            disk: Some(20 << 30),
            hostname: "n5".into(),
        };
        Config::new(&parse(arguments), &host)
    }

    #[test]
    fn what_is_not_asked_for_is_detected() {
        let config = config(&["--resources=cpus:2;ports:[8000-8001]"]).unwrap();
        assert_eq!(
            (config.resources.cpus(), config.resources.mem()),
            (2.0, 3072.0)
        );
        assert_eq!(config.resources.ports().to_string(), "[8000-8001]");
    }

    /// The agent's own checkpoints may fit into less than a megabyte.
    #[test]
    fn of_the_smallest_disks_nothing_is_offered() {
        let host = |disk| HostFacts {
            cpus: 8,
            memory: Some(4 << 30),
            disk: Some(disk),
            hostname: "n5".into(),
        };
        let disk = |disk| {
            let config = Config::new(&parse(&[]), &host(disk)).unwrap();
            config.resources.names().contains("disk")
        };
        assert_eq!([500 << 10, 3 << 20].map(disk), [false, true]);
    }

    #[test]
    fn detected_resources_belong_to_the_default_role() {
        let config = config(&["--default_role=web"]).unwrap();
        assert_eq!(config.resources.reserved()["web"].cpus(), 8.0);
    }

    #[test]
    fn an_agent_on_loopback_is_localhost() {
        assert_eq!(config(&[]).unwrap().hostname, "localhost");
        assert_eq!(
            config(&["--ip=10.0.0.5", "--insecure"]).unwrap().hostname,
            "n5"
        );
        assert_eq!(config(&["--hostname=web1"]).unwrap().hostname, "web1");
    }

    #[test]
    fn the_subtree_of_cgroups_lies_below_the_hierarchys_top() {
        for good in ["mesos", "a/b.slice", "..."] {
            config(&[&format!("--cgroups_root={good}")]).unwrap();
        }
        for bad in [
            "", "/", "/mesos", ".", "..", "a/../..", "a//b", "a/", "a\nb",
        ] {
            let error = config(&[&format!("--cgroups_root={bad}")]).unwrap_err();
            assert!(matches!(error, ConfigError::CgroupsRoot(_)), "{bad:?}");
        }
    }

    #[test]
    fn bad_flags_are_named_with_the_remedy() {
        let table = [
            ("--resources=cpus", "--resources"),
            ("--default_role=a b", "--default_role"),
            ("--hostname=", "--hostname"),
            ("--hostname=a b", "--hostname"),
            ("--work_dir=/run/longshore", "a directory of its own"),
            (
                r#"--executor_environment_variables={"a=b":"c"}"#,
                "the name \"a=b\"",
            ),
            ("--bounding_capabilities=CHOWN", "\"capabilities\""),
            (
                r#"--effective_capabilities={"capabilities":["FLY"]}"#,
                "--effective_capabilities",
            ),
            (
                r#"--executor_environment_variables={"":"c"}"#,
                "the name \"\"",
            ),
            ("--executor_environment_variables=[1]", "JSON object"),
            ("--max_stdout_size=5", "--max_stdout_size"),
            ("--logrotate_stderr_options=rotate x", "\"rotate x\""),
            ("--gc_disk_headroom=7", "from 0 to 1"),
            ("--isolation=cgroup/cpu", "cgroups/cpu, "),
        ];
        for (flag, wanted) in table {
            let error = config(&[flag]).unwrap_err().to_string();
            assert!(error.contains(wanted), "{flag}: {error}");
        }
    }
}
