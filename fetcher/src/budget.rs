//! How many bytes one request may put into the sandbox, all downloads and archives together.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// For a task that names no disk. Generous, but a bomb ends.
const DEFAULT: u64 = 64 << 30;
/// Of what is free at the start; the rest is for the logs of those who run already.
const FREE_PERCENT: u64 = 90;

/// One that is cloned is the same budget: downloads and an unpacking take from it at once.
#[derive(Debug, Clone)]
pub struct Budget {
    limit: u64,
    left: Arc<AtomicU64>,
    bound: Bound,
    closed: Arc<AtomicBool>,
}

/// What sets the limit, and with it the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    Task,
    Default,
    FreeSpace,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it needs at least {asked} bytes, and {left} are left of {limit}, which is {bound}")]
pub struct OverLimit {
    pub asked: u64,
    pub left: u64,
    pub limit: u64,
    pub bound: Bound,
}

impl Budget {
    /// `task` is the task's disk, `free` what the sandbox's file system can still take, `None` when
    /// it does not tell; both in bytes. The smaller bound counts.
    pub fn new(task: Option<u64>, free: Option<u64>) -> Self {
        let wanted = match task {
            Some(limit) => (limit, Bound::Task),
            None => (DEFAULT, Bound::Default),
        };
        let usable = free.map(|free| (free / 100 * FREE_PERCENT, Bound::FreeSpace));
        let (limit, bound) = match usable {
            Some(usable) if usable.0 < wanted.0 => usable,
            _ => wanted,
        };
        Self {
            limit,
            left: Arc::new(limit.into()),
            bound,
            closed: Arc::default(),
        }
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Whether as much as was announced could be taken.
    pub fn check(&self, bytes: u64) -> Result<(), OverLimit> {
        match self.left() {
            left if bytes <= left => Ok(()),
            left => Err(self.over(bytes, left)),
        }
    }

    /// To be called before the bytes are written.
    pub fn take(&self, bytes: u64) -> Result<(), OverLimit> {
        let is_open = !self.is_closed();
        let less = |left: u64| left.checked_sub(bytes).filter(|_| is_open);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.map(drop).map_err(|left| self.over(bytes, left))
    }

    /// The fetch is over: who still unpacks ends at the next entry or piece.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Of what was taken and is not in the sandbox any more.
    pub fn give_back(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }

    fn over(&self, asked: u64, left: u64) -> OverLimit {
        OverLimit {
            asked,
            left,
            limit: self.limit,
            bound: self.bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task => write!(f, "the task's disk: give the task more disk, or fetch less"),
            Self::Default => write!(
                f,
                "the most for a task without a disk resource: give the task disk, or fetch less"
            ),
            Self::FreeSpace => write!(
                f,
                "{FREE_PERCENT} % of what was free for sandboxes on the agent: free space there, \
                 or fetch less"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_of_the_tasks_disk_and_the_free_space_counts() {
        let bound = |task, free| {
            let budget = Budget::new(task, free);
            (budget.limit, budget.bound)
        };
        assert_eq!(bound(Some(500), Some(1000)), (500, Bound::Task));
        assert_eq!(bound(Some(1000), Some(1000)), (900, Bound::FreeSpace));
        assert_eq!(bound(None, Some(1000)), (900, Bound::FreeSpace));
        assert_eq!(bound(None, None), (DEFAULT, Bound::Default));
        assert_eq!(bound(None, Some(u64::MAX)), (DEFAULT, Bound::Default));
    }

    #[test]
    fn what_was_taken_is_gone_for_the_next_file() {
        let budget = Budget::new(Some(100), None);
        budget.take(60).unwrap();
        assert_eq!(
            budget.take(50).unwrap_err().to_string(),
            "it needs at least 50 bytes, and 40 are left of 100, which is the task's disk: give \
             the task more disk, or fetch less"
        );
        assert_eq!(budget.clone().take(40), Ok(()));
        assert_eq!(budget.left(), 0);
        budget.give_back(60);
        assert_eq!(budget.take(60), Ok(()));
        budget.give_back(60);
        budget.clone().close();
        assert!(budget.take(1).is_err() && budget.is_closed());
    }
}
