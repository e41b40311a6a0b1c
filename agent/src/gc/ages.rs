//! How long ago runs have ended. As long as this process watches them, a clock that nobody sets tells; of what
//! ended before, only the times of its files do. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Candidate;

#[derive(Debug, Default)]
pub struct Ages {
    /// By container.
    seen: BTreeMap<String, Seen>,
    looked: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    age: Duration,
    at: Instant,
}

impl Ages {
    /// `ended`: all runs that have, at `now`, each as old as its files seem to be. They are as old as they are
    /// afterwards.
    pub fn correct(&mut self, ended: &mut [Candidate], now: Instant) {
        let since_last = self.looked.map(|at| now.saturating_duration_since(at));
        let mut seen = BTreeMap::new();
        for candidate in ended {
            let container = candidate.run.container.clone();
            let first = Seen {
                // At the last look it had not ended.
                age: candidate.age.min(since_last.unwrap_or(Duration::MAX)),
                at: now,
            };
            let kept = self.seen.get(&container).copied().unwrap_or(first);
            if !candidate.is_rest() {
                candidate.age = kept.age + now.saturating_duration_since(kept.at);
            }
            seen.insert(container, kept);
        }
        (self.seen, self.looked) = (seen, Some(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Run;

    const MINUTE: Duration = Duration::from_secs(60);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    fn ended(container: &str, age: Duration) -> Candidate {
        let container = container.to_owned();
        let run = Run {
            container,
            ..Run::default()
        };
        Candidate { run, age }
    }

    fn ages(of: &[Candidate]) -> Vec<Duration> {
        of.iter().map(|it| it.age).collect()
    }

    #[test]
    fn who_sets_the_clock_makes_nothing_that_is_watched_older_or_younger() {
        let (mut ages_of, now) = (Ages::default(), Instant::now());
        let mut all = [ended("before", 5 * MINUTE)];
        ages_of.correct(&mut all, now);
        assert_eq!(ages(&all), [5 * MINUTE]);
        // A year forward; another has ended meanwhile.
        let mut all = [ended("before", YEAR), ended("just now", YEAR)];
        ages_of.correct(&mut all, now + MINUTE);
        assert_eq!(ages(&all), [6 * MINUTE, MINUTE]);
        // Far back: their files are from the future.
        let mut all = [
            ended("before", Duration::ZERO),
            ended("just now", Duration::ZERO),
        ];
        ages_of.correct(&mut all, now + 10 * MINUTE);
        assert_eq!(ages(&all), [15 * MINUTE, 10 * MINUTE]);
    }

    #[test]
    fn what_is_from_the_future_grows_old_all_the_same_and_what_has_gone_is_forgotten() {
        let (mut ages_of, now) = (Ages::default(), Instant::now());
        let mut all = [ended("future", Duration::ZERO)];
        ages_of.correct(&mut all, now);
        ages_of.correct(&mut all, now + 3 * MINUTE);
        assert_eq!(ages(&all), [3 * MINUTE]);
        ages_of.correct(&mut [], now + 4 * MINUTE);
        assert!(ages_of.seen.is_empty());
    }

    #[test]
    fn what_a_removal_has_left_is_old_at_once() {
        let (mut ages_of, now) = (Ages::default(), Instant::now());
        ages_of.correct(&mut [], now);
        let mut all = [ended("rest", Duration::MAX)];
        ages_of.correct(&mut all, now + MINUTE);
        assert_eq!(ages(&all), [Duration::MAX]);
    }
}
