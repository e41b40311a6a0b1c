//! One look at the cluster, out of what its servers answer.

use std::collections::BTreeMap;

use proto::v1::TaskState;
use serde_json::Value;

use crate::tasks::{Entry, entries};

/// One look at the cluster.
#[derive(Debug, Default, Clone)]
pub struct Look {
    /// Those that have ended included, for as long as the agent remembers them.
    pub tasks: Vec<Task>,
    /// The last failure of each app that had one.
    pub failures: Vec<Failure>,
    /// What keeps apps from being launched, by app.
    pub lacks: BTreeMap<String, Lack>,
    /// How far the files of tasks have come, by task, while they are fetched.
    pub fetches: BTreeMap<String, Fetch>,
}

/// Of all files of a task, or of several tasks together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fetch {
    pub bytes: u64,
    pub total: Option<u64>,
    pub bytes_per_second: u64,
}

impl Fetch {
    pub fn and(self, other: Fetch) -> Fetch {
        Fetch {
            bytes: self.bytes + other.bytes,
            total: Option::zip(self.total, other.total).map(|(one, other)| one + other),
            bytes_per_second: self.bytes_per_second + other.bytes_per_second,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub id: String,
    pub state: TaskState,
    /// Its sandbox, by the path it has in the agent's files API.
    pub directory: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub task: String,
    pub state: TaskState,
    pub message: String,
}

/// The field of an app that no offer meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lack(pub &'static str);

/// Marathon's reasons to decline an offer, and the field of the app behind each.
#[rustfmt::skip] // A reason and its field share a line.
const REASONS: &[(&str, Lack)] = &[
    ("UnfulfilledRole", Lack("acceptedResourceRoles")),
    ("UnfulfilledConstraint", Lack("constraints")),
    ("InsufficientCpus", Lack("cpus")),
    ("InsufficientMemory", Lack("mem")),
    ("InsufficientDisk", Lack("disk")),
    ("InsufficientGpus", Lack("gpus")),
    ("InsufficientPorts", Lack("ports")),
];

/// Every task in an agent's `/state`, with its sandbox.
pub fn tasks(state: &Value) -> Vec<Task> {
    let whole = |entry: Entry<'_>| {
        Some(Task {
            id: entry.id()?.to_owned(),
            state: entry.state()?,
            directory: entry.directory()?.to_owned(),
        })
    };
    entries(state).filter_map(whole).collect()
}

/// What an agent's `/containers` says of fetches that are under way, by task. What runs by itself has the name of
/// its task.
pub fn fetches(containers: &Value) -> BTreeMap<String, Fetch> {
    let containers = containers.as_array().into_iter().flatten();
    let one = |container: &Value| {
        let fetch = &container["fetch"];
        let progress = Fetch {
            bytes: fetch["bytes"].as_u64()?,
            total: fetch["total_bytes"].as_u64(),
            bytes_per_second: fetch["bytes_per_second"].as_u64()?,
        };
        Some((container["executor_id"].as_str()?.to_owned(), progress))
    };
    containers.filter_map(one).collect()
}

/// Of an app's `lastTaskFailure`, if it had one.
pub fn failure(value: &Value) -> Option<Failure> {
    Some(Failure {
        task: value["taskId"].as_str()?.to_owned(),
        state: TaskState::from_str_name(value["state"].as_str()?)?,
        message: value["message"].as_str().unwrap_or_default().to_owned(),
    })
}

/// What a scheduler's `/v2/queue` says of apps that no offer has served yet.
pub fn lacks(queue: &Value) -> BTreeMap<String, Lack> {
    let items = queue["queue"].as_array().into_iter().flatten();
    let of_item = |item: &Value| {
        let offers = &item["processedOffersSummary"]["rejectSummaryLastOffers"];
        let declined = |of: &&Value| of["declined"].as_u64() > Some(0);
        let reason = offers.as_array()?.iter().find(declined)?["reason"].as_str()?;
        let (_, lack) = REASONS.iter().find(|(name, _)| *name == reason)?;
        Some((item["app"]["id"].as_str()?.to_owned(), *lack))
    };
    items.filter_map(of_item).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_tell_of_fetches_under_way() {
        let containers = json!([
            {"executor_id": "a.1", "fetch": {"bytes": 5, "bytes_per_second": 2, "total_bytes": 9}},
            {"executor_id": "a.2"},
        ]);
        let fetch = Fetch {
            bytes: 5,
            total: Some(9),
            bytes_per_second: 2,
        };
        let found = fetches(&containers);
        assert_eq!(found, BTreeMap::from([("a.1".to_owned(), fetch)]));
        let unknown = Fetch {
            total: None,
            ..fetch
        };
        let both = fetch.and(unknown);
        assert_eq!((both.bytes, both.total), (10, None));
    }

    #[test]
    fn the_queue_says_what_an_app_lacks() {
        let offers = json!([
            {"reason": "UnfulfilledRole", "declined": 0, "processed": 2},
            {"reason": "InsufficientCpus", "declined": 2, "processed": 2},
        ]);
        let summary = json!({"rejectSummaryLastOffers": offers});
        let queue = json!({"queue": [
            {"app": {"id": "/a"}, "processedOffersSummary": summary},
            {"app": {"id": "/b"}, "processedOffersSummary": {}},
        ]});
        let wanted = BTreeMap::from([("/a".to_owned(), Lack("cpus"))]);
        assert_eq!(lacks(&queue), wanted);
    }
}
