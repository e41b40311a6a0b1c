//! What a file is by its content, where its name says nothing.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;

use super::codec::decoder;
use super::{Codec, buffered};
use crate::plan::Format;

const BLOCK: usize = 512;
/// Where a header of tar says that it is one, of POSIX or of GNU.
const USTAR: (usize, &[u8]) = (257, b"ustar");
/// An entry, or the end of an archive without any.
const ZIPS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];
const CODECS: [(&[u8], Codec); 4] = [
    (b"\x1f\x8b\x08", Codec::Gzip),
    (b"BZh", Codec::Bzip2),
    (b"\xfd7zXZ\0", Codec::Xz),
    (b"\x28\xb5\x2f\xfd", Codec::Zstd),
];

/// `None` for what is no archive: a single file that is compressed has no other name to unpack to.
pub fn recognised(file: &File) -> io::Result<Option<Format>> {
    let mut head = [0; BLOCK];
    let length = file.read_at(&mut head, 0)?;
    let head = &head[..length];
    if ZIPS.iter().any(|zip| head.starts_with(zip)) {
        return Ok(Some(Format::Zip));
    }
    if is_tar(head) {
        return Ok(Some(Format::Tar(None)));
    }
    let Some(codec) = codec_of(head) else {
        return Ok(None);
    };
    let mut file = file.try_clone()?;
    file.rewind()?;
    let mut first = Vec::new();
    let packed = buffered(file.try_clone()?);
    // What does not decode is no archive.
    let decoded = decoder(codec, packed)
        .take(BLOCK as u64)
        .read_to_end(&mut first);
    file.rewind()?;
    Ok(Some(Format::Tar(Some(codec))).filter(|_| decoded.is_ok() && is_tar(&first)))
}

/// What a file is compressed with that begins so.
pub fn codec_of(head: &[u8]) -> Option<Codec> {
    let found = CODECS.iter().find(|(mark, _)| head.starts_with(mark));
    found.map(|(_, codec)| *codec)
}

fn is_tar(head: &[u8]) -> bool {
    let (at, mark) = USTAR;
    head.get(at..).is_some_and(|rest| rest.starts_with(mark))
}
