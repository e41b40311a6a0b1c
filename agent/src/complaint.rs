//! What goes wrong for many at once, and again and again, as a full disk does: said once, and once more when
//! it is over.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two complaints of the same.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Complaint(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    /// Since then.
    untold: u64,
    /// Nothing has gone wrong since.
    is_over: bool,
}

/// To be said: how often the same has happened without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untold(pub u64);

impl Complaint {
    /// Something has gone wrong. `None`: that is known.
    pub fn renew(&self, now: Instant) -> Option<Untold> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_over = false;
        match state.told {
            Some(told) if now.saturating_duration_since(told) < PAUSE => {
                state.untold += 1;
                None
            }
            _ => {
                state.told = Some(now);
                Some(Untold(std::mem::take(&mut state.untold)))
            }
        }
    }

    /// It goes well again. `None`: nobody has heard that it did not.
    pub fn settle(&self) -> Option<Untold> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was_over = std::mem::replace(&mut state.is_over, true);
        (state.told.is_some() && !was_over).then(|| Untold(std::mem::take(&mut state.untold)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_of_the_same_are_told_as_one_and_the_end_of_it_once() {
        let (complaint, now) = (Complaint::default(), Instant::now());
        assert_eq!(complaint.settle(), None);
        assert_eq!(complaint.renew(now), Some(Untold(0)));
        for _ in 0..999 {
            assert_eq!(complaint.renew(now + PAUSE / 2), None);
        }
        assert_eq!(complaint.renew(now + PAUSE), Some(Untold(999)));
        assert_eq!(complaint.renew(now + PAUSE), None);
        assert_eq!(complaint.settle(), Some(Untold(1)));
        assert_eq!(complaint.settle(), None);
    }

    #[test]
    fn what_comes_and_goes_is_told_no_more_often() {
        let (complaint, now) = (Complaint::default(), Instant::now());
        complaint.renew(now);
        complaint.settle();
        let lines = (0..100).filter(|_| complaint.renew(now).is_some()).count();
        assert_eq!(lines, 0);
    }
}
