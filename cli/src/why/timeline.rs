//! What became of a task, and when: a line for each status.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use proto::v1::TaskState;
use proto::v1::task_status::Reason;

use super::story::Event;

/// States are padded to the longest that is there.
pub fn timeline(events: &[Event]) -> Vec<String> {
    let longest = events.iter().map(|event| state(event.state).len()).max();
    let width = longest.unwrap_or_default();
    events.iter().map(|event| line(event, width)).collect()
}

fn line(event: &Event, width: usize) -> String {
    let (at, state) = (moment(event.at), state(event.state));
    let reason = event.reason.map(reason);
    let words = event.words().map(str::to_owned);
    let why: Vec<_> = reason.into_iter().chain(words).collect();
    let why = why.join(": ");
    format!("{at}  {state:<width$}  {why}")
        .trim_end()
        .to_owned()
}

/// `TASK_GONE_BY_OPERATOR` is `gone by operator`.
fn state(state: TaskState) -> String {
    in_words(state.as_str_name(), "TASK_")
}

fn reason(reason: Reason) -> String {
    in_words(reason.as_str_name(), "REASON_")
}

fn in_words(name: &str, prefix: &str) -> String {
    let name = name.strip_prefix(prefix).unwrap_or(name);
    name.replace('_', " ").to_lowercase()
}

/// A time since 1970, in UTC: the agent may be anywhere.
fn moment(since: Duration) -> String {
    // To the nearest millisecond, for it was a fraction in floating point.
    let millis = (since + Duration::from_micros(500)).as_millis();
    let moment = i64::try_from(millis).ok();
    let moment = moment.and_then(DateTime::from_timestamp_millis);
    moment
        .unwrap_or(DateTime::UNIX_EPOCH)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use proto::v1::TaskState::{TaskFailed, TaskGoneByOperator, TaskStarting};

    use super::super::story::tests::event;
    use super::*;

    #[test]
    fn each_status_is_a_line_with_its_moment_in_utc() {
        let mut failed = event(TaskFailed, 1_700_000_000.123);
        failed.reason = Some(Reason::ContainerLimitationMemory);
        failed.message = Some("Memory limit exceeded".to_owned());
        let mut gone = event(TaskGoneByOperator, 1_700_000_001.0);
        gone.reason = Some(Reason::AgentRemovedByOperator);
        assert_eq!(
            timeline(&[event(TaskStarting, 1_699_999_999.5), failed, gone]),
            [
                "2023-11-14T22:13:19.500Z  starting",
                "2023-11-14T22:13:20.123Z  failed            container limitation memory: Memory \
                 limit exceeded",
                "2023-11-14T22:13:21.000Z  gone by operator  agent removed by operator",
            ]
        );
    }
}
