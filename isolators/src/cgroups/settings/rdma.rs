//! `rdma`: handles and objects of one host channel adapter.

use oci_spec::runtime::LinuxRdma;

use super::{BadResources, Setting, word};

pub(super) fn setting(device: &str, limits: &LinuxRdma) -> Result<Setting, BadResources> {
    let device = word("rdma", device)?;
    let keys = [
        ("hca_handle", limits.hca_handles()),
        ("hca_object", limits.hca_objects()),
    ];
    let (mut value, mut removal) = (device.to_owned(), device.to_owned());
    for (key, limit) in keys {
        if let Some(limit) = limit {
            value += &format!(" {key}={limit}");
            removal += &format!(" {key}=max");
        }
    }
    Ok(Setting::new("rdma", "rdma.max", value).removed_by(removal))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::hold;
    use crate::cgroups::Version;

    #[test]
    fn a_device_has_one_line() {
        for version in [Version::V1, Version::V2] {
            hold(
                version,
                &[(
                    json!({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}}}),
                    &[("rdma.max", "mlx5_1 hca_handle=3 hca_object=10000")],
                )],
            );
        }
    }
}
