//! Which numbers containers have, of those that there are. Pure.

use std::collections::BTreeSet;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    count: u64,
    taken: BTreeSet<u64>,
    /// A number that was just given back is the last to be given out again: somebody may still talk to it.
    next: u64,
}

impl Pool {
    /// Numbers below `count`.
    pub fn new(count: u64) -> Self {
        Self {
            count,
            taken: BTreeSet::new(),
            next: 0,
        }
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// `None` when all are taken.
    pub fn take(&mut self) -> Option<u64> {
        let numbers = (self.next..self.count).chain(0..self.next);
        let free = numbers.into_iter().find(|at| !self.taken.contains(at))?;
        self.take_this(free);
        Some(free)
    }

    /// Somebody has it, and may say so twice.
    pub fn take_this(&mut self, number: u64) {
        if number < self.count {
            self.taken.insert(number);
            self.next = (number + 1) % self.count;
        }
    }

    pub fn give_back(&mut self, number: u64) {
        self.taken.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_given_back_comes_again_last() {
        let mut pool = Pool::new(3);
        assert_eq!(pool.take(), Some(0));
        pool.give_back(0);
        let all = [pool.take(), pool.take(), pool.take(), pool.take()];
        assert_eq!(all, [Some(1), Some(2), Some(0), None]);
    }

    proptest! {
        #[test]
        fn nobody_shares_a_number(count in 1_u64..20, steps in prop::collection::vec(any::<Option<u64>>(), 0..100)) {
            let mut pool = Pool::new(count);
            let mut held = BTreeSet::new();
            for step in steps {
                match step {
                    None => match pool.take() {
                        Some(number) => prop_assert!(number < count && held.insert(number)),
                        None => prop_assert_eq!(held.len() as u64, count),
                    },
                    Some(number) => {
                        pool.give_back(number % count);
                        held.remove(&(number % count));
                    }
                }
            }
        }
    }
}
