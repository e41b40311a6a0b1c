//! `cpuset`: which processors and which nodes of memory.

use oci_spec::runtime::LinuxCpu;

use super::Setting;

/// Both versions have the same files. On v1 a new cgroup has taken its parent's before.
pub(super) fn settings(cpu: &LinuxCpu) -> Vec<Setting> {
    let of = |file, list: &Option<String>| {
        let list = list.as_ref().filter(|list| !list.is_empty());
        list.map(|list| Setting::new("cpuset", file, list))
    };
    [of("cpuset.cpus", cpu.cpus()), of("cpuset.mems", cpu.mems())]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::hold;
    use crate::cgroups::Version;

    #[test]
    fn lists_are_written_as_they_are() {
        for version in [Version::V1, Version::V2] {
            hold(
                version,
                &[
                    (
                        json!({"cpu": {"cpus": "0-1,3", "mems": "0"}}),
                        &[("cpuset.cpus", "0-1,3"), ("cpuset.mems", "0")],
                    ),
                    (
                        json!({"cpu": {"cpus": "", "mems": "0"}}),
                        &[("cpuset.mems", "0")],
                    ),
                ],
            );
        }
    }
}
