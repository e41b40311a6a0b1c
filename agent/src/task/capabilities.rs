//! From a task's `linux_info` to the capabilities of its container. Pure.
//!
//! Source: spec/mesos-agent.md section 19.

use std::collections::HashSet;

use isolators::{Capability, CapabilitySets};
use proto::v1;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCapabilities {
    #[error(
        "both \"effective_capabilities\" and \"capability_info\", its old name, are given: give one"
    )]
    Twice,
    #[error("{0} is a capability that this build does not know")]
    Unknown(String),
    #[error(
        "{0} is not among the --bounding_capabilities of this agent: leave it out, or have its \
         operator add it"
    )]
    Forbidden(String),
}

#[expect(
    deprecated,
    reason = "clients of before Mesos 1.4 know the effective set by this name only"
)]
pub fn capabilities(
    info: Option<&v1::LinuxInfo>,
    operators: &CapabilitySets,
) -> Result<CapabilitySets, BadCapabilities> {
    let info = info.cloned().unwrap_or_default();
    let effective = match (&info.effective_capabilities, &info.capability_info) {
        (Some(_), Some(_)) => return Err(BadCapabilities::Twice),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => None,
    };
    let effective = effective.map(set).transpose()?;
    let bounding = info.bounding_capabilities.as_ref().map(set).transpose()?;
    let asked = [effective.as_ref(), bounding.as_ref()];
    if let Some(allowed) = &operators.bounding {
        let beyond = asked
            .into_iter()
            .flatten()
            .flat_map(|s| s.difference(allowed));
        if let Some(beyond) = beyond.map(|c| format!("CAP_{c}")).min() {
            return Err(BadCapabilities::Forbidden(beyond));
        }
    }
    let effective = effective.or_else(|| operators.effective.clone());
    let bounding = match (&effective, bounding) {
        // What every container gets, as far as it is allowed here.
        (None, None) => operators.bounding.as_ref().map(|allowed| {
            let usual = isolators::default_capabilities();
            usual.intersection(allowed).copied().collect()
        }),
        // An effective set is its own bounds where nothing else is said.
        (Some(_), None) => None,
        (_, Some(bounding)) => Some(bounding),
    };
    Ok(CapabilitySets {
        effective,
        bounding,
    })
}

fn set(info: &v1::CapabilityInfo) -> Result<HashSet<Capability>, BadCapabilities> {
    let names = info.capabilities().map(|known| known.as_str_name());
    names.map(named).collect()
}

/// By the name that Mesos gives it, such as `NET_RAW`.
pub fn named(name: &str) -> Result<Capability, BadCapabilities> {
    let name = format!("CAP_{name}");
    // The runtime spec has the same names, with the kernel's prefix.
    let parsed = serde_json::from_value(name.as_str().into());
    parsed.map_err(|_unknown| BadCapabilities::Unknown(name))
}

#[cfg(test)]
mod tests {
    use proto::v1::capability_info::Capability as Wire;

    use super::*;

    fn info(capabilities: &[Wire]) -> Option<v1::CapabilityInfo> {
        Some(v1::CapabilityInfo {
            capabilities: capabilities.iter().map(|c| *c as i32).collect(),
        })
    }

    #[test]
    fn every_capability_of_the_protocol_is_known() {
        for number in 1000..=1040 {
            let wire = Wire::try_from(number).unwrap();
            assert!(named(wire.as_str_name()).is_ok(), "{wire:?}");
        }
        let unknown = named("UNKNOWN").unwrap_err();
        assert_eq!(unknown, BadCapabilities::Unknown("CAP_UNKNOWN".to_owned()));
    }

    #[test]
    #[expect(deprecated, reason = "it is what the test is about")]
    fn the_effective_set_has_two_names_and_is_given_once() {
        let mut linux = v1::LinuxInfo {
            capability_info: info(&[Wire::NetAdmin]),
            bounding_capabilities: info(&[Wire::NetAdmin, Wire::Chown]),
            ..Default::default()
        };
        let none = CapabilitySets::default();
        let sets = capabilities(Some(&linux), &none).unwrap();
        assert_eq!(sets.effective, Some(HashSet::from([Capability::NetAdmin])));
        assert_eq!(sets.bounding.map(|set| set.len()), Some(2));
        linux.effective_capabilities = info(&[]);
        assert_eq!(
            capabilities(Some(&linux), &none),
            Err(BadCapabilities::Twice)
        );
    }

    #[test]
    fn the_operator_says_what_tasks_get_and_what_they_may_ask_for() {
        let sets = |effective: &[Capability], bounding: &[Capability]| CapabilitySets {
            effective: Some(effective.iter().copied().collect()),
            bounding: Some(bounding.iter().copied().collect()),
        };
        use Capability::{Chown, Kill, NetAdmin};
        let operators = sets(&[Chown], &[Chown, Kill]);
        let usual = CapabilitySets {
            effective: Some(HashSet::from([Chown])),
            bounding: None,
        };
        assert_eq!(capabilities(None, &operators), Ok(usual.clone()));
        let linux = |effective, bounding| v1::LinuxInfo {
            effective_capabilities: effective,
            bounding_capabilities: bounding,
            ..Default::default()
        };
        let asked = |info: v1::LinuxInfo| capabilities(Some(&info), &operators);
        assert_eq!(asked(linux(None, None)), Ok(usual));
        let own = asked(linux(info(&[Wire::Kill]), None)).unwrap();
        assert_eq!(own.effective, Some(HashSet::from([Kill])));
        assert_eq!(own.bounding, None);
        let forbidden = Err(BadCapabilities::Forbidden("CAP_NET_ADMIN".to_owned()));
        assert_eq!(asked(linux(info(&[Wire::NetAdmin]), None)), forbidden);
        assert_eq!(asked(linux(None, info(&[Wire::NetAdmin]))), forbidden);
        // Without a set of the operator's, the usual one within the bounds.
        let bounds = CapabilitySets {
            effective: None,
            bounding: Some(HashSet::from([Chown, NetAdmin])),
        };
        let usual = capabilities(None, &bounds).unwrap();
        assert_eq!(usual.bounding, Some(HashSet::from([Chown])));
        // Nobody bounds where the operator does not.
        let unbound = CapabilitySets::default();
        let free = capabilities(Some(&linux(info(&[Wire::NetAdmin]), None)), &unbound).unwrap();
        assert_eq!(free.effective, Some(HashSet::from([NetAdmin])));
    }
}
