//! Low descriptor numbers, kept for the descriptors that a new process is to have.
//!
//! A process starts with a copy of our table of descriptors, and its exec closes what is not for it, one
//! by one: with a thousand containers that takes longer than all else. So it begins with our table
//! itself, and makes a copy of its low end only. What it is to have must lie there.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::fcntl::OFlag;
use nix::unistd::dup3;

use crate::sys;

/// As many as a native container has, with some to spare.
const USUAL: usize = 24;

/// One process can be started from them at one time.
#[derive(Debug)]
pub struct Places {
    /// Lies in them while nothing else does.
    null: OwnedFd,
    held: Mutex<Vec<OwnedFd>>,
}

/// The places, with the descriptors of one process in them until this is dropped.
#[derive(Debug)]
pub struct Taken<'a> {
    places: MutexGuard<'a, Vec<OwnedFd>>,
    null: BorrowedFd<'a>,
    count: usize,
}

impl Places {
    /// To be called early, while low numbers are free.
    pub fn reserve() -> io::Result<Self> {
        let null = OwnedFd::from(File::options().read(true).write(true).open("/dev/null")?);
        let held = Mutex::new(places(null.as_fd(), USUAL)?);
        Ok(Self { null, held })
    }

    /// Waits until nobody else uses them.
    pub fn take(&self, descriptors: &[BorrowedFd<'_>]) -> io::Result<Taken<'_>> {
        // A panic can only leave something behind in them, which is overwritten now.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = descriptors.len();
        if count > held.len() {
            *held = places(self.null.as_fd(), count)?;
        }
        // From here on whatever lies in them is taken out again.
        let mut taken = Taken {
            places: held,
            null: self.null.as_fd(),
            count,
        };
        for (place, descriptor) in taken.places.iter_mut().zip(descriptors) {
            dup3(descriptor, place, OFlag::O_CLOEXEC)?;
        }
        Ok(taken)
    }
}

impl Taken<'_> {
    /// In the order of the descriptors.
    pub fn numbers(&self) -> impl Iterator<Item = RawFd> {
        self.places[..self.count]
            .iter()
            .map(|place| place.as_raw_fd())
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        for place in &mut self.places[..self.count] {
            // The place is there, so there is nothing that could be missing.
            let _ = dup3(self.null, place, OFlag::O_CLOEXEC);
        }
    }
}

/// Above the numbers that as many descriptors will have in the new process.
fn places(null: BorrowedFd<'_>, count: usize) -> io::Result<Vec<OwnedFd>> {
    (0..count)
        .map(|_| sys::duplicate_above(null, count as RawFd))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, pipe};

    use super::*;

    #[test]
    fn what_lay_in_a_place_is_gone_with_the_process_it_was_for() {
        let places = Places::reserve().expect("places");
        let (mut read, write) = pipe().expect("a pipe");
        let taken = places.take(&[write.as_fd()]).expect("taken");
        drop(write);
        assert_eq!(taken.numbers().count(), 1);
        drop(taken);
        // The end of it comes only when no copy is left.
        assert_eq!(read.read(&mut [0]).expect("read"), 0);
    }

    #[test]
    fn however_many_there_are_they_lie_above_their_targets() {
        let places = Places::reserve().expect("places");
        let null = File::open("/dev/null").expect("open");
        for count in [0, 1, USUAL, USUAL + 1, 3 * USUAL, 2] {
            let taken = places.take(&vec![null.as_fd(); count]).expect("taken");
            let numbers: Vec<RawFd> = taken.numbers().collect();
            assert_eq!(numbers.len(), count);
            assert!(numbers.iter().all(|number| *number >= count as RawFd));
        }
    }
}
