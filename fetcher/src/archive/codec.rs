//! Compressed streams. What a decoder may hold in memory is bounded here, because a stream says itself how
//! much that is.

mod bits;
mod blocks;
mod frames;
mod xz;

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::READ;
use crate::growth::Packed;
use blocks::Blocks;
pub use frames::Frames;
pub use xz::{Room, Xz};

/// `xz -9` wants 65 MiB.
const XZ_KIBIBYTES: u32 = 128 << 10;
/// The most that `zstd` itself takes without `--long`, and with `--long=27`.
pub const ZSTD_BYTES: u64 = 128 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// Reads what `from` was compressed from; several streams one after the other are one, as for the programs
/// of these names.
pub fn decoder<'a>(codec: Codec, from: impl BufRead + 'a) -> Box<dyn Read + 'a> {
    match codec {
        Codec::Gzip => Box::new(MultiGzDecoder::new(from)),
        Codec::Bzip2 => match Blocks::new(from) {
            Ok(blocks) => Box::new(blocks),
            Err(error) => Box::new(NoThread(Some(error))),
        },
        Codec::Xz => Box::new(XzReader::new_mem_limit(from, true, XZ_KIBIBYTES)),
        Codec::Zstd => Box::new(Frames::new(from, ZSTD_BYTES)),
    }
}

/// The same of a file, part of which is decoded by other threads where that takes room for it in files.
pub fn decoded<'a>(codec: Codec, packed: Packed, room: Room<'a>) -> Box<dyn Read + 'a> {
    match codec {
        Codec::Xz => Box::new(Xz::new(packed, room)),
        Codec::Gzip | Codec::Bzip2 | Codec::Zstd => {
            decoder(codec, BufReader::with_capacity(READ, packed))
        }
    }
}

/// For what holds of both.
pub fn bzip2_by_blocks(from: &[u8]) -> Box<dyn Read + '_> {
    decoder(Codec::Bzip2, from)
}

pub fn bzip2_by_one(from: &[u8]) -> Box<dyn Read + '_> {
    Box::new(bzip2::bufread::MultiBzDecoder::new(from))
}

/// Nothing can be decoded.
struct NoThread(Option<io::Error>);

impl Read for NoThread {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

#[cfg(test)]
pub mod tests {
    use std::io::Write as _;

    use super::*;

    pub fn encode(codec: Codec, bytes: &[u8]) -> Vec<u8> {
        match codec {
            Codec::Gzip => {
                let fast = flate2::Compression::fast();
                let mut out = flate2::write::GzEncoder::new(Vec::new(), fast);
                out.write_all(bytes).unwrap();
                out.finish().unwrap()
            }
            Codec::Bzip2 => {
                let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                out.write_all(bytes).unwrap();
                out.finish().unwrap()
            }
            Codec::Xz => {
                let options = lzma_rust2::XzOptions::with_preset(0);
                let mut out = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
                out.write_all(bytes).unwrap();
                out.finish().unwrap()
            }
            Codec::Zstd => {
                let fastest = ruzstd::encoding::CompressionLevel::Fastest;
                ruzstd::encoding::compress_to_vec(bytes, fastest)
            }
        }
    }

    const ALL: [Codec; 4] = [Codec::Gzip, Codec::Bzip2, Codec::Xz, Codec::Zstd];

    fn decode(codec: Codec, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decoder(codec, bytes).read_to_end(&mut out)?;
        Ok(out)
    }

    /// Nothing that compresses to nothing, and longer than a block of any of them.
    fn text() -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 28) as u8 + b'a'
        };
        (0..300_000).map(|_| next()).collect()
    }

    #[test]
    fn several_streams_are_one() {
        for codec in ALL {
            let (first, second) = (text(), b"the end".to_vec());
            let streams = [encode(codec, &first), encode(codec, &second)].concat();
            let decoded = decode(codec, &streams).unwrap();
            assert!(decoded == [first, second].concat(), "{codec:?}");
        }
    }

    #[test]
    fn what_is_cut_short_or_has_a_flipped_bit_is_never_taken_for_whole() {
        let text = text();
        for codec in ALL {
            let good = encode(codec, &text);
            for length in [good.len() / 2, good.len() - 1] {
                assert!(decode(codec, &good[..length]).is_err(), "{codec:?}");
            }
            for at in [good.len() / 3, good.len() / 2] {
                let mut bad = good.clone();
                bad[at] ^= 0x10;
                let decoded = decode(codec, &bad);
                assert!(decoded.is_err(), "{codec:?} at {at}");
            }
        }
    }

    #[test]
    fn a_stream_cannot_ask_for_any_amount_of_memory() {
        // A window of 2 GiB: `zstd --long=31`.
        let zstd = [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0x00, 0xa8], &[1, 0, 0]].concat();
        let error = decode(Codec::Zstd, &zstd).unwrap_err();
        assert!(error.to_string().contains("window"), "{error}");
        let mut options = lzma_rust2::XzOptions::with_preset(1);
        options.lzma_options.dict_size = 256 << 20;
        let mut out = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        out.write_all(b"x").unwrap();
        let error = decode(Codec::Xz, &out.finish().unwrap()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory, "{error}");
    }
}
