//! How fast the trees of tasks are measured: a huge one must not take the node from its tasks.

use std::time::{Duration, Instant};

/// Entries between two looks at the clock.
const ENTRIES: u32 = 64;

/// Works for a while and rests for longer, until its patience ends.
#[derive(Debug, Clone)]
pub struct Pace {
    work: Duration,
    rest: Duration,
    patience: Duration,
    begun: Instant,
    since: Instant,
    entries: u32,
}

impl Pace {
    /// A fifth of a processor, for ten minutes.
    pub fn gentle() -> Pace {
        Pace::new(
            Duration::from_millis(10),
            Duration::from_millis(40),
            Duration::from_secs(600),
        )
    }

    pub fn new(work: Duration, rest: Duration, patience: Duration) -> Pace {
        let now = Instant::now();
        Pace {
            work,
            rest,
            patience,
            begun: now,
            since: now,
            entries: 0,
        }
    }

    /// One entry more; waits when it is time to. Whether there is time for another.
    pub fn step(&mut self) -> bool {
        self.entries += 1;
        if self.entries < ENTRIES {
            return true;
        }
        self.entries = 0;
        if self.since.elapsed() >= self.work {
            std::thread::sleep(self.rest);
            self.since = Instant::now();
        }
        self.begun.elapsed() < self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_between_its_work_and_ends_with_its_patience() {
        let rest = Duration::from_millis(5);
        let mut pace = Pace::new(Duration::ZERO, rest, Duration::from_millis(20));
        let begun = Instant::now();
        let mut steps = 0;
        while pace.step() {
            steps += 1;
        }
        // Each rest takes at least its time, and comes after as many entries.
        assert!(begun.elapsed() >= rest * (steps / ENTRIES));
        assert!((1..=4 * ENTRIES).contains(&(steps + 1)), "{steps}");
    }
}
