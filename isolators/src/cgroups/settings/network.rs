//! `network`: the class of packets, and the priority of an interface. v1 only: on v2, netfilter and
//! tc know a packet's cgroup itself.

use oci_spec::runtime::LinuxNetwork;

use super::{BadResources, Setting, word};
use crate::cgroups::Version;

pub(super) fn settings(
    network: &LinuxNetwork,
    version: Version,
) -> Result<Vec<Setting>, BadResources> {
    let class = network.class_id().filter(|class| *class != 0);
    let class = class.map(|class| Setting::new("net_cls", "net_cls.classid", class));
    let mut settings: Vec<_> = class.into_iter().collect();
    for priority in network.priorities().iter().flatten() {
        let name = word("network.priorities", priority.name())?;
        let value = format!("{name} {}", priority.priority());
        let setting = Setting::new("net_prio", "net_prio.ifpriomap", value);
        settings.push(setting.removed_by(format!("{name} 0")));
    }
    if version == Version::V2 && !settings.is_empty() {
        return Err(BadResources::NotOnV2 {
            what: "network",
            missing: "net_cls and net_prio controllers (match packets by cgroup, with nft's \"socket \
                      cgroupv2\", instead)",
        });
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Now;
    use super::super::tests::{hold, written};
    use crate::cgroups::Version;

    #[test]
    fn v1_has_a_controller_for_each() {
        let asked = json!({"network": {
            "classID": 1_048_577,
            "priorities": [{"name": "eth0", "priority": 500}, {"name": "lo", "priority": 1}],
        }});
        hold(
            Version::V1,
            &[(
                asked.clone(),
                &[
                    ("net_cls.classid", "1048577"),
                    ("net_prio.ifpriomap", "eth0 500"),
                    ("net_prio.ifpriomap", "lo 1"),
                ],
            )],
        );
        let error = written(asked, Version::V2, &Now::default()).expect_err("refused");
        assert!(
            error
                .to_string()
                .contains("cgroup v2 has no net_cls and net_prio controllers")
        );
        hold(Version::V2, &[(json!({"network": {}}), &[])]);
    }
}
