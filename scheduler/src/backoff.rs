//! How long an app that keeps ending has to wait before its next instance.
//! Source: spec/marathon-api.md, section 10.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::app::{App, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    pub first: Duration,
    /// At least 1.0.
    pub factor: f64,
    pub most: Duration,
}

impl Policy {
    pub fn of(app: &App) -> Self {
        let seconds = |s: f64| Duration::try_from_secs_f64(s).unwrap_or(Duration::ZERO);
        let most = seconds(app.max_launch_delay_seconds);
        Self {
            first: seconds(app.backoff_seconds).min(most),
            factor: app.backoff_factor,
            most,
        }
    }
}

/// The delay of an app that has failed at least once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    delay: Duration,
    failed_at: Timestamp,
}

impl Backoff {
    /// The state after one more failure.
    pub fn after_failure(last: Option<Backoff>, policy: Policy, now: Timestamp) -> Self {
        let delay = match last {
            Some(last) if !last.is_forgiven(policy, now) => {
                // Capped before it becomes a duration: factors may be astronomic.
                let grown = last.delay.as_secs_f64() * policy.factor;
                Duration::from_secs_f64(grown.min(policy.most.as_secs_f64()))
            }
            _ => policy.first,
        };
        Self {
            delay,
            failed_at: now,
        }
    }

    /// The earliest moment for the next launch.
    pub fn until(&self) -> Timestamp {
        later(self.failed_at, self.delay)
    }

    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until() <= now
    }

    /// It has run long enough since the last failure to start from the first delay again.
    fn is_forgiven(&self, policy: Policy, now: Timestamp) -> bool {
        later(self.failed_at, self.delay + policy.most) < now
    }
}

/// `moment` plus `duration`, rounded up to the millisecond that timestamps can tell.
pub fn later(moment: Timestamp, duration: Duration) -> Timestamp {
    let millis = i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
    Timestamp::from_millis(moment.millis().saturating_add(millis))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(first: u64, factor: f64, most: u64) -> Policy {
        Policy {
            first: Duration::from_secs(first),
            factor,
            most: Duration::from_secs(most),
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    fn delays(policy: Policy, failures: &[i64]) -> Vec<f64> {
        let mut last = None;
        let mut delays = Vec::new();
        for failure in failures {
            let backoff = Backoff::after_failure(last, policy, at(*failure));
            delays.push(backoff.delay.as_secs_f64());
            last = Some(backoff);
        }
        delays
    }

    #[test]
    fn each_failure_multiplies_the_delay_up_to_the_most() {
        assert_eq!(
            delays(policy(1, 2.0, 5), &[0, 1, 2, 3, 4]),
            [1.0, 2.0, 4.0, 5.0, 5.0]
        );
    }

    #[test]
    fn a_long_run_without_failure_starts_over() {
        let policy = policy(1, 2.0, 10);
        assert_eq!(delays(policy, &[0, 11_000, 23_000]), [1.0, 2.0, 4.0]);
        assert_eq!(delays(policy, &[0, 11_001]), [1.0, 1.0]);
    }

    #[test]
    fn the_wait_ends_after_the_delay() {
        let backoff = Backoff::after_failure(None, policy(1, 1.15, 300), at(0));
        assert!(!backoff.is_over(at(999)));
        assert!(backoff.is_over(at(1000)));
    }

    proptest! {
        #[test]
        fn a_delay_never_shrinks_and_never_exceeds_the_most(
            first in 0u64..10, factor in 1.0f64..1e300, most in 0u64..400, failures in 1i64..40,
        ) {
            let policy = policy(first.min(most), factor, most);
            let delays = delays(policy, &(0..failures).collect::<Vec<_>>());
            prop_assert!(delays.is_sorted());
            prop_assert!(delays.iter().all(|d| *d <= most as f64));
        }
    }
}
