//! The bytes of a checkpoint. Pure.
//!
//! ```text
//! file    header  record…
//! header  0x89 "LSC"  version: u32             crc32 of both: u32
//! record  length: u32  crc32 of place and length: u32  crc32 of the payload: u32  payload
//! ```
//!
//! Numbers are little-endian. The place of a record is its offset in the file, as a u64 before the length.
//! That a length has a checksum of its own tells what is cut short from what has changed: only a length that
//! is sure to be right can say that the file ends too early. The header keeps its form in every version.

/// What this program writes, and the newest that it understands.
pub const VERSION: u32 = 1;

/// No text begins like this, and no file of another program that we know of.
const MAGIC: [u8; 4] = *b"\x89LSC";

const HEADER: usize = 12;
const HEAD: usize = 12;

/// More than any record of ours, in bytes.
pub const MAX_RECORD: usize = 64 << 20;

/// What is wrong with some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No header of ours.
    Foreign,
    /// The header itself has changed.
    Header,
    /// A record's length or place has changed, or something else stands where it was.
    Head,
    Payload,
    /// It ends before its record does.
    Short,
    /// A file of one record has more.
    More,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad {
    pub at: usize,
    /// Where what is good goes on.
    pub until: usize,
    pub fault: Fault,
}

/// All that can be made out of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan<'a> {
    /// Each with the place of its record.
    pub payloads: Vec<(usize, &'a [u8])>,
    /// In the order of the file.
    pub bad: Vec<Bad>,
    /// Where whole records end; what follows is the beginning of one that never was written to its end.
    pub end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewerVersion(pub u32);

/// The one record of `bytes`.
pub fn single(bytes: &[u8]) -> Result<Result<&[u8], Bad>, NewerVersion> {
    let scan = scan(bytes)?;
    let bad = |at, fault| Bad {
        at,
        until: bytes.len(),
        fault,
    };
    Ok(match (scan.bad.first(), scan.payloads.as_slice()) {
        (Some(first), _) => Err(*first),
        (None, []) => Err(bad(scan.end, Fault::Short)),
        (None, [(_, payload)]) if scan.end == bytes.len() => Ok(payload),
        (None, [(_, payload), ..]) => Err(bad(HEADER + HEAD + payload.len(), Fault::More)),
    })
}

/// The records of `bytes`, whatever these are.
pub fn scan(bytes: &[u8]) -> Result<Scan<'_>, NewerVersion> {
    let mut scan = Scan::default();
    let is_begun = bytes.len() < HEADER && header().starts_with(bytes);
    if is_begun || is_zero(bytes) {
        return Ok(scan);
    }
    if let Some(fault) = check_header(bytes)? {
        let until = next_record(bytes, 0);
        scan.bad.push(Bad {
            at: 0,
            until,
            fault,
        });
        scan.end = until;
    } else {
        scan.end = HEADER;
    }
    loop {
        let at = scan.end;
        let Some((head, after)) = bytes.get(at..).and_then(|rest| rest.split_first_chunk()) else {
            return Ok(scan);
        };
        let (until, fault) = match length(head, at) {
            None if is_zero(head) && is_zero(after) => return Ok(scan),
            None => (next_record(bytes, at), Fault::Head),
            Some(length) => match after.get(..length) {
                None => return Ok(scan),
                Some(payload) if is_payload(head, payload) => {
                    scan.payloads.push((at, payload));
                    scan.end = at + HEAD + length;
                    continue;
                }
                Some(_) => (at + HEAD + length, Fault::Payload),
            },
        };
        scan.bad.push(Bad { at, until, fault });
        scan.end = until;
    }
}

pub fn header() -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let (begin, sum) = header.split_at_mut(8);
    begin[..4].copy_from_slice(&MAGIC);
    begin[4..].copy_from_slice(&VERSION.to_le_bytes());
    sum.copy_from_slice(&crc32fast::hash(begin).to_le_bytes());
    header
}

/// A record for the place `at`; `None` when it is longer than any may be.
pub fn record(payload: &[u8], at: usize) -> Option<Vec<u8>> {
    let length = u32::try_from(payload.len()).ok()?;
    if payload.len() > MAX_RECORD {
        return None;
    }
    let mut bytes = Vec::with_capacity(HEAD + payload.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&place_sum(at, length).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    Some(bytes)
}

/// A whole file.
pub fn file<P: AsRef<[u8]>>(payloads: impl IntoIterator<Item = P>) -> Option<Vec<u8>> {
    let mut bytes = header().to_vec();
    for payload in payloads {
        let record = record(payload.as_ref(), bytes.len())?;
        bytes.extend_from_slice(&record);
    }
    Some(bytes)
}

fn check_header(bytes: &[u8]) -> Result<Option<Fault>, NewerVersion> {
    let Some((begin, rest)) = bytes.split_first_chunk::<8>() else {
        return Ok(Some(Fault::Foreign));
    };
    let sum = crc32fast::hash(begin).to_le_bytes();
    let version = u32::from_le_bytes([begin[4], begin[5], begin[6], begin[7]]);
    match (rest.starts_with(&sum), begin.starts_with(&MAGIC)) {
        (true, true) if version > VERSION => Err(NewerVersion(version)),
        (true, true) if version == VERSION => Ok(None),
        (false, true) => Ok(Some(Fault::Header)),
        // One bit of the name alone: the sum cannot be right for another name.
        (false, false) if bytes.get(4..HEADER) == header().get(4..) => Ok(Some(Fault::Header)),
        (true, true) | (_, false) => Ok(Some(Fault::Foreign)),
    }
}

/// What a record's head says of its length, when it is a head and at its place.
fn length(head: &[u8; HEAD], at: usize) -> Option<usize> {
    let [a, b, c, d, sum @ .., _, _, _, _] = head;
    let length = u32::from_le_bytes([*a, *b, *c, *d]);
    let is_sound = *sum == place_sum(at, length).to_le_bytes();
    (is_sound && length as usize <= MAX_RECORD).then_some(length as usize)
}

fn is_payload(head: &[u8; HEAD], payload: &[u8]) -> bool {
    head[8..] == crc32fast::hash(payload).to_le_bytes()
}

fn place_sum(at: usize, length: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(at as u64).to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.finalize()
}

/// The first whole record after `at`, or the end.
fn next_record(bytes: &[u8], at: usize) -> usize {
    let begins = |at: &usize| {
        let Some((head, after)) = bytes.get(*at..).and_then(|rest| rest.split_first_chunk()) else {
            return false;
        };
        let payload = length(head, *at).and_then(|length| after.get(..length));
        payload.is_some_and(|payload| is_payload(head, payload))
    };
    (at + 1..bytes.len()).find(begins).unwrap_or(bytes.len())
}

/// As a file that was made longer before its bytes were there: the machine has stopped meanwhile.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAYLOADS: [&[u8]; 4] = [b"one", b"", b"three", &[0; 40]];

    fn whole() -> Vec<u8> {
        file(PAYLOADS).unwrap()
    }

    fn good<'a>(scan: &Scan<'a>) -> Vec<&'a [u8]> {
        scan.payloads.iter().map(|(_, payload)| *payload).collect()
    }

    /// Where each record begins, and the end.
    fn places() -> Vec<usize> {
        let lengths = PAYLOADS.iter().map(|payload| HEAD + payload.len());
        let ends = lengths.scan(HEADER, |at, length| {
            *at += length;
            Some(*at)
        });
        std::iter::once(HEADER).chain(ends).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = whole();
        let scan = scan(&bytes).unwrap();
        assert_eq!(good(&scan), PAYLOADS);
        assert_eq!((scan.bad, scan.end), (vec![], bytes.len()));
        let one = file([b"only"]).unwrap();
        assert_eq!(single(&one), Ok(Ok(&b"only"[..])));
    }

    #[test]
    fn the_form_of_a_file_is_as_it_was() {
        let bytes = file([b"a"]).unwrap();
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "894c53430100000030610887010000008bec63c643beb7e861");
    }

    #[test]
    fn a_file_that_ends_early_has_the_records_before_and_nothing_is_damaged() {
        let bytes = whole();
        for length in 0..bytes.len() {
            let cut = &bytes[..length];
            let scan = scan(cut).unwrap();
            assert_eq!(scan.bad, [], "{length}");
            let kept = places().into_iter().skip(1).filter(|end| *end <= length);
            let kept = kept.count();
            assert_eq!(good(&scan), PAYLOADS[..kept], "{length}");
            let end = if length < HEADER { 0 } else { places()[kept] };
            assert_eq!(scan.end, end, "{length}");
            assert!(single(cut).unwrap().is_err() || kept == 1, "{length}");
        }
    }

    #[test]
    fn what_was_to_be_written_and_is_zero_was_not_written() {
        for length in places() {
            let mut bytes = whole();
            bytes[length..].fill(0);
            bytes.extend([0; 100]);
            let scan = scan(&bytes).unwrap();
            assert_eq!((scan.bad, scan.end), (vec![], length));
        }
    }

    #[test]
    fn every_bit_that_flips_is_seen_and_costs_one_record() {
        for bit in 0..whole().len() * 8 {
            let mut bytes = whole();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let scan = scan(&bytes).unwrap();
            assert_eq!(scan.bad.len(), 1, "bit {bit}");
            let hit = places().into_iter().filter(|at| *at <= bit / 8).count();
            let mut kept = PAYLOADS.to_vec();
            if hit > 0 {
                kept.remove(hit - 1);
            }
            assert_eq!(good(&scan), kept, "bit {bit}");
            assert_eq!(scan.end, bytes.len(), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_known_as_one_and_a_changed_version_is_not() {
        let mut bytes = whole();
        bytes[4] = 2;
        assert_eq!(scan(&bytes).unwrap().bad[0].fault, Fault::Header);
        let sum = crc32fast::hash(&bytes[..8]);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(scan(&bytes), Err(NewerVersion(2)));
    }

    #[test]
    fn a_record_at_another_place_is_none() {
        let bytes = whole();
        let places = places();
        let (first, third) = (places[0]..places[1], places[2]..places[3]);
        let mut moved = bytes[..places[1]].to_vec();
        moved.extend_from_slice(&bytes[third]);
        moved.extend_from_slice(&bytes[first]);
        let scan = scan(&moved).unwrap();
        assert_eq!(scan.payloads, [(HEADER, &b"one"[..])]);
        assert_eq!(scan.bad[0].fault, Fault::Head);
    }

    #[test]
    fn one_record_too_many_is_not_taken_for_one() {
        let two = file([b"one", b"two"]).unwrap();
        let bad = single(&two).unwrap().unwrap_err();
        assert_eq!((bad.at, bad.fault), (HEADER + HEAD + 3, Fault::More));
        let mut tail = file([b"one"]).unwrap();
        tail.push(7);
        assert_eq!(single(&tail).unwrap().unwrap_err().fault, Fault::More);
    }

    proptest! {
        #[test]
        fn any_bytes_are_either_all_understood_or_told_of(
            bytes in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            if let Ok(scan) = scan(&bytes) {
                prop_assert!(scan.end <= bytes.len());
                prop_assert!(scan.payloads.is_empty());
            }
        }

        #[test]
        fn records_come_back_whatever_is_done_to_others(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 1..6),
            from in any::<proptest::sample::Index>(),
            noise in proptest::collection::vec(any::<u8>(), 1..40),
        ) {
            let mut bytes = file(&payloads).unwrap();
            let from = HEADER + from.index(bytes.len() - HEADER);
            let until = (from + noise.len()).min(bytes.len());
            bytes[from..until].copy_from_slice(&noise[..until - from]);
            let scan = scan(&bytes).unwrap();
            let mut at = HEADER;
            let mut found = good(&scan).into_iter();
            for payload in &payloads {
                let end = at + HEAD + payload.len();
                let is_hit = at < until && from < end;
                if !is_hit {
                    prop_assert!(found.any(|found| found == payload));
                }
                at = end;
            }
        }
    }
}
