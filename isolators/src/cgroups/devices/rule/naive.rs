//! Rules as one reads them: what v1's list and v2's program are held against.

use super::{Access, Key, Rule};

/// What the rules say, read one by one: for each way of using a device the last rule about it counts,
/// and without one it is denied.
pub fn allows(rules: &[Rule], device: Key, access: Access) -> bool {
    [1, 2, 4]
        .into_iter()
        .filter(|bit| access.0 & bit != 0)
        .all(|bit| {
            let about = |rule: &&Rule| {
                rule.kind.is_none_or(|kind| kind == device.kind)
                    && rule.major.is_none_or(|major| Some(major) == device.major)
                    && rule.minor.is_none_or(|minor| Some(minor) == device.minor)
                    && rule.access.0 & bit != 0
            };
            rules
                .iter()
                .rev()
                .find(about)
                .is_some_and(|rule| rule.allow)
        })
}
