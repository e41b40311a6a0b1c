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
}
