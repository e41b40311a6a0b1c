//! `devices`: which devices a container may make, read and write.
//!
//! Rules are read in order, the last one about a device counts, and without one it is denied. v1
//! keeps a [`List`] in the kernel, v2 asks a [program](program::compile).

mod list;
mod program;
mod rule;

use oci_spec::runtime::LinuxResources;

pub(super) use list::List;
pub(super) use program::compile;
pub use rule::BadRule;
pub(super) use rule::Rule;

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::Request;

/// Gives containers the devices that every program may expect, and no other.
pub(crate) struct Devices;

impl Isolator for Devices {
    fn name(&self) -> &'static str {
        "cgroups/devices"
    }

    fn plan(&self, _request: &Request, host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        if host.limits_devices {
            let rules = [rule::DENY_ALL].into_iter().chain(rule::defaults());
            spec.devices = rules.map(Rule::to_oci).collect();
        }
        Ok(())
    }
}

/// A rule for every device, and those that every container may use. `None`: the resources have no
/// list, and devices are not limited.
pub(super) fn rules(resources: &LinuxResources) -> Result<Option<Vec<Rule>>, BadRule> {
    let Some(list) = resources.devices().as_ref().filter(|list| !list.is_empty()) else {
        return Ok(None);
    };
    let mut rules = list
        .iter()
        .map(Rule::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    // As runc and crun do: a container without these could hardly run anything.
    rules.extend(rule::defaults());
    Ok(Some(rules))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cgroups::Version;
    use crate::isolator::plan;
    use crate::isolator::tests::{host, request};

    #[test]
    fn a_list_is_extended_by_what_every_container_may_use() {
        let asked = json!({"devices": [{"allow": false, "access": "rwm"}]});
        let resources = serde_json::from_value(asked).expect("resources");
        let rules = rules(&resources).expect("rules").expect("a list");
        assert_eq!(rules.len(), 1 + rule::defaults().count());
        for none in [json!({}), json!({"devices": []})] {
            let resources = serde_json::from_value(none).expect("resources");
            assert_eq!(super::rules(&resources), Ok(None));
        }
    }

    #[test]
    fn a_host_that_cannot_limit_devices_is_not_asked_to() {
        for limits_devices in [true, false] {
            let host = Host {
                limits_devices,
                ..host(Version::V1)
            };
            let spec = plan(&request(), &host).expect("plans");
            let resources = spec.linux().as_ref().and_then(|l| l.resources().clone());
            let devices = resources.and_then(|resources| resources.devices().clone());
            assert_eq!(devices.is_some(), limits_devices);
        }
    }
}
