//! Low descriptor numbers, kept for the descriptors that a new process is to have.
//!
//! A process starts with a copy of our table of descriptors, and its exec closes what is not for it, one
//! by one: with a thousand containers that takes longer than all else. So it begins with our table
//! itself, and makes a copy of its low end only. What it is to have must lie there.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, TryLockError};

use nix::fcntl::OFlag;
use nix::unistd::dup3;

use crate::sys;

/// As many as a native container has, with some to spare.
const USUAL: usize = 24;

/// Who finds them taken goes without, and starts its process a little more slowly.
#[derive(Debug)]
pub struct Places {
    /// Lies in them while nothing else does.
    null: OwnedFd,
    held: Mutex<Vec<OwnedFd>>,
}

/// Places with the descriptors of one process in them, until this is dropped.
#[derive(Debug)]
pub enum Taken<'a> {
    Kept {
        places: MutexGuard<'a, Vec<OwnedFd>>,
        null: BorrowedFd<'a>,
        count: usize,
    },
    /// Wherever there was room.
    Anywhere(Vec<OwnedFd>),
}

impl Places {
    /// To be called early, while low numbers are free.
    pub fn reserve() -> io::Result<Self> {
        let null = OwnedFd::from(File::options().read(true).write(true).open("/dev/null")?);
        let held = Mutex::new(places(null.as_fd(), USUAL)?);
        Ok(Self { null, held })
    }

    pub fn take(&self, descriptors: &[BorrowedFd<'_>]) -> io::Result<Taken<'_>> {
        let count = descriptors.len();
        let mut held = match self.held.try_lock() {
            Ok(held) => held,
            // A panic can only leave something behind in them, which is overwritten now.
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let copies = descriptors.iter().map(|fd| above(*fd, count));
                return copies.collect::<io::Result<_>>().map(Taken::Anywhere);
            }
        };
        if count > held.len() {
            *held = places(self.null.as_fd(), count)?;
        }
        // From here on whatever lies in them is taken out again.
        let mut taken = Taken::Kept {
            places: held,
            null: self.null.as_fd(),
            count,
        };
        for (place, descriptor) in taken.places_mut().iter_mut().zip(descriptors) {
            dup3(descriptor, place, OFlag::O_CLOEXEC)?;
        }
        Ok(taken)
    }
}

impl Taken<'_> {
    /// In the order of the descriptors.
    pub fn numbers(&self) -> impl Iterator<Item = RawFd> {
        let places = match self {
            Self::Kept { places, count, .. } => &places[..*count],
            Self::Anywhere(places) => places,
        };
        places.iter().map(|place| place.as_raw_fd())
    }

    fn places_mut(&mut self) -> &mut [OwnedFd] {
        match self {
            Self::Kept { places, count, .. } => &mut places[..*count],
            Self::Anywhere(places) => places,
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Self::Kept {
            places,
            null,
            count,
        } = self
        {
            for place in &mut places[..*count] {
                // The place is there, so there is nothing that could be missing.
                let _ = dup3(*null, place, OFlag::O_CLOEXEC);
            }
        }
    }
}

/// Above the numbers that as many descriptors will have in the new process.
fn places(null: BorrowedFd<'_>, count: usize) -> io::Result<Vec<OwnedFd>> {
    (0..count).map(|_| above(null, count)).collect()
}

fn above(descriptor: BorrowedFd<'_>, count: usize) -> io::Result<OwnedFd> {
    sys::duplicate_above(descriptor, count as RawFd)
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
    fn who_finds_them_taken_does_not_wait() {
        let places = Places::reserve().expect("places");
        let null = File::open("/dev/null").expect("open");
        let first = places.take(&[null.as_fd()]).expect("taken");
        let second = places.take(&[null.as_fd(); 3]).expect("taken");
        let numbers: Vec<RawFd> = second.numbers().collect();
        assert_eq!(numbers.len(), 3);
        assert!(numbers.iter().all(|number| *number >= 3));
        assert!(first.numbers().all(|number| !numbers.contains(&number)));
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
