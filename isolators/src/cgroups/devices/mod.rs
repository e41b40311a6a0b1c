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
#[cfg(any(test, fuzzing))]
pub(super) use {
    list::kernel,
    program::interpreter,
    rule::{Access, Key, Kind, naive},
};

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::Request;

/// Gives containers the devices that every program may expect, those that they name, and no other.
pub(crate) struct Devices;

impl Isolator for Devices {
    fn name(&self) -> &'static str {
        "cgroups/devices"
    }

    fn plan(&self, request: &Request, host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        if host.limits_devices {
            let shown = request.root.iter().flat_map(|root| &root.devices);
            let shown = shown.map(|file| &file.device);
            let named = request.devices.iter().chain(shown).filter_map(rule::of);
            let usual = [rule::DENY_ALL].into_iter().chain(rule::defaults());
            let rules = usual.chain(named);
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
    use crate::request::{Device, DeviceKind};

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
    fn a_device_that_is_named_is_allowed_as_far_as_asked() {
        let device = |read, write, mknod| Device {
            kind: DeviceKind::Block,
            major: 7,
            minor: 3,
            read,
            write,
            mknod,
        };
        let last = |device| {
            let request = Request {
                devices: vec![device],
                ..request()
            };
            let spec = plan(&request, &host(Version::V2)).expect("plans");
            let resources = spec.linux().as_ref().and_then(|l| l.resources().clone());
            let devices = resources.and_then(|resources| resources.devices().clone());
            let last = devices.and_then(|devices| devices.last().cloned());
            Rule::try_from(&last.expect("a list"))
                .expect("a rule")
                .to_string()
        };
        assert_eq!(last(device(true, true, true)), "b 7:3 rwm");
        assert_eq!(last(device(true, false, false)), "b 7:3 r");
        // As without it.
        assert_eq!(last(device(false, false, false)), "c 10:200 rwm");
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
