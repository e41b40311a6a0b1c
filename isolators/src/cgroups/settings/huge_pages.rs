//! `hugepageLimits`: bytes of huge pages of one size.

use oci_spec::runtime::LinuxHugepageLimit;

use super::{BadResources, Setting, or_max, word};
use crate::cgroups::Version;

pub(super) fn settings(
    limit: &LinuxHugepageLimit,
    version: Version,
) -> Result<[Setting; 2], BadResources> {
    let size = word("hugepageLimits", limit.page_size())?;
    let (limit_file, reserved_file, value) = match version {
        Version::V1 => (
            format!("hugetlb.{size}.limit_in_bytes"),
            format!("hugetlb.{size}.rsvd.limit_in_bytes"),
            limit.limit().max(-1).to_string(),
        ),
        Version::V2 => (
            format!("hugetlb.{size}.max"),
            format!("hugetlb.{size}.rsvd.max"),
            or_max(limit.limit()),
        ),
    };
    Ok([
        Setting::new("hugetlb", limit_file, &value),
        // Linux 5.7: a mapping that cannot be filled fails, instead of its process dying of SIGBUS.
        Setting::new("hugetlb", reserved_file, &value).where_it_exists(),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Now;
    use super::super::tests::{hold, written};
    use crate::cgroups::Version;

    #[test]
    fn each_size_has_its_files() {
        let asked = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]});
        hold(
            Version::V1,
            &[(
                asked.clone(),
                &[
                    ("hugetlb.2MB.limit_in_bytes", "4194304"),
                    ("hugetlb.2MB.rsvd.limit_in_bytes", "4194304"),
                ],
            )],
        );
        hold(
            Version::V2,
            &[(
                asked,
                &[
                    ("hugetlb.2MB.max", "4194304"),
                    ("hugetlb.2MB.rsvd.max", "4194304"),
                ],
            )],
        );
        let bad = json!({"hugepageLimits": [{"pageSize": "../x", "limit": 1}]});
        assert!(written(bad, Version::V1, &Now::default()).is_err());
    }
}
