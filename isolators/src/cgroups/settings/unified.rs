//! `unified`: files of cgroup v2 by their names.

use super::{BadResources, Choice, Setting, WithoutFile, word};
use crate::cgroups::Version;

/// A file with several lines takes one at a time.
pub(super) fn settings(
    file: &str,
    value: &str,
    version: Version,
) -> Result<Vec<Setting>, BadResources> {
    let file = word("unified", file)?;
    if version == Version::V1 {
        let file = file.to_owned();
        return Err(BadResources::NotOnV1 { file });
    }
    // `cgroup.freeze`, `cgroup.kill` and the like are of every cgroup, without a controller.
    let (controller, _) = file.split_once('.').unwrap_or((file, ""));
    let lines = value.lines().map(|line| Setting {
        controller: controller.to_owned().into(),
        choices: vec![Choice {
            file: file.to_owned().into(),
            value: line.to_owned(),
        }],
        without_file: WithoutFile::Refuse,
        removal: None,
    });
    Ok(lines.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Now;
    use super::super::tests::{hold, written};
    use crate::cgroups::Version;

    #[test]
    fn files_are_written_by_name_and_line_by_line() {
        hold(
            Version::V2,
            &[
                (
                    json!({"unified": {"io.max": "8:0 rbps=1\n8:16 rbps=2\n"}}),
                    &[("io.max", "8:0 rbps=1"), ("io.max", "8:16 rbps=2")],
                ),
                (
                    json!({"memory": {"limit": 5}, "unified": {"memory.max": "7"}}),
                    &[("memory.max", "5"), ("memory.max", "7")],
                ),
            ],
        );
    }

    #[test]
    fn there_are_none_on_v1_and_none_elsewhere() {
        let asked = json!({"unified": {"memory.high": "5"}});
        let error = written(asked, Version::V1, &Now::default()).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "linux.resources.unified is an invalid configuration on this host, whose cgroups are of \
             version 1: name memory.high by its classic field, or boot with cgroup v2"
        );
        let outside = json!({"unified": {"../memory.max": "5"}});
        assert!(written(outside, Version::V2, &Now::default()).is_err());
    }
}
