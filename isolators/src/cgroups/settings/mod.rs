//! OCI `linux.resources` as values of control files. Pure: resources, the version of cgroups and what
//! is set now go in; settings come out, in an order in which the kernel cannot refuse one because
//! of those that follow.
//!
//! These are our own and not those of cgroups-rs, which writes one value at a time: it has neither
//! an order nor a way back, and its errors do not tell the value.

mod block_io;
mod cpu;
mod cpuset;
mod huge_pages;
mod memory;
mod network;
mod pids;
mod rdma;
mod unified;

use std::borrow::Cow;

use oci_spec::runtime::LinuxResources;

use super::Version;

/// A value for a control file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub controller: Cow<'static, str>,
    /// The first file that exists gets its value: kernels differ in what they call the same thing.
    pub choices: Vec<Choice>,
    pub without_file: WithoutFile,
    /// For a file of many lines that is written line by line, each known by its first word: what takes
    /// this line away again.
    pub removal: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub file: Cow<'static, str>,
    pub value: String,
}

/// What to do where the kernel has none of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WithoutFile {
    Refuse,
    /// The wish is fulfilled all the same.
    Skip,
}

/// What is set in a cgroup: only what decides about the order of changes, and what they are relative
/// to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Now {
    pub cpu: cpu::Bandwidth,
    pub realtime_period: u64,
    pub memory: memory::Usage,
}

impl Default for Now {
    /// Of a cgroup that has just been made.
    fn default() -> Self {
        Self {
            cpu: cpu::Bandwidth::default(),
            realtime_period: 1_000_000,
            memory: memory::Usage::default(),
        }
    }
}

pub(super) use cpu::Bandwidth;
pub(super) use memory::Usage;

/// Resources that cannot be set, whatever the state of the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadResources {
    #[error("linux.resources.{what} cannot be set on this host: cgroup v2 has no {missing}")]
    NotOnV2 {
        what: &'static str,
        missing: &'static str,
    },
    #[error(
        "linux.resources.unified is an invalid configuration on this host, whose cgroups are of version \
         1: name {file} by its classic field, or boot with cgroup v2"
    )]
    NotOnV1 { file: String },
    #[error(
        "linux.resources.memory.swap is {swap}, less than memory.limit, {limit}: it is the limit of \
         memory and swap together"
    )]
    SwapBelowMemory { swap: i64, limit: u64 },
    #[error(
        "linux.resources.memory.swap is the limit of memory and swap together, and needs a \
         memory.limit beside it on cgroup v2"
    )]
    SwapWithoutMemory,
    #[error(
        "linux.resources.memory.limit {limit} is less than what is in use, {usage} \
         (memory.checkBeforeUpdate)"
    )]
    LessThanUsed { limit: i64, usage: u64 },
    #[error("linux.resources.{what}: {name:?} is no name for it")]
    BadName { what: &'static str, name: String },
    #[error("linux.resources.devices cannot be set")]
    Devices(#[from] super::devices::BadRule),
}

/// Everything that the resources ask for, but the list of devices.
pub(super) fn plan(
    resources: &LinuxResources,
    version: Version,
    now: &Now,
) -> Result<Vec<Setting>, BadResources> {
    let mut settings = Vec::new();
    if let Some(pids) = resources.pids() {
        settings.push(pids::setting(pids));
    }
    if let Some(memory) = resources.memory() {
        settings.extend(memory::settings(memory, version, &now.memory)?);
    }
    if let Some(cpu) = resources.cpu() {
        settings.extend(cpuset::settings(cpu));
        settings.extend(cpu::settings(cpu, version, now)?);
    }
    if let Some(block_io) = resources.block_io() {
        settings.extend(block_io::settings(block_io, version)?);
    }
    let huge_pages = resources.hugepage_limits().iter().flatten();
    for limit in huge_pages {
        settings.extend(huge_pages::settings(limit, version)?);
    }
    for (device, limits) in resources.rdma().iter().flatten() {
        settings.push(rdma::setting(device, limits)?);
    }
    if let Some(network) = resources.network() {
        settings.extend(network::settings(network, version)?);
    }
    // Last: who names a file means it.
    for (file, value) in resources.unified().iter().flatten() {
        settings.extend(unified::settings(file, value, version)?);
    }
    Ok(settings)
}

impl Setting {
    fn new(
        controller: &'static str,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
    ) -> Self {
        let choice = Choice {
            file: file.into(),
            value: value.to_string(),
        };
        Self {
            controller: controller.into(),
            choices: vec![choice],
            without_file: WithoutFile::Refuse,
            removal: None,
        }
    }

    fn or(mut self, file: &'static str, value: impl ToString) -> Self {
        self.choices.push(Choice {
            file: file.into(),
            value: value.to_string(),
        });
        self
    }

    fn where_it_exists(mut self) -> Self {
        self.without_file = WithoutFile::Skip;
        self
    }

    fn removed_by(mut self, line: String) -> Self {
        self.removal = Some(line);
        self
    }
}

/// A word that goes into a control file, or into its name, and must not say more than itself.
fn word<'a>(what: &'static str, name: &'a str) -> Result<&'a str, BadResources> {
    let bad = matches!(name, "" | "." | "..")
        || name.contains(|c: char| c.is_whitespace() || c == '/' || c == '\0');
    if bad {
        let name = name.to_owned();
        return Err(BadResources::BadName { what, name });
    }
    Ok(name)
}

/// `-1`, and with it everything below zero, is no limit in OCI specs.
fn or_max(limit: i64) -> String {
    match u64::try_from(limit) {
        Ok(limit) => limit.to_string(),
        Err(_negative) => "max".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be written for resources in JSON: the first choice of each.
    pub(super) fn written(
        resources: serde_json::Value,
        version: Version,
        now: &Now,
    ) -> Result<Vec<(String, String)>, BadResources> {
        let resources = serde_json::from_value(resources).expect("resources");
        let settings = plan(&resources, version, now)?;
        let first = |setting: &Setting| {
            let choice = setting.choices.first().expect("a choice");
            (choice.file.to_string(), choice.value.clone())
        };
        Ok(settings.iter().map(first).collect())
    }

    /// Holds a table of resources and what is written for them, on a cgroup that was just made.
    pub(super) fn hold(version: Version, table: &[(serde_json::Value, &[(&str, &str)])]) {
        for (resources, wanted) in table {
            let found = written(resources.clone(), version, &Now::default()).expect("can be set");
            let found: Vec<_> = found
                .iter()
                .map(|(file, value)| (file.as_str(), value.as_str()))
                .collect();
            assert_eq!(&found, wanted, "{resources} on {version:?}");
        }
    }

    #[test]
    fn nothing_asked_is_nothing_written() {
        for version in [Version::V1, Version::V2] {
            hold(
                version,
                &[(
                    serde_json::json!({"cpu": {}, "memory": {}, "devices": []}),
                    &[],
                )],
            );
        }
    }

    #[test]
    fn a_name_cannot_smuggle_more_than_a_name() {
        for name in ["", ".", "..", "a b", "../x", "a\nb", "a\0"] {
            assert!(word("x", name).is_err(), "{name:?}");
        }
        assert_eq!(word("x", "2MB"), Ok("2MB"));
    }
}
