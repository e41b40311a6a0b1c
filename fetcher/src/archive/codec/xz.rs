//! xz by several threads: where blocks say how long they are, as `xz -T2` writes them, each is decoded as a
//! stream of its own, into a file without a name, so that no more of it is in memory than of a single stream.
//!
//! What the blocks are must be what the index at the end of their stream says. One thread would not look, so
//! that nothing is read here that it would read otherwise.

mod format;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use lzma_rust2::XzReader;

use super::XZ_KIBIBYTES;
use crate::growth::{Growing, Lost, Packed};
use format::{Block, Head, Stream};

const PIECE: usize = 128 << 10;
const STACK_BYTES: usize = 256 << 10;
/// Of the compressed bytes of a block.
const READ: usize = 64 << 10;
/// What all that decode have in memory together; one may have more.
const DICTIONARIES: u64 = 16 << 20;
/// Blocks under way: they may lie in files.
const MOST_BLOCKS: usize = 4;
/// A block that becomes more is decoded while it is read.
const MOST_BYTES: u64 = 64 << 20;
/// Less is not worth a thread.
const LEAST_BYTES: u64 = 1 << 20;

/// Gives files without a name to write to.
pub type Room<'a> = Box<dyn Fn() -> io::Result<File> + Send + 'a>;

pub struct Xz<'a> {
    packed: Packed,
    at: u64,
    place: Place,
    room: Room<'a>,
    least: u64,
    under_way: VecDeque<UnderWay>,
    workers: Workers,
    threads: Vec<JoinHandle<()>>,
}

enum Place {
    /// Before a stream, and whether one may be there no more.
    Between(Optional),
    /// In one.
    Inside(Stream),
    /// Of one whose blocks say nothing, and all behind it.
    Rest(Box<dyn Read + Send>),
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Optional {
    No,
    Yes,
}

/// A block, to be read in its turn.
enum UnderWay {
    Here(Box<dyn Read + Send>),
    Apart(Packed, Arc<Mutex<Option<io::Error>>>),
}

/// What threads have to do with each other.
#[derive(Debug, Clone, Default)]
struct Workers {
    dictionaries: Arc<AtomicU64>,
    nobody_reads: Arc<AtomicBool>,
}

impl Drop for Xz<'_> {
    fn drop(&mut self) {
        self.workers.nobody_reads.store(true, Ordering::Relaxed);
        // One that waits for what has still to come ends with that.
        if self.packed.has(u64::MAX) {
            for thread in self.threads.drain(..) {
                // A panic of it has been told.
                let _ended = thread.join();
            }
        }
    }
}

impl<'a> Xz<'a> {
    pub fn new(packed: Packed, room: Room<'a>) -> Self {
        Self::with_threads_from(packed, room, LEAST_BYTES)
    }

    /// Blocks of `least` bytes and more have a thread.
    pub fn with_threads_from(packed: Packed, room: Room<'a>, least: u64) -> Self {
        Self {
            packed,
            at: 0,
            place: Place::Between(Optional::No),
            room,
            least,
            under_way: VecDeque::new(),
            workers: Workers::default(),
            threads: Vec::new(),
        }
    }

    /// Until enough are under way, or it is not known yet how it goes on.
    fn hand_out(&mut self) -> io::Result<()> {
        while self.under_way.len() < MOST_BLOCKS {
            let is_idle = self.under_way.is_empty();
            if !is_idle && !self.packed.has(self.at + format::MOST_HEADER) {
                return Ok(());
            }
            match &mut self.place {
                Place::Between(optional) => {
                    let begun =
                        Stream::begin(self.packed.from(self.at)?, *optional == Optional::Yes)?;
                    match begun {
                        None => self.place = Place::Over,
                        Some((stream, length)) => self.enter(stream, length)?,
                    }
                }
                Place::Inside(stream) => match stream.head(self.packed.from(self.at)?)? {
                    Head::Block(block) => {
                        let used = self.workers.dictionaries.load(Ordering::Relaxed);
                        if !is_idle && used + block.dictionary > DICTIONARIES {
                            return Ok(());
                        }
                        stream.note(&block)?;
                        let next = self.begin(&block)?;
                        self.at += block.padded();
                        self.under_way.push_back(next);
                    }
                    Head::Unknown => {
                        return Err(damaged(
                            "a block does not say how long it is, and others do",
                        ));
                    }
                    Head::Index => {
                        let length = stream.end(self.packed.from(self.at)?)?;
                        self.at += length;
                        self.place = Place::Between(Optional::Yes);
                    }
                },
                Place::Rest(_) | Place::Over => return Ok(()),
            }
        }
        Ok(())
    }

    /// A stream, whose first block tells how it is read.
    fn enter(&mut self, stream: Stream, length: u64) -> io::Result<()> {
        let begins = self.at + length;
        let first = stream.head(self.packed.from(begins)?)?;
        self.place = match first {
            Head::Unknown => {
                let from = self.packed.from(begins - format::STREAM_HEADER as u64)?;
                Place::Rest(one(BufReader::with_capacity(READ, from), true))
            }
            Head::Block(_) | Head::Index => Place::Inside(stream),
        };
        self.at = begins;
        Ok(())
    }

    fn begin(&mut self, block: &Block) -> io::Result<UnderWay> {
        let content = self.packed.from(self.at)?.take(block.padded());
        let content = BufReader::with_capacity(READ, content);
        let stream = Cursor::new(block.before())
            .chain(content)
            .chain(Cursor::new(block.after()));
        let decoded = Exactly {
            from: one(stream, false),
            left: block.length,
        };
        let apart = self.least <= block.length && block.length <= MOST_BYTES;
        let file = match apart && block.dictionary <= DICTIONARIES {
            true => (self.room)().ok(),
            false => None,
        };
        match file {
            None => Ok(UnderWay::Here(Box::new(decoded))),
            Some(file) => self.apart(decoded, file, block.dictionary),
        }
    }

    fn apart(
        &mut self,
        mut decoded: impl Read + Send + 'static,
        file: File,
        dictionary: u64,
    ) -> io::Result<UnderWay> {
        let (growing, growth) = Growing::new();
        let read = Packed::growing(file.try_clone()?, growth);
        let why = Arc::new(Mutex::new(None));
        let told = Arc::clone(&why);
        let workers = self.workers.clone();
        workers
            .dictionaries
            .fetch_add(dictionary, Ordering::Relaxed);
        let work = move || {
            if let Err(error) = copy(&mut decoded, file, growing, &workers, &told) {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            drop(decoded);
            workers
                .dictionaries
                .fetch_sub(dictionary, Ordering::Relaxed);
        };
        let named = thread::Builder::new().name("xz".to_owned());
        let thread = named.stack_size(STACK_BYTES).spawn(work)?;
        self.threads.retain(|thread| !thread.is_finished());
        self.threads.push(thread);
        Ok(UnderWay::Apart(read, why))
    }
}

/// One thread's reading.
fn one(from: impl Read + Send + 'static, all: bool) -> Box<dyn Read + Send> {
    Box::new(XzReader::new_mem_limit(from, all, XZ_KIBIBYTES))
}

fn copy(
    from: &mut dyn Read,
    mut to: File,
    mut growing: Growing,
    workers: &Workers,
    told: &Mutex<Option<io::Error>>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut length = 0;
    while !workers.nobody_reads.load(Ordering::Relaxed) {
        let read = match from.read(&mut piece) {
            Ok(0) => {
                growing.finish(length);
                return Ok(());
            }
            Ok(read) => read,
            Err(error) => {
                // Before `growing` goes, which wakes who reads.
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return Ok(());
            }
        };
        to.write_all(&piece[..read])?;
        length += read as u64;
        growing.grew(length);
    }
    Ok(())
}

impl Read for Xz<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let handed = self.hand_out();
            let Some(first) = self.under_way.front_mut() else {
                handed?;
                match &mut self.place {
                    Place::Rest(rest) => return rest.read(buffer),
                    Place::Over => return Ok(0),
                    Place::Between(_) | Place::Inside(_) => continue,
                }
            };
            // What stands before an error comes first.
            let read = match first {
                UnderWay::Here(decoded) => decoded.read(buffer)?,
                UnderWay::Apart(decoded, why) => match decoded.read(buffer) {
                    Err(error) if decoded.lost() == Some(Lost::Gone) => {
                        let why = why.lock().unwrap_or_else(PoisonError::into_inner).take();
                        return Err(why.unwrap_or(error));
                    }
                    read => read?,
                },
            };
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.under_way.pop_front();
        }
    }
}

/// A block that is as long as it says.
struct Exactly {
    from: Box<dyn Read + Send>,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        let is_short = read == 0 && !buffer.is_empty() && self.left > 0;
        let left = self.left.checked_sub(read as u64).filter(|_| !is_short);
        self.left = left.ok_or_else(|| damaged("a block is not as long as it says"))?;
        Ok(read)
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests;
