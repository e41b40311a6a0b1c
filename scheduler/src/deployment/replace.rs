//! Rolling replace: how many old instances may go and how many new ones may come, now.
//!
//! The answer depends only on a head count, not on what was decided before. So it can be asked
//! again after every event and after a restart, and it always continues where things stand.
//! Source of the arithmetic: spec/marathon-api.md, section 9.3.

use crate::app::UpgradeStrategy;

/// Instances of one app. *Ready* ones run and are healthy; *ending* ones were told to stop and
/// still hold their resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    pub old_ready: u32,
    pub old_unready: u32,
    pub new_ready: u32,
    pub new_unready: u32,
    pub ending: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moves {
    /// Unready ones are to go first.
    pub kill_old: u32,
    /// More than zero only when there are more new instances than the target.
    pub kill_new: u32,
    pub launch: u32,
}

/// How few ready and how many instances in all there may be on the way to `target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub min_ready: u32,
    pub max_total: u32,
}

// Keeps 0.7 × 10 = 7.000000000000001 from being rounded up to 8.
const ROUNDING: f64 = 1e-9;

/// The products saturate at what 32 bits hold, far beyond any cluster.
pub fn bounds(target: u32, strategy: UpgradeStrategy) -> Bounds {
    let n = f64::from(target);
    let min_ready = (n * strategy.minimum_health_capacity - ROUNDING)
        .ceil()
        .max(0.0) as u32;
    let max_total = (n * (1.0 + strategy.maximum_over_capacity) + ROUNDING).floor() as u32;
    if target > 0 && min_ready == max_total {
        // All must stay and none may be added: one more, or nothing could ever move.
        return Bounds {
            min_ready,
            max_total: max_total + 1,
        };
    }
    Bounds {
        min_ready,
        max_total,
    }
}

pub fn moves(target: u32, strategy: UpgradeStrategy, census: Census) -> Moves {
    let Bounds {
        min_ready,
        max_total,
    } = bounds(target, strategy);
    let old = census.old_ready + census.old_unready;
    let new = census.new_ready + census.new_unready;
    // Every new instance that is ready takes over from one old instance.
    let old_to_keep = min_ready.saturating_sub(census.new_ready);
    let room = max_total.saturating_sub(old + new + census.ending);
    Moves {
        kill_old: old.saturating_sub(old_to_keep),
        kill_new: new.saturating_sub(target),
        launch: target.saturating_sub(new).min(room),
    }
}

/// Nothing is left to do.
pub fn is_complete(target: u32, census: Census) -> bool {
    census
        == Census {
            new_ready: target,
            ..Census::default()
        }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strategy(minimum_health_capacity: f64, maximum_over_capacity: f64) -> UpgradeStrategy {
        UpgradeStrategy {
            minimum_health_capacity,
            maximum_over_capacity,
        }
    }

    #[test]
    fn bounds_follow_the_strategy() {
        #[rustfmt::skip]
        let table = [
            // target, (health, over), min_ready, max_total
            (4, (1.0, 1.0), 4, 8),
            (3, (0.5, 0.2), 2, 3),
            (4, (0.0, 0.0), 0, 4),
            (4, (1.0, 0.0), 4, 5),
            (10, (0.7, 0.1), 7, 11),
            (1, (1.0, 0.5), 1, 2),
            (0, (1.0, 1.0), 0, 0),
        ];
        for (target, (health, over), min_ready, max_total) in table {
            let got = bounds(target, strategy(health, over));
            assert_eq!(
                got,
                Bounds {
                    min_ready,
                    max_total
                },
                "{target} × ({health}, {over})"
            );
        }
    }

    #[test]
    fn by_default_all_new_instances_start_beside_the_old_ones() {
        let begin = Census {
            old_ready: 4,
            ..Census::default()
        };
        let got = moves(4, strategy(1.0, 1.0), begin);
        assert_eq!(
            got,
            Moves {
                launch: 4,
                ..Moves::default()
            }
        );
    }

    #[test]
    fn each_ready_new_instance_retires_one_old_instance() {
        let census = Census {
            old_ready: 4,
            new_ready: 1,
            new_unready: 3,
            ..Census::default()
        };
        assert_eq!(moves(4, strategy(1.0, 1.0), census).kill_old, 1);
    }

    #[test]
    fn without_any_capacity_to_keep_all_old_instances_go_before_the_first_new_one() {
        let begin = Census {
            old_ready: 4,
            ..Census::default()
        };
        let got = moves(4, strategy(0.0, 0.0), begin);
        assert_eq!(
            got,
            Moves {
                kill_old: 4,
                ..Moves::default()
            }
        );
        let gone = moves(4, strategy(0.0, 0.0), Census::default());
        assert_eq!(
            gone,
            Moves {
                launch: 4,
                ..Moves::default()
            }
        );
    }

    #[test]
    fn a_smaller_target_retires_the_surplus_at_once() {
        let begin = Census {
            old_ready: 5,
            ..Census::default()
        };
        assert_eq!(moves(2, strategy(1.0, 1.0), begin).kill_old, 3);
    }

    #[test]
    fn broken_old_instances_do_not_stop_a_replace() {
        let mut census = Census {
            old_unready: 4,
            ..Census::default()
        };
        for _ in 0..64 {
            let step = moves(4, strategy(1.0, 0.0), census);
            census.old_unready -= step.kill_old;
            census.new_ready += step.launch;
        }
        assert!(is_complete(4, census), "{census:?}");
    }

    proptest! {
        #[test]
        fn every_replace_ends_within_its_bounds(
            old in 0u32..12,
            target in 0u32..12,
            health in 0u32..=10,
            over in 0u32..=10,
            order in proptest::collection::vec(0u8..3, 400),
        ) {
            let strategy = strategy(f64::from(health) / 10.0, f64::from(over) / 10.0);
            let bounds = bounds(target, strategy);
            let mut census = Census { old_ready: old, ..Census::default() };
            let most = bounds.max_total.max(old);
            let least = bounds.min_ready.min(old);
            for choice in order {
                let step = moves(target, strategy, census);
                let unready = step.kill_old.min(census.old_unready);
                census.old_unready -= unready;
                census.old_ready -= step.kill_old - unready;
                census.ending += step.kill_old;
                census.new_unready += step.launch;
                prop_assert_eq!(step.kill_new, 0);
                let total = census.old_ready + census.old_unready + census.new_ready
                    + census.new_unready + census.ending;
                prop_assert!(total <= most, "{} instances, at most {}", total, most);
                let ready = census.old_ready + census.new_ready;
                prop_assert!(ready >= least, "{} ready, at least {}", ready, least);
                match choice {
                    0 if census.ending > 0 => census.ending -= 1,
                    1 if census.new_unready > 0 => {
                        census.new_unready -= 1;
                        census.new_ready += 1;
                    }
                    _ => {}
                }
            }
            prop_assert!(is_complete(target, census), "stuck at {:?}", census);
        }
    }
}
