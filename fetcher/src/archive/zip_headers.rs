//! What stands in front of an entry's content in a zip, against the list of entries at its end: readers of streams
//! heed the one, all others the other, and who has looked at an archive may have looked at either. Source:
//! APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.9, 4.3.12, 4.4.4, 4.5.3 and 4.6.9.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::zip_end::number;

const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;
/// Encrypted, patched, encrypted strongly, and with headers that are masked. Others are hints, but for those below.
const FLAGS: u64 = 1 | 1 << 5 | 1 << 6 | 1 << 13;
/// Checksum and sizes stand behind the content. The list has them in any case, so that only the local one counts.
const DESCRIBED_BEHIND: u64 = 1 << 3;
/// Matters to names that are no ASCII.
const UTF8: u64 = 1 << 11;
const DESCRIPTOR: &[u8] = b"PK\x07\x08";
const DESCRIPTOR_BYTES: usize = 24;
const ZIP64: u64 = 1;
const UNICODE_PATH: u64 = 0x7075;
/// "See the zip64 field".
const OVERFLOW: u64 = u32::MAX as u64;

/// What the list says of one entry, as it was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Of its record in the list.
    pub at: u64,
    pub local_at: u64,
    pub content_at: u64,
    pub checksum: u64,
    pub packed: u64,
    pub size: u64,
}

/// The fields that both kinds of header have.
struct Header {
    flags: u64,
    method: u64,
    checksum: u64,
    packed: u64,
    size: u64,
    name: Vec<u8>,
    extra: Vec<u8>,
}

impl Header {
    fn local(archive: &File, at: u64) -> io::Result<Self> {
        Self::read(archive, at, LOCAL_BYTES, 0)
    }

    /// Its fields stand two bytes later, for it says by what it was made, too.
    fn central(archive: &File, at: u64) -> io::Result<Self> {
        Self::read(archive, at, CENTRAL_BYTES, 2)
    }

    fn read(archive: &File, at: u64, length: usize, later: usize) -> io::Result<Self> {
        let mut fixed = vec![0; length];
        archive.read_exact_at(&mut fixed, at)?;
        let field = |at, size| number(&fixed, at + later, size);
        let bytes = |at| usize::from(u16::try_from(field(at, 2)).unwrap_or_default());
        let mut name = vec![0; bytes(26) + bytes(28)];
        archive.read_exact_at(&mut name, at + length as u64)?;
        let extra = name.split_off(bytes(26));
        Ok(Self {
            flags: field(6, 2),
            method: field(8, 2),
            checksum: field(14, 4),
            packed: field(18, 4),
            size: field(22, 4),
            name,
            extra,
        })
    }

    fn extra(&self, wanted: u64) -> Option<&[u8]> {
        let mut rest = &self.extra[..];
        while let Some((head, more)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(number(head, 2, 2)).ok()?;
            let (content, others) = more.split_at_checked(length)?;
            if number(head, 0, 2) == wanted {
                return Some(content);
            }
            rest = others;
        }
        None
    }

    /// Packed, and unpacked. A local header has both as zip64, or neither.
    fn sizes(&self) -> (u64, u64) {
        match self.extra(ZIP64) {
            Some(long) if long.len() >= 16 => {
                let long = |short, at| match short {
                    OVERFLOW => number(long, at, 8),
                    _ => short,
                };
                (long(self.packed, 8), long(self.size, 0))
            }
            _ => (self.packed, self.size),
        }
    }
}

/// What is not the same in both places.
pub fn difference(archive: &File, listed: Listed) -> io::Result<Option<&'static str>> {
    let local = Header::local(archive, listed.local_at)?;
    let central = Header::central(archive, listed.at)?;
    let flags = match local.name.is_ascii() {
        true => FLAGS,
        false => FLAGS | UTF8,
    };
    // Which some readers take for the name, and others have never heard of. It follows a version and a checksum.
    let has_one_name = |header: &Header| {
        let path = header.extra(UNICODE_PATH);
        path.is_none_or(|path| path.get(5..) == Some(&header.name))
    };
    let (packed, size) = local.sizes();
    let said = [local.checksum, packed, size];
    let known = [listed.checksum, listed.packed, listed.size];
    Ok(match () {
        () if local.name != central.name => Some("name"),
        () if !has_one_name(&local) || !has_one_name(&central) => Some("name"),
        () if local.method != central.method => Some("method"),
        () if local.flags & flags != central.flags & flags => Some("flags"),
        () if said == known => None,
        () if local.flags & DESCRIBED_BEHIND == 0 => Some("size or checksum"),
        // What was not known yet is zero.
        () if said
            .iter()
            .zip(known)
            .any(|(said, known)| *said != 0 && *said != known) =>
        {
            Some("size or checksum")
        }
        () if is_described(archive, listed)? => None,
        () => Some("size or checksum"),
    })
}

/// Whether what stands behind the content says the same: with a signature or without, its sizes of four bytes or
/// of eight.
fn is_described(archive: &File, listed: Listed) -> io::Result<bool> {
    let behind = listed.content_at.checked_add(listed.packed);
    let Some(behind) = behind else {
        return Ok(false);
    };
    let mut found = [0; DESCRIPTOR_BYTES];
    let mut length = 0;
    loop {
        match archive.read_at(&mut found[length..], behind.saturating_add(length as u64))? {
            0 => break,
            read => length += read,
        }
    }
    let found = &found[..length];
    let says = |fields: &[u8], wide: usize| {
        fields.len() >= 4 + 2 * wide
            && number(fields, 0, 4) == listed.checksum
            && number(fields, 4, wide) == listed.packed
            && number(fields, 4 + wide, wide) == listed.size
    };
    let signed = found.strip_prefix(DESCRIPTOR);
    let either = |fields: &[u8]| says(fields, 4) || says(fields, 8);
    Ok(either(found) || signed.is_some_and(either))
}
