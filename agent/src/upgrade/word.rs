//! What the agent and the process that is to replace it say to each other, and in which form: one byte
//! that says what it is, four for the length of what follows (least first), and that.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// An order of a master is the largest.
const LONGEST: u32 = 64 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// The successor has read its flags and looked at the host: it can take over.
    Prepared,
    /// To the successor: all that is known is on the disk, and is yours. It is to register if the
    /// agent is registered.
    Go { registered: bool },
    /// The successor has taken over what runs, and would serve.
    Ready,
    /// The successor cannot go on.
    Failed(String),
    /// To the successor: what the master has ordered meanwhile, as a `ToAgent`.
    Order(Vec<u8>),
    /// To the successor: that was all. From now on it is the agent.
    Yours,
    /// The successor lets clients in.
    Serving,
}

#[derive(Debug, thiserror::Error)]
pub enum WordError {
    #[error("word {0} is not known: is it of another version?")]
    Unknown(u8),
    #[error("word {kind} has {length} bytes, which it cannot have")]
    Length { kind: u8, length: u32 },
    #[error("word {kind} cannot be read: {why}")]
    Content { kind: u8, why: &'static str },
    #[error("it said nothing more")]
    Closed,
    #[error("it does not listen")]
    Deaf,
    #[error("the line to it broke")]
    Io(#[from] io::Error),
}

impl Word {
    fn encode(&self) -> Vec<u8> {
        let (kind, content): (u8, &[u8]) = match self {
            Word::Prepared => (1, b""),
            Word::Go { registered } => (2, &[u8::from(*registered)]),
            Word::Ready => (3, b""),
            Word::Failed(why) => (4, why.as_bytes()),
            Word::Order(order) => (5, order),
            Word::Yours => (6, b""),
            Word::Serving => (7, b""),
        };
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(content);
        bytes
    }

    fn decode(kind: u8, content: Vec<u8>) -> Result<Word, WordError> {
        match (kind, content.as_slice()) {
            (1, []) => Ok(Word::Prepared),
            (2, [registered @ (0 | 1)]) => Ok(Word::Go {
                registered: *registered == 1,
            }),
            (3, []) => Ok(Word::Ready),
            (4, _) => match String::from_utf8(content) {
                Ok(why) => Ok(Word::Failed(why)),
                Err(_) => Err(WordError::Content {
                    kind,
                    why: "it is no text",
                }),
            },
            (5, _) => Ok(Word::Order(content)),
            (6, []) => Ok(Word::Yours),
            (7, []) => Ok(Word::Serving),
            (1 | 2 | 3 | 6 | 7, _) => Err(WordError::Content {
                kind,
                why: "it says more than it can",
            }),
            _ => Err(WordError::Unknown(kind)),
        }
    }
}

pub async fn say(line: &mut (impl AsyncWrite + Unpin), word: &Word) -> Result<(), WordError> {
    Ok(line.write_all(&word.encode()).await?)
}

/// The next word. Not cancel safe.
pub async fn hear(line: &mut (impl AsyncRead + Unpin)) -> Result<Word, WordError> {
    let ended = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => WordError::Closed,
        _ => WordError::Io(error),
    };
    let kind = line.read_u8().await.map_err(ended)?;
    let length = line.read_u32_le().await.map_err(ended)?;
    if length > LONGEST {
        return Err(WordError::Length { kind, length });
    }
    let mut content = Vec::new();
    let mut announced = line.take(u64::from(length));
    // Not as much memory as was announced, but as has come.
    let read = announced.read_to_end(&mut content).await.map_err(ended)?;
    if read < length as usize {
        return Err(WordError::Closed);
    }
    Word::decode(kind, content)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word() -> impl Strategy<Value = Word> {
        prop_oneof![
            Just(Word::Prepared),
            any::<bool>().prop_map(|registered| Word::Go { registered }),
            Just(Word::Ready),
            ".{0,80}".prop_map(Word::Failed),
            prop::collection::vec(any::<u8>(), 0..80).prop_map(Word::Order),
            Just(Word::Yours),
            Just(Word::Serving),
        ]
    }

    fn heard(bytes: &[u8]) -> (Vec<Word>, WordError) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let (mut rest, mut words) = (bytes, Vec::new());
            loop {
                match hear(&mut rest).await {
                    Ok(word) => words.push(word),
                    Err(error) => return (words, error),
                }
            }
        })
    }

    proptest! {
        #[test]
        fn words_come_as_they_were_said(words in prop::collection::vec(word(), 0..5)) {
            let bytes: Vec<u8> = words.iter().flat_map(Word::encode).collect();
            let (came, end) = heard(&bytes);
            prop_assert_eq!(came, words);
            prop_assert!(matches!(end, WordError::Closed));
        }

        #[test]
        fn whatever_comes_is_a_word_or_an_error(
            bytes in prop::collection::vec(prop_oneof![0_u8..9, any::<u8>()], 0..40)
        ) {
            heard(&bytes);
        }
    }

    #[test]
    fn a_word_of_another_version_is_told_apart() {
        let (_, end) = heard(&[9, 0, 0, 0, 0]);
        assert!(end.to_string().contains("another version"), "{end}");
        let (_, end) = heard(&[5, 255, 255, 255, 255]);
        assert!(matches!(end, WordError::Length { .. }), "{end}");
        let (_, end) = heard(&[5, 4, 0, 0, 0, 1, 2]);
        assert!(matches!(end, WordError::Closed), "{end}");
    }
}
