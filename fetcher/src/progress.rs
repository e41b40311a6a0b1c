//! How far a fetch has come: counted in the child, which says it now and then, and kept on the agent's side
//! for who asks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Of all files of one fetch together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub bytes: u64,
    /// Once the servers of all have told.
    pub total: Option<u64>,
    pub bytes_per_second: u64,
}

/// A fetch that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    pub files: usize,
    /// That came from servers; what the cache had did not.
    pub bytes: u64,
    pub taken: Duration,
}

impl Fetched {
    pub fn bytes_per_second(&self) -> u64 {
        rate(self.bytes, self.taken)
    }
}

/// The child's count. Clones count together.
#[derive(Debug, Clone)]
pub struct Meter(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    came: AtomicU64,
    announced: AtomicU64,
    /// Files of which nobody has said yet how long they are.
    unknown: AtomicUsize,
}

impl Meter {
    pub fn new(files: usize) -> Self {
        Self(Arc::new(Counts {
            came: AtomicU64::new(0),
            announced: AtomicU64::new(0),
            unknown: AtomicUsize::new(files),
        }))
    }

    /// One of its files.
    pub fn part(&self) -> Part {
        Part {
            meter: self.clone(),
            announced: None,
        }
    }

    /// What came, and how much that will be in the end, if it is known.
    pub fn read(&self) -> (u64, Option<u64>) {
        let came = self.0.came.load(Ordering::Relaxed);
        let known = self.0.unknown.load(Ordering::Relaxed) == 0;
        let total = known.then(|| self.0.announced.load(Ordering::Relaxed));
        (came, total)
    }
}

/// One file's part of a count. One that is dropped before anybody said how long it is has no bytes to come.
#[derive(Debug)]
pub struct Part {
    meter: Meter,
    announced: Option<u64>,
}

impl Part {
    pub fn came(&self, bytes: u64) {
        self.meter.0.came.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It will come again.
    pub fn lost(&self, bytes: u64) {
        self.meter.0.came.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn announce(&mut self, length: u64) {
        let counts = &self.meter.0;
        counts.announced.fetch_add(length, Ordering::Relaxed);
        match self.announced.replace(length) {
            Some(before) => drop(counts.announced.fetch_sub(before, Ordering::Relaxed)),
            None => drop(counts.unknown.fetch_sub(1, Ordering::Relaxed)),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.announced.is_none() {
            self.announce(0);
        }
    }
}

/// Fetches that are under way, by their sandboxes.
#[derive(Debug, Default)]
pub struct UnderWay(Mutex<BTreeMap<PathBuf, Gauge>>);

#[derive(Debug)]
struct Gauge {
    progress: Progress,
    told: Instant,
}

impl UnderWay {
    pub fn begin(&self, sandbox: &Path) -> Watched<'_> {
        let gauge = Gauge {
            progress: Progress::default(),
            told: Instant::now(),
        };
        self.all().insert(sandbox.to_owned(), gauge);
        Watched {
            all: self,
            sandbox: sandbox.to_owned(),
        }
    }

    pub fn of(&self, sandbox: &Path) -> Option<Progress> {
        Some(self.all().get(sandbox)?.progress)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Gauge>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Known as long as this is there.
pub struct Watched<'a> {
    all: &'a UnderWay,
    sandbox: PathBuf,
}

impl Watched<'_> {
    pub fn told(&self, bytes: u64, total: Option<u64>, now: Instant) {
        if let Some(gauge) = self.all.all().get_mut(&self.sandbox) {
            let taken = now.saturating_duration_since(gauge.told);
            gauge.progress = Progress {
                bytes,
                total,
                bytes_per_second: rate(bytes.saturating_sub(gauge.progress.bytes), taken),
            };
            gauge.told = now;
        }
    }

    pub fn bytes(&self) -> u64 {
        self.all.of(&self.sandbox).unwrap_or_default().bytes
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.all.all().remove(&self.sandbox);
    }
}

/// Bytes per second.
pub fn rate(bytes: u64, taken: Duration) -> u64 {
    let milliseconds = taken.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / milliseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_known_once_all_lengths_are() {
        let meter = Meter::new(3);
        let (mut one, mut other, third) = (meter.part(), meter.part(), meter.part());
        one.announce(10);
        one.came(4);
        assert_eq!(meter.read(), (4, None));
        other.announce(20);
        // From the cache.
        drop(third);
        assert_eq!(meter.read(), (4, Some(30)));
        // It was another length, and begins again.
        one.lost(4);
        one.announce(12);
        one.came(12);
        assert_eq!(meter.read(), (12, Some(32)));
    }

    #[test]
    fn a_fetch_is_known_while_it_is_under_way_and_its_rate_is_that_of_late() {
        let all = UnderWay::default();
        let sandbox = Path::new("/s");
        let begun = Instant::now();
        let watched = all.begin(sandbox);
        watched.told(1000, None, begun + Duration::from_secs(10));
        let later = begun + Duration::from_millis(10_500);
        watched.told(3000, Some(9000), later);
        assert_eq!(
            all.of(sandbox),
            Some(Progress {
                bytes: 3000,
                total: Some(9000),
                bytes_per_second: 4000
            })
        );
        drop(watched);
        assert_eq!(all.of(sandbox), None);
    }
}
