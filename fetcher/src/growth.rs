//! A file that somebody still writes, for who already reads it: an archive is unpacked while it comes, as in a
//! pipe of two programs.
//!
//! A download that has to begin anew empties its file. Who has read of it then learns that nothing of it counts.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Readers are not woken for less, but at the end.
const STEP: u64 = 256 << 10;

/// What is known of it. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Growth(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Clone, Copy, Default)]
struct State {
    length: u64,
    /// How often it began anew.
    beginnings: u64,
    end: End,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Whole,
    /// It will never be whole.
    Gone,
}

/// Held by who writes it. Dropped before it is whole, it never will be.
#[derive(Debug)]
pub struct Growing {
    growth: Growth,
    told: u64,
}

impl Growth {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0.1.notify_all();
    }

    /// Once there is more than `at`, or no more to come of that beginning.
    fn beyond(&self, at: u64, beginnings: u64) -> State {
        let mut state = self.state();
        let waits = |state: &State| {
            state.end == End::Open && state.beginnings == beginnings && state.length <= at
        };
        while waits(&state) {
            let woken = self.0.1.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        *state
    }
}

impl Growing {
    pub fn new() -> (Self, Growth) {
        let growth = Growth::default();
        let growing = Self {
            growth: growth.clone(),
            told: 0,
        };
        (growing, growth)
    }

    /// It has `length` bytes by now.
    pub fn grew(&mut self, length: u64) {
        if length - self.told >= STEP {
            self.told = length;
            self.growth.change(|state| state.length = length);
        }
    }

    /// To be called before it is emptied.
    pub fn begin_anew(&mut self) {
        self.told = 0;
        self.growth.change(|state| {
            state.length = 0;
            state.beginnings += 1;
        });
    }

    pub fn finish(self, length: u64) {
        self.growth.change(|state| {
            state.length = length;
            state.end = End::Whole;
        });
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.growth.change(|state| {
            if state.end == End::Open {
                state.end = End::Gone;
            }
        });
    }
}

/// A file to be read from its beginning, whoever else reads or writes it.
#[derive(Debug)]
pub struct Packed {
    file: File,
    at: u64,
    growth: Growth,
    beginnings: u64,
}

/// Why a file cannot be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    #[error("its download began anew")]
    Anew,
    #[error("its download has failed")]
    Gone,
}

impl Packed {
    pub fn whole(file: File) -> io::Result<Self> {
        let (growing, growth) = Growing::new();
        growing.finish(file.metadata()?.len());
        Ok(Self::growing(file, growth))
    }

    /// One that `growth` tells of.
    pub fn growing(file: File, growth: Growth) -> Self {
        let beginnings = growth.state().beginnings;
        Self {
            file,
            at: 0,
            growth,
            beginnings,
        }
    }

    /// The same, from the beginning of what it is now.
    pub fn again(&self) -> io::Result<Self> {
        Ok(Self::growing(self.file.try_clone()?, self.growth.clone()))
    }

    /// The same, read from `at` on.
    pub fn from(&self, at: u64) -> io::Result<Self> {
        let mut packed = self.again()?;
        (packed.at, packed.beginnings) = (at, self.beginnings);
        Ok(packed)
    }

    /// As much as there is by now.
    pub fn length(&self) -> u64 {
        self.growth.state().length
    }

    /// Whether there is so much, or will never be.
    pub fn has(&self, length: u64) -> bool {
        let state = *self.growth.state();
        state.length >= length || state.end != End::Open
    }

    /// As much as there is once no more comes.
    pub fn whole_length(&self) -> u64 {
        self.growth.beyond(u64::MAX, self.beginnings).length
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether it can still be read.
    pub fn lost(&self) -> Option<Lost> {
        let state = *self.growth.state();
        match state.end {
            _ if state.beginnings != self.beginnings => Some(Lost::Anew),
            End::Gone => Some(Lost::Gone),
            End::Open | End::Whole => None,
        }
    }
}

impl Read for Packed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.growth.beyond(self.at, self.beginnings);
        if let Some(lost) = self.lost() {
            return Err(io::Error::other(lost));
        }
        let left = state.length.saturating_sub(self.at);
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        // What was read is of the file that was meant only if that was still there afterwards.
        if let Some(Lost::Anew) = self.lost() {
            return Err(io::Error::other(Lost::Anew));
        }
        match read {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.at += read as u64;
                Ok(read)
            }
        }
    }
}

impl Seek for Packed {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.whole_length().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::thread;

    use super::*;

    fn pair() -> (File, Growing, Packed) {
        let file = tempfile::tempfile().unwrap();
        let (growing, growth) = Growing::new();
        let packed = Packed::growing(file.try_clone().unwrap(), growth);
        (file, growing, packed)
    }

    fn lost(packed: &mut Packed) -> Lost {
        let error = packed.read(&mut [0; 9]).unwrap_err();
        let inner = error.into_inner().unwrap();
        *inner.downcast::<Lost>().unwrap()
    }

    #[test]
    fn it_is_read_while_it_is_written_and_ends_when_it_is_whole() {
        let (mut file, mut growing, mut packed) = pair();
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            packed.read_to_end(&mut all).map(|_| all)
        });
        let piece: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
        let mut written = Vec::<u8>::new();
        for _ in 0..20 {
            file.write_all(&piece).unwrap();
            written.extend(&piece);
            growing.grew(written.len() as u64);
        }
        growing.finish(written.len() as u64);
        assert!(reading.join().unwrap().unwrap() == written);
    }

    #[test]
    fn who_has_read_of_what_begins_anew_learns_it_and_can_begin_again() {
        let (mut file, mut growing, mut packed) = pair();
        file.write_all(b"old").unwrap();
        growing.begin_anew();
        file.set_len(0).unwrap();
        file.rewind().unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(lost(&mut packed), Lost::Anew);
        growing.finish(3);
        assert_eq!(lost(&mut packed), Lost::Anew);
        let mut text = String::new();
        packed.again().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "new");
    }

    #[test]
    fn who_waits_for_what_will_never_be_whole_learns_it() {
        let (_file, growing, mut packed) = pair();
        let waiting = thread::spawn(move || lost(&mut packed));
        drop(growing);
        assert_eq!(waiting.join().unwrap(), Lost::Gone);
    }

    #[test]
    fn a_whole_file_is_read_from_where_one_wants() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hello").unwrap();
        let packed = Packed::whole(file).unwrap();
        let mut text = String::new();
        packed.from(1).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), packed.length()), ("ello", 5));
        assert_eq!(packed.from(9).unwrap().read(&mut [0; 1]).unwrap(), 0);
    }
}
