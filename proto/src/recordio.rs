//! RecordIO: the framing of event streams. A record is its length in decimal digits, a newline, and
//! that many bytes; nothing follows. How the bytes are cut into chunks on the way means nothing.

use std::marker::PhantomData;

use bytes::{Buf as _, BytesMut};

use crate::wire::{self, WireError};

/// Digits of the largest length that fits a `u64`. A longer header is not a length.
const MAX_HEADER: usize = 20;

/// Frames one record. Write the result in one piece: some clients expect one record per HTTP chunk.
///
/// `record` must not be empty, which no message of ours is: a reader takes length 0 for an error.
#[must_use]
pub fn encode(record: &[u8]) -> Vec<u8> {
    debug_assert!(!record.is_empty(), "RecordIO has no empty record");
    let mut framed = format!("{}\n", record.len()).into_bytes();
    framed.extend_from_slice(record);
    framed
}

/// Why bytes are not a stream of records. The stream cannot be read any further: where the next
/// record begins is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordIoError {
    #[error(
        "record header {header:?} is not a length: expected decimal digits, a newline, then that \
         many bytes"
    )]
    NotALength { header: String },
    #[error("record has the length 0: leave out empty records")]
    Empty,
    #[error("record of {length} bytes is too large: at most {max} bytes are accepted here")]
    TooLarge { length: u64, max: usize },
    #[error("the stream ends inside a record: {missing} more bytes were announced")]
    Truncated { missing: usize },
    #[error("the stream ends inside a record header")]
    TruncatedHeader,
}

/// Cuts a byte stream into records, with any chunking.
///
/// Call [`Decoder::next`] until it gives `None` after each [`Decoder::push`]; then the decoder holds
/// at most one unfinished record.
#[derive(Debug)]
pub struct Decoder {
    max_record: usize,
    buffer: BytesMut,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Header,
    Body { length: usize },
    Failed(RecordIoError),
}

impl Decoder {
    /// A decoder that refuses records of more than `max_record_bytes`, before it buffers them.
    #[must_use]
    pub fn new(max_record_bytes: usize) -> Self {
        Self {
            max_record: max_record_bytes,
            buffer: BytesMut::new(),
            state: State::Header,
        }
    }

    /// Takes the next bytes of the stream. After an error, further bytes are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Failed(_)) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole record, or `None` when more bytes are needed first. An error is final: the
    /// same one is returned from then on.
    #[expect(
        clippy::should_implement_trait,
        reason = "None means `push more`, not `the end`, so this is not an iterator"
    )]
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, RecordIoError> {
        let step = match &self.state {
            State::Header => self.take_header(),
            State::Body { length } => Ok(Some(*length)),
            State::Failed(error) => Err(error.clone()),
        };
        match step {
            Ok(Some(length)) if self.buffer.len() >= length => {
                self.state = State::Header;
                Ok(Some(self.buffer.split_to(length).into()))
            }
            Ok(Some(length)) => {
                self.state = State::Body { length };
                Ok(None)
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.state = State::Failed(error.clone());
                self.buffer = BytesMut::new();
                Err(error)
            }
        }
    }

    /// Says whether the stream may end here, which is between two records.
    pub fn finish(&self) -> Result<(), RecordIoError> {
        match &self.state {
            State::Header if self.buffer.is_empty() => Ok(()),
            State::Header => Err(RecordIoError::TruncatedHeader),
            State::Body { length } => Err(RecordIoError::Truncated {
                missing: length.saturating_sub(self.buffer.len()),
            }),
            State::Failed(error) => Err(error.clone()),
        }
    }

    /// Takes a header off the buffer and gives its length; `None` while the header is not complete.
    fn take_header(&mut self) -> Result<Option<usize>, RecordIoError> {
        let window = &self.buffer[..self.buffer.len().min(MAX_HEADER + 1)];
        let end = window.iter().position(|&byte| byte == b'\n');
        let digits = &window[..end.unwrap_or(window.len())];
        let is_length = digits.iter().all(u8::is_ascii_digit)
            && digits.len() <= MAX_HEADER
            && !(digits.is_empty() && end.is_some());
        let not_a_length = || RecordIoError::NotALength {
            header: String::from_utf8_lossy(digits).into_owned(),
        };
        if !is_length {
            return Err(not_a_length());
        }
        let Some(end) = end else { return Ok(None) };
        let text = String::from_utf8_lossy(digits);
        let length: u64 = text.parse().map_err(|_overflow| not_a_length())?;
        let fits = usize::try_from(length)
            .ok()
            .filter(|&length| length <= self.max_record);
        match fits {
            Some(0) => Err(RecordIoError::Empty),
            Some(length) => {
                self.buffer.advance(end + 1);
                Ok(Some(length))
            }
            None => Err(RecordIoError::TooLarge {
                length,
                max: self.max_record,
            }),
        }
    }
}

/// Why bytes are not a stream of messages. As with framing, the end of the stream for its reader.
#[derive(Debug, thiserror::Error)]
pub enum MessagesError {
    #[error("the stream is not RecordIO")]
    Framing(#[from] RecordIoError),
    #[error("a record is not the message it should be")]
    Record(#[from] WireError),
}

/// Cuts a byte stream into protobuf messages, whole and checked as [`wire::decode`] does it.
///
/// Used like a [`Decoder`].
#[derive(Debug)]
pub struct Messages<M> {
    records: Decoder,
    message: PhantomData<fn() -> M>,
}

impl<M> Messages<M>
where
    M: prost::Message + prost::Name + Default,
{
    /// See [`Decoder::new`].
    #[must_use]
    pub fn new(max_record_bytes: usize) -> Self {
        Self {
            records: Decoder::new(max_record_bytes),
            message: PhantomData,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.records.push(bytes);
    }

    /// The next whole message, or `None` when more bytes are needed first.
    #[expect(
        clippy::should_implement_trait,
        reason = "None means `push more`, not `the end`, so this is not an iterator"
    )]
    pub fn next(&mut self) -> Result<Option<M>, MessagesError> {
        let record = self.records.next()?;
        Ok(record.map(|record| wire::decode(&record)).transpose()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_all(decoder: &mut Decoder) -> Result<Vec<Vec<u8>>, RecordIoError> {
        let mut records = Vec::new();
        while let Some(record) = decoder.next()? {
            records.push(record);
        }
        Ok(records)
    }

    fn decode(bytes: &[u8]) -> Result<Vec<Vec<u8>>, RecordIoError> {
        let mut decoder = Decoder::new(1000);
        decoder.push(bytes);
        decode_all(&mut decoder)
    }

    #[test]
    fn a_record_is_its_length_a_newline_and_its_bytes() {
        assert_eq!(encode(b"{\"a\":1}"), b"7\n{\"a\":1}");
        assert_eq!(
            decode(b"3\nabc2\n\n\n"),
            Ok(vec![b"abc".to_vec(), b"\n\n".to_vec()])
        );
    }

    #[test]
    fn lengths_that_are_not_lengths_are_errors() {
        let header = |text: &str| RecordIoError::NotALength {
            header: text.to_owned(),
        };
        assert_eq!(decode(b"\nabc"), Err(header("")));
        assert_eq!(decode(b"12a\n"), Err(header("12a")));
        assert_eq!(decode(b"-1\n"), Err(header("-1")));
        assert_eq!(decode(b"+1\nx"), Err(header("+1")));
        assert_eq!(decode(b"3\r\nabc"), Err(header("3\r")));
        assert_eq!(
            decode(b"99999999999999999999\n"),
            Err(header("99999999999999999999"))
        );
        assert_eq!(decode(b"0\n"), Err(RecordIoError::Empty));
        assert_eq!(
            decode(b"1001\n"),
            Err(RecordIoError::TooLarge {
                length: 1001,
                max: 1000
            })
        );
    }

    #[test]
    fn a_header_without_end_fails_before_it_is_buffered() {
        assert_eq!(decode(&[b'1'; 20]), Ok(vec![]));
        assert!(matches!(
            decode(&[b'1'; 21]),
            Err(RecordIoError::NotALength { .. })
        ));
        assert!(matches!(
            decode(b"<html>"),
            Err(RecordIoError::NotALength { .. })
        ));
    }

    #[test]
    fn after_an_error_the_decoder_stays_failed_and_holds_nothing() {
        let mut decoder = Decoder::new(10);
        decoder.push(b"x");
        let error = decoder.next().unwrap_err();
        decoder.push(b"3\nabc");
        assert_eq!(decoder.next(), Err(error.clone()));
        assert_eq!(decoder.finish(), Err(error));
        assert!(decoder.buffer.is_empty());
    }

    #[test]
    fn a_stream_may_end_only_between_records() {
        let mut decoder = Decoder::new(10);
        assert_eq!(decoder.finish(), Ok(()));
        decoder.push(b"3");
        assert_eq!(decoder.next(), Ok(None));
        assert_eq!(decoder.finish(), Err(RecordIoError::TruncatedHeader));
        decoder.push(b"\na");
        assert_eq!(decoder.next(), Ok(None));
        assert_eq!(
            decoder.finish(),
            Err(RecordIoError::Truncated { missing: 2 })
        );
        decoder.push(b"bc");
        assert_eq!(decoder.next(), Ok(Some(b"abc".to_vec())));
        assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn messages_come_whole_or_not_at_all() {
        use prost::Message as _;
        let id = crate::v1::AgentId {
            value: "a-S0".to_owned(),
        };
        let framed = encode(&id.encode_to_vec());
        let mut messages = Messages::<crate::v1::AgentId>::new(100);
        messages.push(&framed[..3]);
        assert_eq!(messages.next().unwrap(), None);
        messages.push(&framed[3..]);
        // Only a field that ids do not have.
        messages.push(&encode(&[16, 1]));
        assert_eq!(messages.next().unwrap(), Some(id));
        let error = messages.next().unwrap_err();
        assert!(matches!(
            error,
            MessagesError::Record(WireError::Missing { .. })
        ));
        messages.push(b"x\n");
        assert!(matches!(messages.next(), Err(MessagesError::Framing(_))));
    }

    proptest! {
        #[test]
        fn chunking_means_nothing(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            cuts in prop::collection::vec(1usize..17, 1..60),
        ) {
            let stream: Vec<u8> = records.iter().flat_map(|record| encode(record)).collect();
            let mut decoder = Decoder::new(40);
            let mut decoded = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, tail) = rest.split_at(rest.len().min(*cut));
                decoder.push(chunk);
                decoded.extend(decode_all(&mut decoder).unwrap());
                rest = tail;
            }
            prop_assert_eq!(decoded, records);
            prop_assert_eq!(decoder.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_give_records_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
