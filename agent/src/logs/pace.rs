//! When to look at a log again. Pure.

use std::time::Duration;

/// A quiet log's. A thousand tasks are two thousand looks in that time.
pub const LONGEST: Duration = Duration::from_secs(4);

/// A flooded one's.
pub const SHORTEST: Duration = Duration::from_millis(50);

/// In half the time in which a log that has grown by `grown` bytes in `waited` would come `left`
/// bytes nearer to its limit; and never much later than after the last wait, for it may grow faster.
pub fn next(left: u64, grown: u64, waited: Duration) -> Duration {
    let patient = (waited * 2).max(SHORTEST);
    let expected = match grown {
        0 => patient,
        _ => waited
            .checked_mul(u32::try_from(left / grown).unwrap_or(u32::MAX))
            .map_or(LONGEST, |time| time / 2),
    };
    expected.min(patient).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MB: u64 = 1 << 20;

    #[test]
    fn a_quiet_log_is_looked_at_more_and_more_seldom() {
        let mut wait = SHORTEST;
        for _ in 0..10 {
            wait = next(10 * MB, 0, wait);
        }
        assert_eq!(wait, LONGEST);
    }

    #[test]
    fn a_log_that_grows_is_looked_at_before_it_is_full() {
        assert_eq!(next(10 * MB, 10 * MB, SECOND), SECOND / 2);
        assert_eq!(next(MB, 10 * MB, SECOND), SHORTEST);
        assert_eq!(next(100 * MB, 10 * MB, SECOND), SECOND * 2);
        assert_eq!(next(u64::MAX, 1, LONGEST), LONGEST);
    }

    #[test]
    fn a_flood_out_of_silence_is_met_within_a_few_looks() {
        let (rate, limit) = (200 * MB, 10 * MB);
        let mut wait = next(limit, rate * 4, LONGEST);
        assert_eq!(wait, SHORTEST);
        // 10 MB in each of those.
        wait = next(limit / 2, rate / 20, wait);
        assert_eq!(wait, SHORTEST);
    }
}
