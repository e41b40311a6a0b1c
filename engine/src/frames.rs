//! Output of a container: stdout and stderr over one connection, in frames.

use bytes::{Buf as _, Bytes, BytesMut};
use reqwest::Response;

use crate::call::Call;
use crate::error::EngineError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Stdout,
    Stderr,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub source: Source,
    pub bytes: Bytes,
}

/// Of a frame. What engines send is 16 KiB at most, with a time before it.
const MOST: usize = 1 << 20;

/// Kind of stream, three zeros, and how long it is, big-endian.
const HEAD: usize = 8;

/// Takes frames out of bytes that come in any pieces.
#[derive(Debug, Default)]
pub(crate) struct Decoder(BytesMut);

impl Decoder {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// `None`: not all of it is there. Errors: what came is no frame.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, &'static str> {
        let Some(&[kind, zero1, zero2, zero3, a, b, c, d]) = self.0.first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let source = match kind {
            // Of stdin the engine repeats nothing; what it says of itself goes with stderr.
            0 | 1 => Source::Stdout,
            2 | 3 => Source::Stderr,
            _ => return Err("a frame of an unknown stream"),
        };
        if [zero1, zero2, zero3] != [0; 3] {
            return Err("no frame where one should begin");
        }
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > MOST {
            return Err("a frame that is too long");
        }
        if self.0.len() < HEAD + length {
            return Ok(None);
        }
        self.0.advance(HEAD);
        let bytes = self.0.split_to(length).freeze();
        Ok(Some(Frame { source, bytes }))
    }
}

/// A stream of output, until its end.
#[derive(Debug)]
pub struct Logs {
    what: String,
    response: Response,
    decoder: Decoder,
}

impl Logs {
    pub(crate) fn of(call: &Call, response: Response) -> Self {
        Self {
            what: call.what.clone(),
            response,
            decoder: Decoder::default(),
        }
    }

    /// `None` at the end. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Frame>, EngineError> {
        loop {
            let bad = |why| EngineError::BadStream {
                what: self.what.clone(),
                why,
            };
            if let Some(frame) = self.decoder.next().map_err(bad)? {
                return Ok(Some(frame));
            }
            let chunk = self.response.chunk().await;
            let chunk = chunk.map_err(|source| EngineError::Broken {
                what: self.what.clone(),
                source,
            })?;
            match chunk {
                Some(chunk) => self.decoder.add(&chunk),
                None if self.decoder.0.is_empty() => return Ok(None),
                None => return Err(bad("it ends in the middle of a frame")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn written(frames: &[(bool, Vec<u8>)]) -> Vec<u8> {
        let one = |(is_stderr, bytes): &(bool, Vec<u8>)| {
            let length = (bytes.len() as u32).to_be_bytes();
            let head = [&[1 + u8::from(*is_stderr), 0, 0, 0][..], &length].concat();
            [head, bytes.clone()].concat()
        };
        frames.iter().flat_map(one).collect()
    }

    fn read(pieces: &[&[u8]]) -> Result<Vec<(bool, Vec<u8>)>, &'static str> {
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        for piece in pieces {
            decoder.0.extend_from_slice(piece);
            while let Some(frame) = decoder.next()? {
                frames.push((frame.source == Source::Stderr, frame.bytes.to_vec()));
            }
        }
        Ok(frames)
    }

    proptest! {
        #[test]
        fn frames_are_the_same_however_they_come_in_pieces(
            frames in vec((any::<bool>(), vec(any::<u8>(), 0..40)), 0..8),
            size in 1_usize..50,
        ) {
            let bytes = written(&frames);
            let pieces: Vec<_> = bytes.chunks(size).collect();
            prop_assert_eq!(read(&pieces), Ok(frames));
        }

        #[test]
        fn no_bytes_make_it_panic_or_hold_more_than_a_frame(bytes in vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.0.extend_from_slice(&bytes);
            while let Ok(Some(frame)) = decoder.next() {
                prop_assert!(frame.bytes.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn what_is_no_frame_is_told() {
        assert!(read(&[b"hello world"]).is_err());
        assert!(read(&[&[1, 0, 0, 0, 0xff, 0, 0, 0]]).is_err());
        assert_eq!(read(&[&[2, 0, 0, 0, 0, 0, 0, 0]]), Ok(vec![(true, vec![])]));
    }
}
