//! What an agent says of one task, as far as it explains its state.

use std::time::Duration;

use proto::v0;
use proto::v1::TaskState;
use proto::v1::task_status::Reason;
use serde_json::Value;

use crate::tasks::Entry;

#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    pub task: String,
    /// On the agent's host, and in its files API.
    pub sandbox: String,
    pub state: TaskState,
    /// Oldest first.
    pub events: Vec<Event>,
}

/// A status that the task came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Since 1970, by the agent's clock.
    pub at: Duration,
    pub state: TaskState,
    pub reason: Option<Reason>,
    pub message: Option<String>,
    /// Memory that a task with too little of it used at most, in MB.
    pub peak: Option<f64>,
}

impl Story {
    /// `None` when the entry is not one of a task.
    pub fn of(entry: &Entry<'_>) -> Option<Story> {
        Some(Story {
            task: entry.id()?.to_owned(),
            sandbox: entry.directory()?.to_owned(),
            state: entry.state()?,
            events: entry.statuses().iter().filter_map(event).collect(),
        })
    }

    /// From when it ran until its last event, if it ever did.
    pub fn ran(&self) -> Option<Duration> {
        let ran = |event: &&Event| event.state == TaskState::TaskRunning;
        let begin = self.events.iter().find(ran)?.at;
        Some(self.events.last()?.at.saturating_sub(begin))
    }
}

fn event(status: &Value) -> Option<Event> {
    let seconds = status["timestamp"].as_f64().unwrap_or_default();
    let limited = &status["limitation"]["resources"];
    let memory = limited.as_array().into_iter().flatten();
    let memory = memory
        .filter(|resource| resource["name"] == "mem")
        .find_map(|resource| resource["scalar"]["value"].as_f64());
    Some(Event {
        at: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        state: TaskState::from_str_name(status["state"].as_str()?)?,
        reason: status["reason"].as_str().and_then(v0::reason_named),
        message: status["message"].as_str().map(str::to_owned),
        peak: memory,
    })
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;
    use crate::tasks::entries;

    pub fn event(state: TaskState, seconds: f64) -> Event {
        Event {
            at: Duration::from_secs_f64(seconds),
            state,
            reason: None,
            message: None,
            peak: None,
        }
    }

    /// Of task `t`, whose state is that of the last event.
    pub fn story(events: Vec<Event>) -> Story {
        Story {
            task: "t".to_owned(),
            sandbox: "/s".to_owned(),
            state: events.last().unwrap().state,
            events,
        }
    }

    #[test]
    fn a_story_is_read_from_an_agents_state() {
        let running = json!({"state": "TASK_RUNNING", "timestamp": 1.5});
        let mem = json!({"name": "mem", "type": "SCALAR", "scalar": {"value": 31.5}});
        let failed = json!({
            "state": "TASK_FAILED", "timestamp": 3.25, "source": "SOURCE_SLAVE",
            "reason": "REASON_SLAVE_RESTARTED", "message": "so", "limitation": {"resources": [mem]},
        });
        let task = json!({"id": "t", "state": "TASK_FAILED", "statuses": [running, failed]});
        let executor = json!({"directory": "/s", "completed_tasks": [task]});
        let state = json!({"frameworks": [{"completed_executors": [executor]}]});
        let read = Story::of(&entries(&state).next().unwrap()).unwrap();
        let mut last = super::tests::event(TaskState::TaskFailed, 3.25);
        last.reason = Some(Reason::AgentRestarted);
        last.message = Some("so".to_owned());
        last.peak = Some(31.5);
        let first = super::tests::event(TaskState::TaskRunning, 1.5);
        assert_eq!(read, story(vec![first, last]));
        assert_eq!(read.ran(), Some(Duration::from_millis(1750)));
    }
}
