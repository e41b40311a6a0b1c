//! `pids`: how many processes and threads there may be.

use oci_spec::runtime::LinuxPids;

use super::{Setting, or_max};

pub(super) fn setting(pids: &LinuxPids) -> Setting {
    // As in runc, whose other driver cannot write 0: the first process is there already.
    let limit = match pids.limit() {
        0 => 1,
        limit => limit,
    };
    Setting::new("pids", "pids.max", or_max(limit))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::hold;
    use crate::cgroups::Version;

    #[test]
    fn a_limit_is_a_number_or_max() {
        for version in [Version::V1, Version::V2] {
            hold(
                version,
                &[
                    (json!({"pids": {"limit": 20}}), &[("pids.max", "20")]),
                    (json!({"pids": {"limit": 0}}), &[("pids.max", "1")]),
                    (json!({"pids": {"limit": -1}}), &[("pids.max", "max")]),
                ],
            );
        }
    }
}
