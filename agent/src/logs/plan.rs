//! What is to be done with a log of this size. Pure.
//!
//! A log is never replaced: its task holds it open and goes on appending. Instead its beginning is
//! copied to a file of its own and then given back to the file system, in whole blocks, so that the
//! last line of one file goes on in the next: all files one after the other are the stream that the
//! task wrote.

use super::limits::Limit;

/// A log as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Where its bytes begin: what is before was given back, and stays as a hole where the file
    /// system cannot take that out. A multiple of the block.
    pub start: u64,
    /// Where they end.
    pub size: u64,
    /// What the file system gives back in.
    pub block: u64,
}

/// Takes bytes from a log's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub bytes: u64,
    pub fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They become the newest rotated file.
    Kept,
    /// The same, together with what is written while they are copied: so that little is left to
    /// move when they are given back, which is what the task would have to wait for.
    KeptWithNews,
    /// They are older than all that is kept.
    Dropped,
}

/// One after the other. What a task has written while no agent was there may be many files.
pub fn plan(limit: Limit, seen: Seen) -> Vec<Cut> {
    let Seen { start, size, block } = seen;
    let whole = last_block(size, block).saturating_sub(start);
    if size.saturating_sub(start) < limit.size || whole == 0 {
        return Vec::new();
    }
    if limit.keep == 0 {
        return vec![Cut {
            bytes: whole,
            fate: Fate::Dropped,
        }];
    }
    let piece = limit.size.next_multiple_of(block);
    let pieces = (whole / piece).max(1);
    let kept = pieces.min(u64::from(limit.keep));
    let too_old = pieces - kept;
    let mut cuts = Vec::new();
    if too_old > 0 {
        cuts.push(Cut {
            bytes: too_old * piece,
            fate: Fate::Dropped,
        });
    }
    cuts.extend((1..kept).map(|_| Cut {
        bytes: piece,
        fate: Fate::Kept,
    }));
    cuts.push(Cut {
        bytes: whole - (pieces - 1) * piece,
        fate: Fate::KeptWithNews,
    });
    cuts
}

/// Whether a copy up to `end` goes on once more, and to where, now that the log is `size` bytes long.
pub fn news(end: u64, size: u64, block: u64) -> Option<u64> {
    /// Blocks that are moved quickly enough.
    const FEW: u64 = 16;
    let last = last_block(size, block);
    (last > end && (last - end) / block > FEW).then_some(last)
}

/// A file cannot be taken out to its very end.
fn last_block(size: u64, block: u64) -> u64 {
    size.saturating_sub(1) / block * block
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: u64 = 4096;

    fn cuts(limit: (u64, u32), start: u64, size: u64) -> Vec<(u64, Fate)> {
        let limit = Limit {
            size: limit.0 * BLOCK,
            keep: limit.1,
        };
        let seen = Seen {
            start: start * BLOCK,
            size,
            block: BLOCK,
        };
        let plan = plan(limit, seen);
        plan.iter().map(|c| (c.bytes / BLOCK, c.fate)).collect()
    }

    #[test]
    fn a_log_is_rotated_when_it_is_large_enough_and_not_before() {
        assert_eq!(cuts((10, 4), 0, 10 * BLOCK - 1), []);
        assert_eq!(cuts((10, 4), 0, 10 * BLOCK), [(9, Fate::KeptWithNews)]);
        assert_eq!(cuts((10, 4), 0, 10 * BLOCK + 1), [(10, Fate::KeptWithNews)]);
        assert_eq!(cuts((10, 0), 0, 10 * BLOCK + 1), [(10, Fate::Dropped)]);
        assert_eq!(cuts((1, 4), 0, BLOCK), [], "a block that may still grow");
    }

    #[test]
    fn what_was_given_back_does_not_count() {
        assert_eq!(cuts((10, 4), 100, 110 * BLOCK - 1), []);
        assert_eq!(
            cuts((10, 4), 100, 110 * BLOCK + 1),
            [(10, Fate::KeptWithNews)]
        );
    }

    #[test]
    fn after_a_time_without_an_agent_the_newest_files_are_kept() {
        let (kept, last) = (Fate::Kept, Fate::KeptWithNews);
        assert_eq!(cuts((10, 4), 0, 25 * BLOCK + 1), [(10, kept), (15, last)]);
        let much = [
            (30, Fate::Dropped),
            (10, kept),
            (10, kept),
            (10, kept),
            (17, last),
        ];
        assert_eq!(cuts((10, 4), 0, 77 * BLOCK + 5), much);
    }

    #[test]
    fn a_copy_that_is_far_behind_goes_on() {
        assert_eq!(news(BLOCK, 17 * BLOCK + 1, BLOCK), None);
        assert_eq!(news(BLOCK, 18 * BLOCK + 1, BLOCK), Some(18 * BLOCK));
        assert_eq!(news(BLOCK, 0, BLOCK), None, "cut short by its task");
    }

    proptest! {
        #[test]
        fn a_plan_leaves_less_than_the_limit_and_keeps_no_more_than_it_may(
            limit in 1..100u64, keep in 0..5u32, start in 0..50u64, size in 0..1_000_000u64,
        ) {
            let limit = Limit { size: limit * BLOCK / 3 + BLOCK, keep };
            let seen = Seen { start: start * BLOCK, size: start * BLOCK + size, block: BLOCK };
            let cuts = plan(limit, seen);
            let taken: u64 = cuts.iter().map(|cut| cut.bytes).sum();
            prop_assert!(size - taken < limit.size.max(BLOCK + 1));
            prop_assert!(taken == 0 || taken < size);
            prop_assert!(cuts.iter().all(|cut| cut.bytes > 0 && cut.bytes.is_multiple_of(BLOCK)));
            let kept = cuts.iter().filter(|cut| cut.fate != Fate::Dropped);
            prop_assert!(kept.clone().count() as u64 <= u64::from(keep));
            prop_assert!(kept.clone().all(|cut| cut.bytes < 2 * limit.size + BLOCK));
            let first_kept = cuts.iter().position(|cut| cut.fate != Fate::Dropped);
            let last_dropped = cuts.iter().rposition(|cut| cut.fate == Fate::Dropped);
            prop_assert!(last_dropped <= first_kept.or(last_dropped));
        }
    }
}
