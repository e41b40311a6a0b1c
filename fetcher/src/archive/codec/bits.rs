//! The blocks of a bzip2 stream, found by their marks. Source: the format as `bzip2` 1.0.8 writes it.

use std::io::{self, BufRead};

/// The digits of pi, and those of its square root.
const BLOCK: u64 = 0x3141_5926_5359;
const END: u64 = 0x1772_4538_5090;
const MARK_BITS: usize = 48;
const MARK: u64 = (1 << MARK_BITS) - 1;
const CRC_BITS: usize = 32;
/// A block of 900 000 bytes that does not compress takes a little more than that, and this.
const MOST_BYTES: usize = 1_200_000;

/// One block's bits, its mark included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    level: u8,
    bytes: Vec<u8>,
    bits: usize,
}

impl Block {
    /// A stream of this block alone.
    pub fn as_stream(&self) -> Vec<u8> {
        let mut out = Writer {
            bytes: Vec::with_capacity(self.bytes.len() + 16),
            bits: 0,
        };
        for byte in [b'B', b'Z', b'h', self.level] {
            out.put(byte.into(), 8);
        }
        out.copy(&self.bytes, 0, self.bits);
        out.put(END, MARK_BITS);
        // Of all blocks together, which is this one.
        out.put(self.sum(), CRC_BITS);
        out.bytes
    }

    /// Its checksum; 0 of what is too short to have one, and will not decode.
    fn sum(&self) -> u64 {
        match self.bits >= MARK_BITS + CRC_BITS {
            true => number(&self.bytes, MARK_BITS, CRC_BITS),
            false => 0,
        }
    }

    /// What it is before a bit, and from there on.
    #[cfg(test)]
    pub fn cut(&self, at: usize) -> (Block, Block) {
        let part = |start, end| {
            let mut out = Writer::default();
            out.copy(&self.bytes, start, end);
            Block {
                level: self.level,
                bytes: out.bytes,
                bits: end - start,
            }
        };
        (part(0, at), part(at, self.bits))
    }

    /// Both as one; `None` where that is longer than a block can be, or of two streams.
    pub fn and(&self, next: &Block) -> Option<Block> {
        let bits = self.bits + next.bits;
        if self.level != next.level || bits > MOST_BYTES * 8 {
            return None;
        }
        let mut out = Writer {
            bytes: Vec::with_capacity(bits / 8 + 1),
            bits: 0,
        };
        out.copy(&self.bytes, 0, self.bits);
        out.copy(&next.bytes, 0, next.bits);
        Some(Block {
            level: self.level,
            bytes: out.bytes,
            bits,
        })
    }
}

pub struct Bits<R> {
    from: R,
    buffer: Vec<u8>,
    /// The first bit of the buffer that was not taken.
    at: usize,
    stream: Option<Stream>,
    any: bool,
    candidates: Box<[u16; 256]>,
}

/// One that is begun.
struct Stream {
    level: u8,
    /// Of the blocks so far.
    crc: u32,
}

impl<R: BufRead> Bits<R> {
    pub fn new(from: R) -> Self {
        Self {
            from,
            buffer: Vec::new(),
            at: 0,
            stream: None,
            any: false,
            candidates: candidates(),
        }
    }

    /// The next block of this stream or of the one behind it; `None` at the end.
    pub fn block(&mut self) -> io::Result<Option<Block>> {
        loop {
            let Some(stream) = &mut self.stream else {
                if !self.begin()? {
                    return Ok(None);
                }
                continue;
            };
            let level = stream.level;
            match self.take(MARK_BITS)? {
                BLOCK => {
                    self.compact();
                    let start = self.at - MARK_BITS;
                    let end = self.next_mark()?;
                    let mut out = Writer {
                        bytes: Vec::with_capacity((end - start) / 8 + 1),
                        bits: 0,
                    };
                    out.copy(&self.buffer, start, end);
                    let block = Block {
                        level,
                        bytes: out.bytes,
                        bits: end - start,
                    };
                    self.at = end;
                    if let Some(stream) = &mut self.stream {
                        stream.crc = stream.crc.rotate_left(1) ^ block.sum() as u32;
                    }
                    return Ok(Some(block));
                }
                END => self.end()?,
                _ => return Err(damaged("a block begins without its mark")),
            }
        }
    }

    /// The head of a stream; false where there is none any more.
    fn begin(&mut self) -> io::Result<bool> {
        self.compact();
        // Nothing at all is no stream.
        if self.any && self.buffer.is_empty() && !self.more()? {
            return Ok(false);
        }
        let head = self.take(32)?.to_be_bytes();
        match head[4..] {
            [b'B', b'Z', b'h', level @ b'1'..=b'9'] => {
                self.stream = Some(Stream { level, crc: 0 });
                self.any = true;
                Ok(true)
            }
            _ => Err(damaged("a stream does not begin as one of bzip2")),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        let announced = self.take(CRC_BITS)?;
        let crc = self.stream.take().map_or(0, |stream| stream.crc);
        // A stream begins at a byte.
        self.at = self.at.next_multiple_of(8);
        match announced == u64::from(crc) {
            true => Ok(()),
            false => Err(damaged("the checksum of a stream is wrong")),
        }
    }

    /// Where the next mark begins, of whichever kind. Its last bits are in the buffer, too.
    fn next_mark(&mut self) -> io::Result<usize> {
        let first = self.at.div_ceil(8);
        // The bits of six bytes and one behind them, in which a mark may begin at any of eight bits.
        let mut seen = 0_u64;
        let mut next = first.saturating_sub(1);
        loop {
            while next < self.buffer.len() {
                seen = seen << 8 | u64::from(self.buffer[next]);
                next += 1;
                let candidates = self.candidates[(seen >> 24) as usize & 0xff];
                if candidates == 0 {
                    continue;
                }
                for shift in 0..8 {
                    let found = seen >> shift & MARK;
                    // Bits of before the buffer's first are zeros, with which no mark begins that fits here.
                    let start = (next * 8).checked_sub(shift + MARK_BITS);
                    let start = start.filter(|start| *start >= self.at);
                    if let (Some(start), true) = (start, found == BLOCK || found == END) {
                        return Ok(start);
                    }
                }
            }
            if next - first > MOST_BYTES {
                return Err(damaged("a block is longer than blocks can be"));
            }
            if !self.more()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take(&mut self, bits: usize) -> io::Result<u64> {
        while self.at + bits > self.buffer.len() * 8 {
            if !self.more()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let taken = number(&self.buffer, self.at, bits);
        self.at += bits;
        Ok(taken)
    }

    /// Forgets bytes that were taken, but the last, in which a block may begin that was just found.
    fn compact(&mut self) {
        let whole = (self.at / 8).saturating_sub(MARK_BITS / 8 + 1);
        let whole = if self.at.is_multiple_of(8) && self.stream.is_none() {
            self.at / 8
        } else {
            whole
        };
        self.buffer.drain(..whole);
        self.at -= whole * 8;
    }

    fn more(&mut self) -> io::Result<bool> {
        let piece = self.from.fill_buf()?;
        let length = piece.len();
        self.buffer.extend_from_slice(piece);
        self.from.consume(length);
        Ok(length > 0)
    }
}

/// For each value that the byte in the middle of `seen` may have, at which shifts a mark may be there.
fn candidates() -> Box<[u16; 256]> {
    let mut candidates = Box::new([0; 256]);
    for mark in [BLOCK, END] {
        for shift in 0..8 {
            let middle = (mark << shift >> 24) as usize & 0xff;
            candidates[middle] |= 1 << shift;
        }
    }
    candidates
}

/// At most 56 bits as they stand at a bit.
fn number(bytes: &[u8], at: usize, bits: usize) -> u64 {
    let (first, last) = (at / 8, (at + bits).div_ceil(8));
    let all = bytes[first..last]
        .iter()
        .fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    let behind = last * 8 - (at + bits);
    all >> behind & ((1 << bits) - 1)
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    bits: usize,
}

impl Writer {
    /// At most 56.
    fn put(&mut self, value: u64, bits: usize) {
        let mut left = bits;
        while left > 0 {
            let free = 8 - self.bits % 8;
            if free == 8 {
                self.bytes.push(0);
            }
            let now = free.min(left);
            let piece = value >> (left - now) & ((1 << now) - 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= (piece << (free - now)) as u8;
            }
            self.bits += now;
            left -= now;
        }
    }

    /// The bits from `start` on, up to `end`.
    fn copy(&mut self, from: &[u8], start: usize, end: usize) {
        let mut at = start;
        while at + 48 <= end {
            self.put(number(from, at, 48), 48);
            at += 48;
        }
        self.put(number(from, at, end - at), end - at);
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}
