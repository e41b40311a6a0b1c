//! What stands around the blocks of an xz stream. Source: "The .xz File Format", version 1.2.1.

use std::io::{self, Read};

use super::damaged;

pub const STREAM_HEADER: usize = 12;
const MAGIC: &[u8] = b"\xfd7zXZ\0";
const FOOTER_MAGIC: &[u8] = b"YZ";
/// Of a block's header.
pub const MOST_HEADER: u64 = 1024;
/// Of an index that is kept to be compared.
const MOST_RECORDS: usize = 4 << 20;
/// Section 2.1.1.2: how long a check of each kind is.
const CHECKS: [u64; 16] = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];
const LZMA2: u64 = 0x21;

/// A stream that is being read.
#[derive(Debug)]
pub struct Stream {
    header: [u8; STREAM_HEADER],
    records: Vec<u8>,
    count: u64,
}

#[derive(Debug)]
pub enum Head {
    Block(Block),
    /// One that says not how long it is, or is none.
    Unknown,
    Index,
}

#[derive(Debug)]
pub struct Block {
    stream: [u8; STREAM_HEADER],
    /// With its header and check, without its padding.
    unpadded: u64,
    /// Decoded.
    pub length: u64,
    pub dictionary: u64,
}

impl Stream {
    /// The next stream, and how many bytes its header and the padding before it take; nothing at the end of the
    /// file, where it may be.
    pub fn begin(mut from: impl Read, may_end: bool) -> io::Result<Option<(Self, u64)>> {
        let mut header = [0; STREAM_HEADER];
        let mut padding = 0;
        loop {
            let (first, rest) = header.split_at_mut(4);
            // Padding is of four bytes each.
            match whole(&mut from, first)? {
                0 if may_end => return Ok(None),
                4 if may_end && first == [0; 4] => padding += 4,
                4 => {
                    from.read_exact(rest)?;
                    break;
                }
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let is_right = header.starts_with(MAGIC)
            && header[6] == 0
            && header[7] < 16
            && header[8..] == crc(&header[6..8]);
        if !is_right {
            return Err(damaged("there is no stream of xz"));
        }
        let stream = Self {
            header,
            records: Vec::new(),
            count: 0,
        };
        Ok(Some((stream, padding + STREAM_HEADER as u64)))
    }

    pub fn check(&self) -> u64 {
        CHECKS[usize::from(self.header[7] & 15)]
    }

    pub fn head(&self, mut from: impl Read) -> io::Result<Head> {
        let mut header = vec![0];
        from.read_exact(&mut header)?;
        if header[0] == 0 {
            return Ok(Head::Index);
        }
        header.resize((usize::from(header[0]) + 1) * 4, 0);
        from.read_exact(&mut header[1..])?;
        let block = self.block(&header);
        Ok(block.map_or(Head::Unknown, Head::Block))
    }

    /// Section 3.1.
    fn block(&self, header: &[u8]) -> Option<Block> {
        let (said, sum) = header.split_at(header.len() - 4);
        if crc(said) != sum {
            return None;
        }
        let flags = said[1];
        if flags & 0b1111_1100 != 0b1100_0000 {
            return None;
        }
        let mut rest = &said[2..];
        let (packed, length) = (number(&mut rest)?, number(&mut rest)?);
        let mut dictionary = 0;
        for _ in 0..=flags & 3 {
            let (id, size) = (number(&mut rest)?, number(&mut rest)?);
            let (properties, after) = rest.split_at_checked(usize::try_from(size).ok()?)?;
            if id == LZMA2 {
                dictionary = dictionary_bytes(*properties.first()?)?;
            }
            rest = after;
        }
        let unpadded = packed.checked_add(header.len() as u64 + self.check())?;
        // As the format bounds it.
        (packed > 0 && unpadded < 1 << 62).then_some(Block {
            stream: self.header,
            unpadded,
            length,
            dictionary,
        })
    }

    /// What the index must say of it.
    pub fn note(&mut self, block: &Block) -> io::Result<()> {
        self.count += 1;
        put(block.unpadded, &mut self.records);
        put(block.length, &mut self.records);
        match self.records.len() > MOST_RECORDS {
            true => Err(damaged("a stream has too many blocks")),
            false => Ok(()),
        }
    }

    /// Index and footer, and how long they are.
    pub fn end(&self, mut from: impl Read) -> io::Result<u64> {
        let expected = end(&self.header, self.count, &self.records);
        let mut found = vec![0; expected.len()];
        from.read_exact(&mut found)?;
        match found == expected {
            true => Ok(expected.len() as u64),
            false => Err(damaged("the index of a stream is not what its blocks are")),
        }
    }
}

impl Block {
    /// As it lies there.
    pub fn padded(&self) -> u64 {
        self.unpadded.next_multiple_of(4)
    }

    /// What makes a stream of it alone.
    pub fn before(&self) -> [u8; STREAM_HEADER] {
        self.stream
    }

    pub fn after(&self) -> Vec<u8> {
        let mut record = Vec::new();
        put(self.unpadded, &mut record);
        put(self.length, &mut record);
        end(&self.stream, 1, &record)
    }
}

/// Sections 4 and 2.1.2.
pub fn end(header: &[u8; STREAM_HEADER], count: u64, records: &[u8]) -> Vec<u8> {
    let mut index = vec![0];
    put(count, &mut index);
    index.extend(records);
    index.resize(index.len().next_multiple_of(4), 0);
    index.extend(crc(&index));
    // In units of four bytes, less one.
    let backward = u32::try_from(index.len() / 4 - 1).unwrap_or(u32::MAX);
    let mut footer = backward.to_le_bytes().to_vec();
    footer.extend(&header[6..8]);
    index.extend(crc(&footer));
    index.extend(footer);
    index.extend(FOOTER_MAGIC);
    index
}

pub fn crc(bytes: &[u8]) -> [u8; 4] {
    crc32fast::hash(bytes).to_le_bytes()
}

/// Section 1.2.
pub fn put(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

pub fn number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Section 5.3.1.
fn dictionary_bytes(said: u8) -> Option<u64> {
    match said {
        0..40 => Some((2 | u64::from(said & 1)) << (said / 2 + 11)),
        40 => Some(u64::from(u32::MAX)),
        _ => None,
    }
}

/// As much as there is, up to all that there is room for.
fn whole(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < into.len() {
        match from.read(&mut into[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_dictionaries_are_as_the_format_says() {
        for value in [0, 1, 0x7f, 0x80, 300, (1 << 63) - 1] {
            let mut bytes = Vec::new();
            put(value, &mut bytes);
            assert_eq!(number(&mut &bytes[..]), Some(value));
        }
        assert_eq!(number(&mut &[0xff; 12][..]), None);
        let sizes = [0, 1, 22, 39, 40, 41].map(dictionary_bytes);
        let (kib, mib) = (1 << 10, 1 << 20);
        let known = [4 * kib, 6 * kib, 8 * mib, 3072 * mib, (4096 * mib) - 1];
        assert_eq!(sizes[..5], known.map(Some));
        assert_eq!(sizes[5], None);
    }
}
