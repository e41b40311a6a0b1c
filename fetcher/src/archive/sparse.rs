//! Sparse files as GNU tar writes them with `--format=posix`, version 1.0: extended headers say the name and
//! the length, and the content begins with a list of where its pieces belong. Source: the manual of GNU tar,
//! "Storing Sparse Files".

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

const BLOCK: usize = 512;

/// What the extended headers of one entry say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sparse {
    name: Option<Vec<u8>>,
    length: Option<u64>,
    major: Option<u64>,
    minor: Option<u64>,
    any: bool,
}

impl Sparse {
    pub fn note(&mut self, key: &[u8], value: &[u8]) {
        let Some(key) = key.strip_prefix(b"GNU.sparse.") else {
            return;
        };
        self.any = true;
        let number = || std::str::from_utf8(value).ok()?.parse().ok();
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"realsize" => self.length = number(),
            b"major" => self.major = number(),
            b"minor" => self.minor = number(),
            _ => {}
        }
    }

    /// Name and length; `None` of an entry that is not sparse. Older versions are refused: as plain files
    /// they would have another content than what was packed.
    pub fn told(self) -> io::Result<Option<(PathBuf, u64)>> {
        if !self.any {
            return Ok(None);
        }
        match (self.major, self.minor, self.name, self.length) {
            (Some(1), Some(0), Some(name), Some(length)) => {
                Ok(Some((OsString::from_vec(name).into(), length)))
            }
            _ => Err(damaged(
                "a sparse file is packed in another way than version 1.0",
            )),
        }
    }
}

/// A file with its holes, as zeros.
pub struct Expanded<R> {
    packed: R,
    /// Where pieces begin, and how long they are.
    pieces: VecDeque<(u64, u64)>,
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
        let mut pieces = VecDeque::new();
        let mut end = 0;
        for _ in 0..count {
            let (offset, size) = (numbers.next()?, numbers.next()?);
            let after = offset.checked_add(size).filter(|after| *after <= length);
            let after = after.filter(|_| offset >= end);
            end = after.ok_or_else(|| damaged("the pieces of a sparse file overlap"))?;
            pieces.push_back((offset, size));
        }
        Ok(Self {
            packed,
            pieces,
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

    #[test]
    fn only_the_version_that_is_known_is_read() {
        let told = |pairs: &[(&str, &str)]| {
            let mut sparse = Sparse::default();
            for (key, value) in pairs {
                sparse.note(key.as_bytes(), value.as_bytes());
            }
            sparse.told()
        };
        let (major, minor) = (("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"));
        let (name, length) = (("GNU.sparse.name", "a"), ("GNU.sparse.realsize", "9"));
        let known = told(&[major, minor, name, length]).unwrap();
        assert_eq!(known, Some(("a".into(), 9)));
        assert_eq!(told(&[("path", "a")]).unwrap(), None);
        assert!(told(&[("GNU.sparse.map", "0,1")]).is_err());
        assert!(told(&[major, minor, name]).is_err());
        assert!(told(&[major, ("GNU.sparse.minor", "1"), name, length]).is_err());
    }
}
