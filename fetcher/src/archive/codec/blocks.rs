//! bzip2 by several threads: a stream is a row of blocks that know nothing of each other, and each is decoded
//! as a stream of its own.
//!
//! Blocks begin at any bit, and nothing says how long they are: the next one's mark is searched. Where a
//! block's own bits look like a mark, what stands before that does not decode, and is taken together with
//! what follows. A block that decodes has ended where its mark was found, so that nothing is read here that
//! one thread would read otherwise.

use std::collections::VecDeque;
use std::io::{self, BufRead, Cursor, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bzip2::bufread::BzDecoder;

use super::bits::{Bits, Block};

const PIECE: usize = 128 << 10;
/// Of one block that wait for their turn: more than a block has, as long as it does not expand.
const PIECES: usize = 8;
const STACK_BYTES: usize = 256 << 10;
/// Each holds five bytes for each byte of a block, which are 900 000 at most.
const MOST_WORKERS: usize = 3;
/// Marks in one block that are none: by chance there is one in a billion of blocks.
const MOST_FALSE: usize = 4;

type Pieces = Receiver<io::Result<Vec<u8>>>;

struct Job {
    block: Arc<Block>,
    give: SyncSender<io::Result<Vec<u8>>>,
}

/// One that is being decoded.
struct UnderWay {
    block: Arc<Block>,
    pieces: Pieces,
}

pub struct Blocks<R> {
    bits: Bits<R>,
    /// Until this is dropped.
    jobs: Option<Sender<Job>>,
    workers: Vec<JoinHandle<()>>,
    under_way: VecDeque<UnderWay>,
    /// There are no more blocks, or none that can be found.
    over: bool,
    failed: Option<io::Error>,
    piece: Vec<u8>,
    read: usize,
    /// Of the first block that is under way something has come.
    begun: bool,
    merged: usize,
}

impl<R: BufRead> Blocks<R> {
    pub fn new(from: R) -> io::Result<Self> {
        let workers = thread::available_parallelism().map_or(1, |cores| cores.get());
        let workers = workers.min(MOST_WORKERS);
        let (jobs, wanted) = channel();
        let wanted = Arc::new(Mutex::new(wanted));
        let worker = |_| {
            let wanted = Arc::clone(&wanted);
            let named = thread::Builder::new().name("bzip2".to_owned());
            named.stack_size(STACK_BYTES).spawn(move || work(&wanted))
        };
        Ok(Self {
            bits: Bits::new(from),
            workers: (0..workers).map(worker).collect::<io::Result<_>>()?,
            jobs: Some(jobs),
            under_way: VecDeque::new(),
            over: false,
            failed: None,
            piece: Vec::new(),
            read: 0,
            begun: false,
            merged: 0,
        })
    }

    fn hand_out(&mut self) {
        while !self.over && self.under_way.len() <= self.workers.len() {
            match self.bits.block() {
                Ok(Some(block)) => {
                    let next = self.begin(Arc::new(block));
                    self.under_way.push_back(next);
                }
                Ok(None) => self.over = true,
                // What stands before it comes first.
                Err(error) => {
                    self.over = true;
                    self.failed = Some(error);
                }
            }
        }
    }

    fn begin(&self, block: Arc<Block>) -> UnderWay {
        let (give, pieces) = sync_channel(PIECES);
        let job = Job {
            block: Arc::clone(&block),
            give,
        };
        // The workers are there as long as this is.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
        UnderWay { block, pieces }
    }

    /// The next piece; empty at the end.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            self.hand_out();
            let Some(first) = self.under_way.front() else {
                return self.failed.take().map_or(Ok(Vec::new()), Err);
            };
            match first.pieces.recv() {
                Ok(Ok(piece)) => {
                    self.begun = true;
                    return Ok(piece);
                }
                Ok(Err(error)) if self.begun => return Err(error),
                Ok(Err(error)) => self.merge(error)?,
                Err(_whole) => {
                    self.under_way.pop_front();
                    self.begun = false;
                    self.merged = 0;
                }
            }
        }
    }

    /// The first block does not decode, perhaps because it goes on behind what looked like the next one.
    fn merge(&mut self, error: io::Error) -> io::Result<()> {
        self.merged += 1;
        let first = self.under_way.pop_front();
        let next = self.under_way.pop_front();
        let (Some(first), Some(next), true) = (first, next, self.merged <= MOST_FALSE) else {
            return Err(error);
        };
        let whole = first.block.and(&next.block).ok_or(error)?;
        let whole = self.begin(Arc::new(whole));
        self.under_way.push_front(whole);
        Ok(())
    }
}

impl<R: BufRead> Read for Blocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.piece.len() {
            self.read = 0;
            self.piece = self.next()?;
        }
        let left = &self.piece[self.read..];
        let length = left.len().min(buffer.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.read += length;
        Ok(length)
    }
}

/// The threads end with who reads: what they hold is gone then.
impl<R> Drop for Blocks<R> {
    fn drop(&mut self) {
        self.jobs = None;
        // Nobody takes what is still given, and none of them waits for anything else.
        self.under_way.clear();
        for thread in self.workers.drain(..) {
            // A panic of it has been told.
            let _ended = thread.join();
        }
    }
}

/// Until there is nobody who has jobs. They are taken in their order, so that the first block under way always
/// has somebody who works on it, however long the others have to wait.
fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else {
            return;
        };
        decode(&job);
    }
}

fn decode(job: &Job) {
    let mut from = BzDecoder::new(Cursor::new(job.block.as_stream()));
    loop {
        let mut piece = vec![0; PIECE];
        let read = from.read(&mut piece);
        let is_last = !matches!(read, Ok(length) if length > 0);
        if matches!(read, Ok(0)) {
            return;
        }
        let given = read.map(|length| {
            piece.truncate(length);
            piece
        });
        if job.give.send(given).is_err() || is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
