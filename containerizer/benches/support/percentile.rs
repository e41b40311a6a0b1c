//! The one way in which these benches tell a distribution.

use std::time::Duration;

/// What at least `percent` of 100 did not exceed, by the nearest rank: not the greatest of them, as long as
/// there are enough.
pub fn percentile(taken: &[Duration], percent: usize) -> Duration {
    let mut taken = taken.to_vec();
    taken.sort_unstable();
    let rank = (taken.len() * percent).div_ceil(100);
    taken[rank.max(1) - 1]
}
