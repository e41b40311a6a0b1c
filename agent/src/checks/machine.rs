//! One check of a task that runs, as a pure machine.
//!
//! ```text
//!            due              done: what was found is told, if it is news
//! Waiting ────────► Probing ──────────────────────────────────────────────► Waiting …
//!                      └──── the last failure that was allowed ──► Over
//! ```

use std::time::{Duration, Instant};

use proto::units::format_duration;
use proto::v1::CheckStatusInfo;

use super::asked::{Check, Kind};
use super::past::Past;

#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    phase: Phase,
    interval: Duration,
    judge: Judge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting {
        until: Instant,
    },
    Probing,
    /// The task is to end.
    Over,
}

#[derive(Debug, Clone, PartialEq)]
enum Judge {
    Health {
        /// Until then failures do not count, if there was no success.
        grace: Option<Instant>,
        /// Allowed in a row.
        limit: u32,
        failures: u32,
        has_succeeded: bool,
    },
    General {
        unknown: CheckStatusInfo,
        told: CheckStatusInfo,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The moment of `due` may have come.
    Due,
    Done(Outcome),
}

/// What a look has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The command has ended, with this status and these last words.
    Exited {
        status: i32,
        said: String,
    },
    /// By HTTP, with this status.
    Answered(u16),
    Connected,
    /// Why there is nothing, as a sentence.
    Failed(String),
    TimedOut(Duration),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Look, and say `Done`.
    Probe,
    Tell(Finding),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    Healthy,
    Unhealthy {
        said: String,
        /// In a row.
        failures: u32,
        /// There were too many: the task is to end.
        is_last: bool,
    },
    Status(CheckStatusInfo),
}

impl Machine {
    /// Of a task that runs since `past.since`, or `now`.
    pub fn begin(check: &Check, past: &Past, now: Instant) -> Machine {
        let since = past.since.unwrap_or(now);
        Machine {
            phase: Phase::Waiting {
                until: first(since + check.delay, check.interval, now),
            },
            interval: check.interval,
            judge: match check.kind {
                Kind::Health { grace, failures } => Judge::Health {
                    grace: (!grace.is_zero()).then(|| since + grace),
                    limit: failures,
                    failures: past.failures,
                    has_succeeded: past.healthy.is_some(),
                },
                Kind::General => {
                    let unknown = check.probe.unknown();
                    let told = past.status.unwrap_or(unknown);
                    Judge::General { unknown, told }
                }
            },
        }
    }

    /// When `Event::Due` should come; `None` when nothing is to be looked at any more, and while somebody looks.
    pub fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Probing | Phase::Over => None,
        }
    }

    pub fn step(&mut self, event: Event, now: Instant) -> Option<Effect> {
        match (self.phase, event) {
            (Phase::Waiting { until }, Event::Due) if until <= now => {
                self.phase = Phase::Probing;
                Some(Effect::Probe)
            }
            (Phase::Probing, Event::Done(outcome)) => {
                let finding = self.judge.judge(&outcome, now);
                self.phase = match &finding {
                    Some(Finding::Unhealthy { is_last: true, .. }) => Phase::Over,
                    _ => Phase::Waiting {
                        until: now + self.interval,
                    },
                };
                finding.map(Effect::Tell)
            }
            (Phase::Waiting { .. } | Phase::Probing | Phase::Over, _) => None,
        }
    }
}

/// After a restart of the agent the looks go on as they would have: not all tasks are looked at at once.
fn first(due: Instant, interval: Duration, now: Instant) -> Instant {
    let late = now.saturating_duration_since(due).as_nanos();
    let missed = late.div_ceil(interval.as_nanos().max(1));
    match u32::try_from(missed) {
        Ok(missed) => due + interval.saturating_mul(missed),
        Err(_very_late) => now,
    }
}

impl Judge {
    fn judge(&mut self, outcome: &Outcome, now: Instant) -> Option<Finding> {
        match self {
            Judge::Health {
                grace,
                limit,
                failures,
                has_succeeded,
            } => {
                let Some(why) = outcome.failure() else {
                    let is_news = !*has_succeeded || *failures > 0;
                    *has_succeeded = true;
                    *failures = 0;
                    return is_news.then_some(Finding::Healthy);
                };
                if !*has_succeeded && grace.is_some_and(|until| now <= until) {
                    return None;
                }
                *failures = failures.saturating_add(1);
                Some(Finding::Unhealthy {
                    said: format!("Health check failed ({failures} in a row of {limit}): {why}"),
                    failures: *failures,
                    is_last: *failures >= *limit,
                })
            }
            Judge::General { unknown, told } => {
                let found = outcome.shown_in(*unknown);
                let is_news = found != *told;
                *told = found;
                is_news.then_some(Finding::Status(found))
            }
        }
    }
}

impl Outcome {
    /// Why it is no sign of health; `None` when it is one.
    fn failure(&self) -> Option<String> {
        match self {
            Outcome::Exited { status: 0, .. }
            | Outcome::Answered(200..=399)
            | Outcome::Connected => None,
            Outcome::Exited { status, said } if said.is_empty() => {
                Some(format!("command exited with status {status}"))
            }
            Outcome::Exited { status, said } => {
                Some(format!("command exited with status {status}: {said}"))
            }
            Outcome::Answered(status) => Some(format!("HTTP status {status}")),
            Outcome::Failed(why) => Some(why.clone()),
            Outcome::TimedOut(after) => {
                Some(format!("timed out after {}", format_duration(*after)))
            }
        }
    }

    fn shown_in(&self, unknown: CheckStatusInfo) -> CheckStatusInfo {
        let mut shown = unknown;
        if let (Some(command), Outcome::Exited { status, .. }) = (&mut shown.command, self) {
            command.exit_code = Some(*status);
        }
        if let (Some(http), Outcome::Answered(status)) = (&mut shown.http, self) {
            http.status_code = Some((*status).into());
        }
        if let Some(tcp) = &mut shown.tcp {
            tcp.succeeded = match self {
                Outcome::Connected => Some(true),
                Outcome::Failed(_) => Some(false),
                Outcome::Exited { .. } | Outcome::Answered(_) | Outcome::TimedOut(_) => None,
            };
        }
        shown
    }
}

impl Finding {
    /// The task is to end.
    pub fn ends_the_task(&self) -> bool {
        matches!(self, Finding::Unhealthy { is_last: true, .. })
    }

    /// It was told before, and that again changes nothing.
    pub fn only_repeats(&self) -> bool {
        match self {
            Finding::Unhealthy {
                failures, is_last, ..
            } => *failures > 1 && !is_last,
            Finding::Healthy | Finding::Status(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
