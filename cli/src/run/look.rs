//! One look at the cluster, out of what its servers answer.

use std::collections::BTreeMap;

use proto::v1::TaskState;
use serde_json::Value;

/// One look at the cluster.
#[derive(Debug, Default, Clone)]
pub struct Look {
    /// Those that have ended included, for as long as the agent remembers them.
    pub tasks: Vec<Task>,
    /// The last failure of each app that had one.
    pub failures: Vec<Failure>,
    /// What keeps apps from being launched, by app.
    pub lacks: BTreeMap<String, Lack>,
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
    let list = |value: &Value, keys: [&str; 2]| -> Vec<Value> {
        let lists = keys.iter().filter_map(|key| value[*key].as_array());
        lists.flatten().cloned().collect()
    };
    let mut tasks = Vec::new();
    for framework in list(state, ["frameworks", "completed_frameworks"]) {
        for executor in list(&framework, ["executors", "completed_executors"]) {
            for task in list(&executor, ["tasks", "completed_tasks"]) {
                let state = task["state"].as_str().and_then(TaskState::from_str_name);
                let id = task["id"].as_str();
                let directory = executor["directory"].as_str();
                if let (Some(id), Some(state), Some(directory)) = (id, state, directory) {
                    let (id, directory) = (id.to_owned(), directory.to_owned());
                    tasks.push(Task {
                        id,
                        state,
                        directory,
                    });
                }
            }
        }
    }
    tasks
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
    fn tasks_are_found_wherever_the_agent_lists_them() {
        let executor = |id: &str, list: &str, state: &str| json!({"directory": "/d", list: [{"id": id, "state": state}]});
        let state = json!({
            "frameworks": [{
                "executors": [executor("a", "tasks", "TASK_RUNNING")],
                "completed_executors": [executor("b", "completed_tasks", "TASK_FAILED")],
            }],
            "completed_frameworks": [],
        });
        let found: Vec<_> = tasks(&state).into_iter().map(|t| (t.id, t.state)).collect();
        assert_eq!(
            found,
            [
                ("a".to_owned(), TaskState::TaskRunning),
                ("b".to_owned(), TaskState::TaskFailed),
            ]
        );
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
