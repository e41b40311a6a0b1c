//! What is known of one health check of one instance, and what a look at it means. Pure.
//! Source: spec/marathon-api.md, section 7.3.

use crate::app::Timestamp;
use crate::app::health::Probe;

/// Since it was first told; nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    pub first_success: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
    pub last_failure: Option<Timestamp>,
    pub last_failure_cause: Option<String>,
    pub consecutive_failures: u32,
}

/// What a look by the scheduler has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// By HTTP, with this status.
    Answered(u16),
    Connected,
    /// Why there is nothing.
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Success,
    Failure(String),
    /// It says nothing either way.
    Neither,
}

impl Health {
    pub fn is_known(&self) -> bool {
        self.last_success.is_some() || self.last_failure.is_some()
    }

    /// It was there when it was last looked at.
    pub fn is_alive(&self) -> bool {
        self.last_success.is_some() && self.consecutive_failures == 0
    }

    pub fn succeeded(&mut self, now: Timestamp) {
        self.first_success.get_or_insert(now);
        self.last_success = Some(now);
        self.consecutive_failures = 0;
    }

    pub fn failed(&mut self, cause: String, now: Timestamp) {
        self.last_failure = Some(now);
        self.last_failure_cause = Some(cause);
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
    }
}

/// Of all checks of one instance; `None` while that is not known.
pub fn all<'a>(checks: impl IntoIterator<Item = &'a Health>) -> Option<bool> {
    let mut healthy = Some(true);
    for health in checks {
        match (health.is_known(), health.is_alive()) {
            (true, false) => return Some(false),
            (true, true) => {}
            (false, _) => healthy = None,
        }
    }
    healthy
}

pub fn verdict(probe: &Probe, outcome: Outcome) -> Verdict {
    let ignores_1xx = matches!(
        probe,
        Probe::Http {
            ignore_http1xx: true,
            ..
        }
    );
    match outcome {
        Outcome::Connected | Outcome::Answered(200..=399) => Verdict::Success,
        Outcome::Answered(100..=199) if ignores_1xx => Verdict::Neither,
        Outcome::Answered(status) => Verdict::Failure(format!("HTTP status {status}")),
        Outcome::Failed(why) => Verdict::Failure(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::health::{CheckPort, Scheme};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_success_forgives_all_failures_before_it() {
        let mut health = Health::default();
        assert!(!health.is_known() && !health.is_alive());
        health.failed("refused".into(), at(1));
        health.failed("refused".into(), at(2));
        assert_eq!(health.consecutive_failures, 2);
        assert!(health.is_known() && !health.is_alive());
        // In the same millisecond.
        health.succeeded(at(2));
        health.succeeded(at(3));
        assert!(health.is_alive());
        assert_eq!(
            (health.first_success, health.last_success),
            (Some(at(2)), Some(at(3)))
        );
        assert_eq!(health.last_failure_cause.as_deref(), Some("refused"));
    }

    #[test]
    fn one_check_that_fails_is_enough_and_one_that_is_not_known_leaves_it_open() {
        let unknown = Health::default();
        let (mut good, mut bad) = (Health::default(), Health::default());
        good.succeeded(at(1));
        bad.failed("refused".into(), at(1));
        assert_eq!(all([&good, &good]), Some(true));
        assert_eq!(all([&good, &unknown]), None);
        assert_eq!(all([&unknown, &bad]), Some(false));
    }

    #[test]
    fn an_answer_is_good_or_bad_by_its_status() {
        let http = |ignore_http1xx| Probe::Http {
            scheme: Scheme::Http,
            path: "/".into(),
            port: CheckPort::Index(0),
            ignore_http1xx,
        };
        let failure = |status| Verdict::Failure(format!("HTTP status {status}"));
        let table = [
            (200, Verdict::Success),
            (399, Verdict::Success),
            (400, failure(400)),
            (500, failure(500)),
            (101, failure(101)),
        ];
        for (status, wanted) in table {
            assert_eq!(verdict(&http(false), Outcome::Answered(status)), wanted);
        }
        assert_eq!(
            verdict(&http(true), Outcome::Answered(101)),
            Verdict::Neither
        );
    }
}
