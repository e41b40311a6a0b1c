//! Sparse files as GNU tar writes them with `--format=posix`: extended headers say the length, and where pieces
//! belong; or, since version 1.0, the content begins with a list of that. Source: the manual of GNU tar, "Storing
//! Sparse Files".

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

const BLOCK: usize = 512;

/// Where a piece begins, and how long it is.
type Piece = (u64, u64);

/// What the extended headers of one entry say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sparse {
    name: Option<Vec<u8>>,
    length: Option<u64>,
    major: Option<u64>,
    minor: Option<u64>,
    count: Option<u64>,
    /// Offsets and lengths in turn. Of version 0.0 each has a header, of 0.1 all have one.
    numbers: Vec<u64>,
    any: bool,
    /// Something makes no sense.
    bad: bool,
}

/// A sparse file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Unless it is the entry's.
    pub name: Option<PathBuf>,
    pub length: u64,
    /// `None` where the content begins with them.
    pub pieces: Option<Vec<Piece>>,
}

impl Sparse {
    pub fn note(&mut self, key: &[u8], value: &[u8]) {
        let Some(key) = key.strip_prefix(b"GNU.sparse.") else {
            return;
        };
        self.any = true;
        let digits = |text: &[u8]| -> Option<u64> {
            let digits = text.iter().all(u8::is_ascii_digit);
            std::str::from_utf8(text)
                .ok()?
                .parse()
                .ok()
                .filter(|_| digits)
        };
        let number = digits(value);
        let of = match key {
            b"name" => {
                self.name = Some(value.to_vec());
                return;
            }
            b"map" => {
                let numbers = value.split(|byte| *byte == b',').map(digits);
                let numbers: Option<Vec<u64>> = numbers.collect();
                // Instead of others, and not beside them.
                self.bad |= numbers.is_none() || !self.numbers.is_empty();
                self.numbers = numbers.unwrap_or_default();
                return;
            }
            b"offset" | b"numbytes" => {
                let is_offset = key == b"offset";
                self.bad |= number.is_none() || self.numbers.len().is_multiple_of(2) != is_offset;
                self.numbers.extend(number);
                return;
            }
            b"realsize" | b"size" => &mut self.length,
            b"major" => &mut self.major,
            b"minor" => &mut self.minor,
            b"numblocks" => &mut self.count,
            _ => return,
        };
        // One that is said twice may be read either way.
        self.bad |= number.is_none() || of.is_some() && *of != number;
        *of = number;
    }

    /// `None` of an entry that is not sparse. Versions that are not known are refused: as plain files they would
    /// have another content than what was packed.
    pub fn told(self) -> io::Result<Option<Told>> {
        if !self.any {
            return Ok(None);
        }
        let name = self.name.map(|name| OsString::from_vec(name).into());
        let (pairs, odd) = self.numbers.as_chunks::<2>();
        let pieces: Vec<Piece> = pairs
            .iter()
            .map(|[offset, size]| (*offset, *size))
            .collect();
        match (self.major, self.minor, self.length) {
            _ if self.bad || !odd.is_empty() => {}
            (Some(1), Some(0), Some(length)) if pieces.is_empty() && name.is_some() => {
                return Ok(Some(Told {
                    name,
                    length,
                    pieces: None,
                }));
            }
            (None, None, Some(length)) if self.count == Some(pieces.len() as u64) => {
                return Ok(Some(Told {
                    name,
                    length,
                    pieces: Some(pieces),
                }));
            }
            _ => {}
        }
        Err(damaged(
            "a sparse file is packed in another way than the versions 0.0, 0.1 and 1.0",
        ))
    }
}

/// A file with its holes, as zeros.
pub struct Expanded<R> {
    packed: R,
    pieces: VecDeque<Piece>,
    at: u64,
    length: u64,
}

impl<R: Read> Expanded<R> {
    /// Reads the list of pieces, which may take `most` bytes.
    pub fn new(mut packed: R, length: u64, most: u64) -> io::Result<Self> {
        let mut numbers = Numbers {
            from: &mut packed,
            block: Vec::new(),
            read: 0,
            left: most,
        };
        let count = numbers.next()?;
        let mut pieces = Vec::new();
        for _ in 0..count {
            pieces.push((numbers.next()?, numbers.next()?));
        }
        Self::of(packed, length, pieces)
    }

    /// `stored` bytes are in the archive.
    pub fn told(packed: R, stored: u64, length: u64, pieces: Vec<Piece>) -> io::Result<Self> {
        let expanded = Self::of(packed, length, pieces)?;
        // They do not overlap, so that they are less than the length together.
        match expanded.pieces.iter().map(|(_, size)| size).sum::<u64>() == stored {
            true => Ok(expanded),
            false => Err(damaged("the pieces of a sparse file are not all of it")),
        }
    }

    fn of(packed: R, length: u64, pieces: Vec<Piece>) -> io::Result<Self> {
        let mut end = 0;
        for (offset, size) in &pieces {
            let after = offset.checked_add(*size).filter(|after| *after <= length);
            let after = after.filter(|_| *offset >= end);
            end = after.ok_or_else(|| damaged("the pieces of a sparse file overlap"))?;
        }
        Ok(Self {
            packed,
            pieces: pieces.into(),
            at: 0,
            length,
        })
    }
}

impl<R: Read> Read for Expanded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some((_, 0)) = self.pieces.front() {
            self.pieces.pop_front();
        }
        let (begin, left) = match self.pieces.front() {
            Some((offset, size)) => (*offset, *size),
            None => (self.length, 0),
        };
        let room = |bytes: u64| {
            usize::try_from(bytes)
                .unwrap_or(usize::MAX)
                .min(buffer.len())
        };
        if self.at < begin {
            let zeros = room(begin - self.at);
            buffer[..zeros].fill(0);
            self.at += zeros as u64;
            return Ok(zeros);
        }
        let wanted = room(left);
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.packed.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += read as u64;
        if let Some(piece) = self.pieces.front_mut() {
            *piece = (begin + read as u64, left - read as u64);
        }
        Ok(read)
    }
}

/// Lines with a number each, in whole blocks.
struct Numbers<'a, R> {
    from: &'a mut R,
    block: Vec<u8>,
    read: usize,
    left: u64,
}

impl<R: Read> Numbers<'_, R> {
    fn next(&mut self) -> io::Result<u64> {
        let mut number = None;
        loop {
            let digit = match self.byte()? {
                b'\n' => return number.ok_or_else(|| damaged("a number is missing")),
                byte @ b'0'..=b'9' => u64::from(byte - b'0'),
                _ => return Err(damaged("the list of a sparse file's pieces is none")),
            };
            let before: u64 = number.unwrap_or(0);
            let more = before
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(digit));
            number = Some(more.ok_or_else(|| damaged("a number is too large"))?);
        }
    }

    fn byte(&mut self) -> io::Result<u8> {
        if self.read == self.block.len() {
            let left = self.left.checked_sub(BLOCK as u64);
            self.left = left.ok_or_else(|| damaged("a sparse file has too many pieces"))?;
            self.block.resize(BLOCK, 0);
            self.from.read_exact(&mut self.block)?;
            self.read = 0;
        }
        self.read += 1;
        Ok(self.block[self.read - 1])
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(list: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = list.as_bytes().to_vec();
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes.extend(content);
        bytes
    }

    fn expand(list: &str, content: &[u8], length: u64) -> io::Result<Vec<u8>> {
        let bytes = packed(list, content);
        let mut out = Vec::new();
        Expanded::new(&bytes[..], length, 4096)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn pieces_stand_where_they_belong_and_zeros_between_them() {
        let found = expand("3\n2\n1\n4\n2\n8\n0\n", b"abc", 8).unwrap();
        assert_eq!(found, b"\0\0a\0bc\0\0");
        assert_eq!(expand("0\n", b"", 3).unwrap(), b"\0\0\0");
    }

    #[test]
    fn a_list_that_makes_no_sense_is_refused() {
        for (list, length) in [
            ("", 8),
            ("1\n0\n", 8),
            ("2\n0\n4\n3\n1\n", 8),
            ("1\n0\n9\n", 8),
            ("1\n18446744073709551615\n2\n", 8),
            ("x\n", 8),
            ("99999999999999999999\n", 8),
            // Longer than it may be.
            ("1000000\n", 8),
            // There is less content than that.
            ("1\n0\n8\n", 8),
        ] {
            assert!(expand(list, b"abc", length).is_err(), "{list:?}");
        }
    }

    fn told(pairs: &[(&str, &str)]) -> io::Result<Option<Told>> {
        let mut sparse = Sparse::default();
        for (key, value) in pairs {
            sparse.note(key.as_bytes(), value.as_bytes());
        }
        sparse.told()
    }

    #[test]
    fn only_versions_that_are_known_are_read() {
        let (major, minor) = (("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"));
        let (name, length) = (("GNU.sparse.name", "a"), ("GNU.sparse.realsize", "9"));
        let known = Told {
            name: Some("a".into()),
            length: 9,
            pieces: None,
        };
        assert_eq!(told(&[major, minor, name, length]).unwrap(), Some(known));
        assert_eq!(told(&[("path", "a")]).unwrap(), None);
        for bad in [
            &[major, minor, name][..],
            &[major, minor, length],
            &[major, ("GNU.sparse.minor", "1"), name, length],
            &[major, minor, name, length, ("GNU.sparse.map", "0,1")],
            &[major, minor, name, length, ("GNU.sparse.realsize", "8")],
        ] {
            told(bad).unwrap_err();
        }
    }

    #[test]
    fn pieces_may_stand_in_the_headers_too() {
        let (size, count) = (("GNU.sparse.size", "9"), ("GNU.sparse.numblocks", "2"));
        let map = ("GNU.sparse.map", "1,2,9,0");
        let offset = |text| ("GNU.sparse.offset", text);
        let bytes = |text| ("GNU.sparse.numbytes", text);
        let each = [
            size,
            count,
            offset("1"),
            bytes("2"),
            offset("9"),
            bytes("0"),
        ];
        let known = |name: Option<&str>| Told {
            name: name.map(PathBuf::from),
            length: 9,
            pieces: Some(vec![(1, 2), (9, 0)]),
        };
        assert_eq!(told(&each).unwrap(), Some(known(None)));
        let all = [("GNU.sparse.name", "a"), size, count, map];
        assert_eq!(told(&all).unwrap(), Some(known(Some("a"))));
        for bad in [
            &[size, map][..],
            &[count, map],
            &[size, ("GNU.sparse.numblocks", "1"), map],
            &[size, count, ("GNU.sparse.map", "1,2,9")],
            &[size, count, ("GNU.sparse.map", "1,2,9,")],
            &[size, count, ("GNU.sparse.map", "1,2,+9,0")],
            &[size, count, ("GNU.sparse.map", "")],
            &[size, count, map, map],
            &[size, count, map, offset("3"), bytes("1")],
            &[
                size,
                count,
                bytes("1"),
                offset("2"),
                offset("9"),
                bytes("0"),
            ],
            &[
                size,
                count,
                offset("1"),
                offset("2"),
                bytes("9"),
                bytes("0"),
            ],
            &[
                size,
                count,
                offset("1"),
                bytes("2"),
                offset("99999999999999999999"),
                bytes("0"),
            ],
            &[("GNU.sparse.major", "0"), size, count, map],
        ] {
            told(bad).unwrap_err();
        }
    }

    #[test]
    fn pieces_of_headers_are_all_that_is_there() {
        let expand = |pieces: &[Piece], length| -> io::Result<Vec<u8>> {
            let mut out = Vec::new();
            Expanded::told(&b"abc"[..], 3, length, pieces.to_vec())?.read_to_end(&mut out)?;
            Ok(out)
        };
        assert_eq!(
            expand(&[(2, 1), (4, 2), (8, 0)], 8).unwrap(),
            b"\0\0a\0bc\0\0"
        );
        for (pieces, length) in [
            (&[(0, 2)][..], 8),
            (&[(0, 4)], 8),
            (&[(0, 3)], 2),
            (&[(4, 2), (0, 1)], 8),
            (&[(0, 2), (1, 1)], 8),
            (&[(u64::MAX, 3)], 8),
        ] {
            expand(pieces, length).unwrap_err();
        }
    }
}
