//! The state of a task in one sentence.

use std::time::Duration;

use proto::v1::TaskState;

use super::span::span;
use super::story::Story;

/// `now` is the time since 1970.
pub fn verdict(story: &Story, now: Duration) -> String {
    let task = &story.task;
    let message = story
        .events
        .last()
        .and_then(|last| last.words())
        .filter(|message| !message.is_empty())
        .map_or_else(String::new, |message| format!(": {message}"));
    let ended = |how: &str| {
        let ran = match story.ran() {
            Some(ran) => format!("after it ran for {}", span(ran)),
            None => "before it ran".to_owned(),
        };
        format!("{task} {how} {ran}{message}")
    };
    let lives = |how: &str| {
        // By two clocks, of which the agent's may be ahead.
        let since = story.events.last().map(|last| now.saturating_sub(last.at));
        let since = since.map_or_else(String::new, |since| format!(", for {} now", span(since)));
        format!("{task} {how}{since}{message}")
    };
    match story.state {
        TaskState::TaskStaging => lives("waits for its container and what is fetched for it"),
        TaskState::TaskStarting => lives("is being started"),
        TaskState::TaskRunning => lives("runs well"),
        TaskState::TaskKilling => lives("is being ended, as was asked for"),
        TaskState::TaskUnreachable => lives("cannot be reached"),
        TaskState::TaskUnknown => lives("is not known to its agent"),
        TaskState::TaskFinished => ended("finished"),
        TaskState::TaskFailed => ended("failed"),
        TaskState::TaskKilled => ended("was killed on request"),
        TaskState::TaskError => ended("was refused"),
        TaskState::TaskLost => ended("was lost"),
        TaskState::TaskDropped => ended("was dropped"),
        TaskState::TaskGone | TaskState::TaskGoneByOperator => ended("was gone"),
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::TaskState::{
        TaskFailed, TaskFinished, TaskKilled, TaskKilling, TaskLost, TaskRunning, TaskStaging,
    };

    use super::super::story::Story;
    use super::super::story::tests::{event, story};
    use super::*;

    #[test]
    fn a_state_is_a_sentence() {
        let ran = event(TaskRunning, 10.0);
        let table = [
            (vec![ran.clone()], "t runs well, for 20 s now"),
            (
                vec![ran.clone(), event(TaskKilling, 28.0)],
                "t is being ended, as was asked for, for 2 s now",
            ),
            (
                vec![ran.clone(), event(TaskFinished, 10.25)],
                "t finished after it ran for 250 ms",
            ),
            (
                vec![ran.clone(), event(TaskKilled, 22.0)],
                "t was killed on request after it ran for 12 s",
            ),
            (vec![event(TaskFailed, 22.0)], "t failed before it ran"),
            (
                vec![ran, event(TaskLost, 22.0)],
                "t was lost after it ran for 12 s",
            ),
        ];
        for (events, sentence) in table {
            assert_eq!(verdict(&story(events), Duration::from_secs(30)), sentence);
        }
    }

    #[test]
    fn the_message_of_the_last_status_follows() {
        let mut failed = event(TaskFailed, 1.0);
        failed.message = Some("no such user".to_owned());
        let sentence = verdict(&story(vec![failed]), Duration::ZERO);
        assert_eq!(sentence, "t failed before it ran: no such user");
    }

    #[test]
    fn a_task_that_has_no_status_yet_is_waited_for() {
        let new = Story {
            task: "t".to_owned(),
            sandbox: "/s".to_owned(),
            state: TaskStaging,
            events: vec![],
        };
        assert_eq!(
            verdict(&new, Duration::ZERO),
            "t waits for its container and what is fetched for it"
        );
    }
}
