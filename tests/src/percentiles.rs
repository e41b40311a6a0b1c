//! The one way in which benches of whole programs tell a distribution.

use std::fmt;
use std::time::Duration;

/// In milliseconds, by the nearest rank: not the greatest of them, as long as there are enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
}

impl Percentiles {
    /// Of one at least.
    pub fn of(mut taken: Vec<Duration>) -> Self {
        taken.sort_unstable();
        let at = |percent: usize| {
            let rank = (taken.len() * percent).div_ceil(100);
            taken[rank.max(1) - 1].as_secs_f64() * 1e3
        };
        Self {
            p50: at(50),
            p99: at(99),
        }
    }
}

/// With as many digits as are asked for, or one.
impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        write!(
            f,
            "p50 {:.digits$} ms, p99 {:.digits$} ms",
            self.p50, self.p99
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_hundred_may_be_slower() {
        let taken: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        let told = Percentiles::of(taken);
        assert_eq!((told.p50, told.p99), (50.0, 99.0));
        assert_eq!(format!("{told:.2}"), "p50 50.00 ms, p99 99.00 ms");
        let one = Percentiles::of(vec![Duration::from_secs(1)]);
        assert_eq!(one.to_string(), "p50 1000.0 ms, p99 1000.0 ms");
    }
}
