//! Which capabilities the container of a task had, worked out from what its agent tells of the task and
//! of itself: the container and its spec are gone with the task.

use std::collections::BTreeSet;

use isolators::default_capabilities;
use serde_json::Value;

/// Names without `CAP_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights(BTreeSet<String>);

impl Rights {
    /// `task` and the agent's `flags` as `/state` has them.
    pub fn of(task: &Value, flags: &Value) -> Rights {
        let linux = &task["container"]["linux_info"];
        let asked = |key: &str| set(&linux[key]);
        let flag = |key: &str| {
            let text = flags[key].as_str()?;
            set(&serde_json::from_str(text).ok()?)
        };
        // An old name of the same set.
        let effective = asked("effective_capabilities").or_else(|| asked("capability_info"));
        let effective = effective.or_else(|| flag("effective_capabilities"));
        if let Some(effective) = effective {
            return Rights(effective);
        }
        // Without a user of its own it has that of its framework, which is root nearly always.
        if !matches!(task["user"].as_str(), None | Some("root" | "0")) {
            return Rights(BTreeSet::new());
        }
        let bounding = asked("bounding_capabilities").unwrap_or_else(|| {
            let mut usual = usual();
            if let Some(allowed) = flag("bounding_capabilities") {
                usual.retain(|name| allowed.contains(name));
            }
            usual
        });
        Rights(bounding)
    }

    /// What every container gets that asks for nothing else.
    #[cfg(test)]
    pub fn usual() -> Rights {
        Rights(usual())
    }

    pub fn lack(&self, capability: &str) -> bool {
        !self.0.contains(capability)
    }
}

fn usual() -> BTreeSet<String> {
    let names = default_capabilities().into_iter();
    names.map(|capability| capability.to_string()).collect()
}

/// `{"capabilities": ["CHOWN", …]}`.
fn set(value: &Value) -> Option<BTreeSet<String>> {
    let names = value["capabilities"].as_array()?.iter();
    let names = names.filter_map(Value::as_str);
    Some(names.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_task_asks_for_comes_before_what_agents_give() {
        let plain = json!({});
        let only = |names: [&str; 1]| json!({ "capabilities": names });
        let asks =
            |key: &str| json!({"user": "www", "container": {"linux_info": {key: only(["CHOWN"])}}});
        let flags = json!({
            "effective_capabilities": "{\"capabilities\": [\"KILL\"]}",
            "bounding_capabilities": "{\"capabilities\": [\"CHOWN\", \"KILL\"]}",
        });
        let bounding = json!({"bounding_capabilities": "{\"capabilities\": [\"KILL\"]}"});
        let table = [
            (asks("effective_capabilities"), &flags, vec!["CHOWN"]),
            (asks("capability_info"), &flags, vec!["CHOWN"]),
            (json!({"user": "www"}), &flags, vec!["KILL"]),
            (json!({"user": "www"}), &plain, vec![]),
            (json!({"user": "root"}), &bounding, vec!["KILL"]),
        ];
        for (task, flags, held) in table {
            let held = held.into_iter().map(str::to_owned).collect();
            assert_eq!(Rights::of(&task, flags), Rights(held), "{task} {flags}");
        }
        let usual = Rights::of(&plain, &plain);
        assert_eq!(usual, Rights::usual());
        assert!(usual.lack("SYS_ADMIN") && !usual.lack("NET_BIND_SERVICE"));
    }
}
