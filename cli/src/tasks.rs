//! The tasks that an agent's `/state` lists, those that have ended included.

use proto::task::is_terminal;
use proto::v1::TaskState;
use serde_json::Value;

/// One of them, with the executor that runs or ran it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub executor: &'a Value,
    pub task: &'a Value,
}

/// Wherever the agent lists them.
pub fn entries(state: &Value) -> impl Iterator<Item = Entry<'_>> {
    let frameworks = lists(state, ["frameworks", "completed_frameworks"]);
    let executors = frameworks.flat_map(|it| lists(it, ["executors", "completed_executors"]));
    executors.flat_map(|executor| {
        let tasks = lists(executor, ["tasks", "completed_tasks"]);
        tasks.map(move |task| Entry { executor, task })
    })
}

impl<'a> Entry<'a> {
    pub fn id(&self) -> Option<&'a str> {
        self.task["id"].as_str()
    }

    pub fn state(&self) -> Option<TaskState> {
        TaskState::from_str_name(self.task["state"].as_str()?)
    }

    /// Its own, if it has one that is not its executor's.
    pub fn container(&self) -> Option<&'a str> {
        let own = self.task["container_id"].as_str();
        own.or_else(|| self.executor["container"].as_str())
    }

    /// Its sandbox, by the path it has on the agent's host and in its files API.
    pub fn directory(&self) -> Option<&'a str> {
        let own = self.task["directory"].as_str();
        own.or_else(|| self.executor["directory"].as_str())
    }

    pub fn statuses(&self) -> &'a [Value] {
        let statuses = self.task["statuses"].as_array();
        statuses.map(Vec::as_slice).unwrap_or_default()
    }

    /// When it ended, in seconds since 1970, if it did.
    pub fn ended(&self) -> Option<f64> {
        self.state().filter(|state| is_terminal(*state))?;
        let last = self.statuses().last();
        let at = last.and_then(|status| status["timestamp"].as_f64());
        Some(at.unwrap_or_default())
    }
}

fn lists<'a>(value: &'a Value, keys: [&'static str; 2]) -> impl Iterator<Item = &'a Value> {
    keys.into_iter()
        .filter_map(|key| value[key].as_array())
        .flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tasks_are_found_wherever_the_agent_lists_them() {
        let executor = |id: &str, list: &str, state: &str| {
            let statuses = [json!({"state": state, "timestamp": 2.5})];
            let task = json!({"id": id, "state": state, "statuses": statuses});
            json!({"directory": "/d", "container": "c", list: [task]})
        };
        let state = json!({
            "frameworks": [{
                "executors": [executor("a", "tasks", "TASK_RUNNING")],
                "completed_executors": [executor("b", "completed_tasks", "TASK_FAILED")],
            }],
            "completed_frameworks": [
                {"completed_executors": [executor("c", "completed_tasks", "TASK_KILLED")]},
            ],
        });
        let found: Vec<_> = entries(&state)
            .map(|it| (it.id().unwrap(), it.state().unwrap(), it.ended()))
            .collect();
        assert_eq!(
            found,
            [
                ("a", TaskState::TaskRunning, None),
                ("b", TaskState::TaskFailed, Some(2.5)),
                ("c", TaskState::TaskKilled, Some(2.5)),
            ]
        );
    }
}
