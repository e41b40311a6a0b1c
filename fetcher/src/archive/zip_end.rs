//! The records at the end of a zip archive, read before a parser builds its index from what they
//! announce. Source: APPNOTE.TXT 6.3.10, sections 4.3.14 to 4.3.16.

use std::io::{self, Read, Seek, SeekFrom};

const ENTRY: [u8; 4] = *b"PK\x01\x02";
const ENTRY_BYTES: u64 = 46;
const END: [u8; 4] = *b"PK\x05\x06";
const END_BYTES: usize = 22;
const LOCATOR: [u8; 4] = *b"PK\x06\x07";
const LOCATOR_BYTES: usize = 20;
const END64: [u8; 4] = *b"PK\x06\x06";
const END64_BYTES: usize = 56;
/// The longest comment after the end record.
const COMMENT_BYTES: usize = u16::MAX as usize;

/// What an archive says about its central directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Announced {
    pub entries: u64,
    pub directory_bytes: u64,
}

impl Announced {
    /// All bits set say "see the zip64 record".
    fn without_overflow(self) -> Self {
        let known = |number, overflow: u64| if number == overflow { 0 } else { number };
        Self {
            entries: known(self.entries, u16::MAX.into()),
            directory_bytes: known(self.directory_bytes, u32::MAX.into()),
        }
    }
}

/// `None` when there is no end record, so that no parser accepts it either. Where two records
/// differ, or one stands at two possible places, the larger number counts.
pub fn announced(archive: &mut (impl Read + Seek)) -> io::Result<Option<Announced>> {
    let length = archive.seek(SeekFrom::End(0))?;
    let most = END_BYTES + COMMENT_BYTES + LOCATOR_BYTES + END64_BYTES;
    let start = length.saturating_sub(most as u64);
    archive.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::with_capacity(most);
    archive.take(most as u64).read_to_end(&mut tail)?;
    let Some(at) = tail.windows(END_BYTES).rposition(|w| w.starts_with(&END)) else {
        return Ok(None);
    };
    let (before, end) = tail.split_at(at);
    let plain = Announced {
        entries: number(end, 10, 2),
        directory_bytes: number(end, 12, 4),
    };
    let Some((before, locator)) = before.split_last_chunk::<LOCATOR_BYTES>() else {
        return Ok(Some(plain));
    };
    if !locator.starts_with(&LOCATOR) {
        return Ok(Some(plain));
    }
    // Where it ought to be, and where it is when something was put in front of the archive.
    let adjacent = before.last_chunk::<END64_BYTES>().copied();
    let located = record_at(archive, number(locator, 8, 8), length)?;
    let records = [adjacent, located].into_iter().flatten();
    let zip64 = records.filter(|record| record.starts_with(&END64));
    let largest = zip64.fold(None, |found: Option<Announced>, record| {
        let found = found.unwrap_or(plain.without_overflow());
        Some(Announced {
            entries: found.entries.max(number(&record, 32, 8)),
            directory_bytes: found.directory_bytes.max(number(&record, 40, 8)),
        })
    });
    Ok(Some(largest.unwrap_or(plain)))
}

/// Whether the list of entries ends where it says: readers that count entries and readers that count bytes find the
/// same, and so do those that know zip64 and those that do not. True where nothing can be said.
pub fn is_listed_whole(archive: &mut (impl Read + Seek)) -> io::Result<bool> {
    let length = archive.seek(SeekFrom::End(0))?;
    let most = (END_BYTES + COMMENT_BYTES + LOCATOR_BYTES + END64_BYTES) as u64;
    let start = length.saturating_sub(most);
    archive.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    archive.take(most).read_to_end(&mut tail)?;
    let Some(at) = tail.windows(END_BYTES).rposition(|w| w.starts_with(&END)) else {
        return Ok(true);
    };
    let (before, end) = tail.split_at(at);
    let end_at = start + at as u64;
    let (plain_entries, plain_bytes) = (number(end, 10, 2), number(end, 12, 4));
    let locator = before.last_chunk::<LOCATOR_BYTES>();
    let (behind, entries, bytes) = match locator.filter(|it| it.starts_with(&LOCATOR)) {
        Some(locator) => {
            // Some look for it where it is said to be, and others in front of the locator.
            let adjacent = end_at.checked_sub((LOCATOR_BYTES + END64_BYTES) as u64);
            let mut found = None;
            for at in [Some(number(locator, 8, 8)), adjacent]
                .into_iter()
                .flatten()
            {
                let record = record_at(archive, at, length)?;
                let Some(record) = record.filter(|it| it.starts_with(&END64)) else {
                    continue;
                };
                if found.is_some_and(|(other, _)| other != at) {
                    return Ok(false);
                }
                found = Some((at, record));
            }
            let Some((at, record)) = found else {
                return Ok(true);
            };
            (at, number(&record, 32, 8), number(&record, 40, 8))
        }
        None if plain_entries == u64::from(u16::MAX) || plain_bytes == u64::from(u32::MAX) => {
            return Ok(true);
        }
        None => (end_at, plain_entries, plain_bytes),
    };
    let is_same = |plain: u64, overflow: u64, known: u64| plain == overflow || plain == known;
    if !is_same(plain_entries, u16::MAX.into(), entries)
        || !is_same(plain_bytes, u32::MAX.into(), bytes)
    {
        return Ok(false);
    }
    let Some(begin) = behind.checked_sub(bytes) else {
        return Ok(false);
    };
    archive.seek(SeekFrom::Start(begin))?;
    let mut list = io::BufReader::new(archive.take(bytes));
    let mut listed = 0;
    loop {
        let mut header = Vec::new();
        list.by_ref().take(ENTRY_BYTES).read_to_end(&mut header)?;
        match header.len() as u64 {
            0 => return Ok(listed == entries),
            ENTRY_BYTES if header.starts_with(&ENTRY) => listed += 1,
            _ => return Ok(false),
        }
        // Name, extra fields and comment.
        let more: u64 = [28, 30, 32].iter().map(|at| number(&header, *at, 2)).sum();
        let mut more_of_it = list.by_ref().take(more);
        if io::copy(&mut more_of_it, &mut io::sink())? < more {
            return Ok(false);
        }
    }
}

fn record_at(
    archive: &mut (impl Read + Seek),
    at: u64,
    length: u64,
) -> io::Result<Option<[u8; END64_BYTES]>> {
    if at > length.saturating_sub(END64_BYTES as u64) {
        return Ok(None);
    }
    let mut record = [0; END64_BYTES];
    archive.seek(SeekFrom::Start(at))?;
    archive.read_exact(&mut record)?;
    Ok(Some(record))
}

/// A little-endian number of `size` bytes at `at`.
pub fn number(record: &[u8], at: usize, size: usize) -> u64 {
    let bytes = record.iter().skip(at).take(size).rev();
    bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn end(entries: u16, size: u32, comment: &[u8]) -> Vec<u8> {
        let mut end = [&END[..], &[0; 4], &entries.to_le_bytes()].concat();
        end.extend(entries.to_le_bytes());
        end.extend(size.to_le_bytes());
        end.extend([0; 4]);
        end.extend((comment.len() as u16).to_le_bytes());
        [&end, comment].concat()
    }

    fn end64(entries: u64, size: u64, at: u64) -> Vec<u8> {
        let mut record = [&END64[..], &44_u64.to_le_bytes(), &[0; 12]].concat();
        for number in [entries, entries, size, 0] {
            record.extend(number.to_le_bytes());
        }
        record.extend([&LOCATOR[..], &[0; 4], &at.to_le_bytes(), &[0; 4]].concat());
        record
    }

    fn read(bytes: &[u8]) -> Option<Announced> {
        announced(&mut Cursor::new(bytes)).unwrap()
    }

    #[test]
    fn the_end_record_is_found_before_its_comment() {
        let expected = Announced {
            entries: 7,
            directory_bytes: 400,
        };
        assert_eq!(read(&end(7, 400, b"")), Some(expected));
        assert_eq!(read(&end(7, 400, &[b'c'; COMMENT_BYTES])), Some(expected));
        assert_eq!(read(b"no archive"), None);
    }

    #[test]
    fn a_zip64_record_counts_wherever_it_stands() {
        let expected = Announced {
            entries: 1 << 20,
            directory_bytes: 50 << 20,
        };
        let record = end64(expected.entries, expected.directory_bytes, 3);
        let plain = end(u16::MAX, u32::MAX, b"");
        // At its place, behind a prefix that it does not know of, and away from the locator.
        let (zip64, locator) = record.split_at(END64_BYTES);
        let gap = [0; 100];
        for archive in [
            [b"abc", &record[..], &plain].concat(),
            [&gap[..], &record, &plain].concat(),
            [b"abc", zip64, &gap, locator, &plain].concat(),
        ] {
            assert_eq!(read(&archive), Some(expected));
        }
    }

    #[test]
    fn a_list_is_as_long_as_all_records_of_it_say() {
        let header = |name: &[u8]| {
            let mut header = [&ENTRY[..], &[0; 42]].concat();
            header[28] = name.len() as u8;
            [&header, name].concat()
        };
        let list = [header(b"a"), header(b"bc")].concat();
        let size = list.len() as u32;
        let whole = |archive: &[Vec<u8>]| is_listed_whole(&mut Cursor::new(archive.concat()));
        let plain = |entries, size| whole(&[list.clone(), end(entries, size, b"")]).unwrap();
        assert!(plain(2, size));
        assert!(!plain(1, size) && !plain(3, size) && !plain(2, size - 1) && !plain(1, 47));
        let wide = u64::from(size);
        let long = |entries, size64, at, plain_entries, plain_size| {
            let ends = [
                end64(entries, size64, at),
                end(plain_entries, plain_size, b""),
            ];
            whole(&[list.clone(), ends.concat()]).unwrap()
        };
        // Where nothing overflows both have the numbers, as of `zip -fz`.
        assert!(long(2, wide, wide, 2, size));
        assert!(long(2, wide, wide, u16::MAX, u32::MAX));
        // Behind something that it does not know of.
        assert!(long(2, wide, 7, u16::MAX, u32::MAX));
        assert!(!long(1, wide, wide, u16::MAX, u32::MAX));
        assert!(!long(2, wide, wide, 1, size));
        assert!(!long(2, wide - 48, wide, 2, size));
        // Two records of which readers take one each.
        let record = &end64(1, 48, 0)[..END64_BYTES];
        let two = [
            list.clone(),
            record.to_vec(),
            end64(2, wide, wide),
            end(2, size, b""),
        ];
        assert!(!whole(&two).unwrap());
    }
}
