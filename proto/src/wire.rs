//! Reading the binary form.
//!
//! prost takes a message whose required fields are missing and fills in defaults; the libraries that
//! the clients of Mesos use refuse it. So does [`decode`], as `json` does for the other form.

use bytes::Buf as _;
use prost::DecodeError;
use prost::encoding::{self, DecodeContext, WireType};
use prost_reflect::{Kind, MessageDescriptor};

use crate::json::{MAX_DEPTH, descriptor};
use crate::path::Path;

/// Why bytes are not the message they should be.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("{path}: required field is missing")]
    Missing { path: String },
    #[error("messages are nested more than {max} levels deep")]
    TooDeep { max: usize },
    #[error("this is not a protobuf message of type {message}")]
    Malformed {
        message: String,
        source: DecodeError,
    },
}

/// Reads a message that has all of its required fields and is nested at most
/// [`MAX_DEPTH`] levels deep.
///
/// A message field may come in several pieces that are merged; each piece must be whole here.
pub fn decode<M>(bytes: &[u8]) -> Result<M, WireError>
where
    M: prost::Message + prost::Name + Default,
{
    let malformed = |source| WireError::Malformed {
        message: M::full_name(),
        source,
    };
    check(&descriptor::<M>(), bytes, 1).map_err(|fault| match fault {
        Fault::Missing(path) => WireError::Missing {
            path: path.to_string(),
        },
        Fault::TooDeep => WireError::TooDeep { max: MAX_DEPTH },
        Fault::Malformed(source) => malformed(source),
    })?;
    M::decode(bytes).map_err(malformed)
}

enum Fault {
    Missing(Path),
    TooDeep,
    Malformed(DecodeError),
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

fn check(message: &MessageDescriptor, mut bytes: &[u8], depth: usize) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::TooDeep);
    }
    let mut present = Vec::new();
    while bytes.has_remaining() {
        let (number, wire_type) = encoding::decode_key(&mut bytes)?;
        present.push(number);
        let kind = message.get_field(number).map(|field| (field.kind(), field));
        match (wire_type, kind) {
            (WireType::LengthDelimited, Some((Kind::Message(inner), field))) => {
                let length = encoding::decode_varint(&mut bytes)?;
                let length = usize::try_from(length).ok().filter(|&n| n <= bytes.len());
                // The real decoder words the error.
                let Some(length) = length else { return Ok(()) };
                let (body, rest) = bytes.split_at(length);
                bytes = rest;
                check(&inner, body, depth + 1).map_err(|fault| match fault {
                    Fault::Missing(mut path) => {
                        path.enter_field(field.name());
                        Fault::Missing(path)
                    }
                    other => other,
                })?;
            }
            _ => encoding::skip_field(wire_type, number, &mut bytes, DecodeContext::default())?,
        }
    }
    let missing = message
        .fields()
        .find(|f| f.is_required() && !present.contains(&f.number()));
    match missing {
        Some(field) => {
            let mut path = Path::default();
            path.enter_field(field.name());
            Err(Fault::Missing(path))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::v1;

    #[test]
    fn a_whole_message_is_read() {
        let resource = v1::Resource {
            name: "cpus".to_owned(),
            scalar: Some(v1::value::Scalar { value: 1.0 }),
            ..v1::Resource::default()
        };
        assert_eq!(
            decode::<v1::Resource>(&resource.encode_to_vec()).unwrap(),
            resource
        );
    }

    #[test]
    fn a_missing_required_field_is_named() {
        // Field 3 (`parent` would be 2) of an address is required; 18 0 is an empty field 2.
        let error = decode::<v1::Url>(&[10, 0, 18, 0]).unwrap_err();
        assert_eq!(error.to_string(), "address.port: required field is missing");
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels: usize| {
            let mut id = v1::ContainerId {
                value: "c".to_owned(),
                parent: None,
            };
            for _ in 1..levels {
                id = v1::ContainerId {
                    value: "c".to_owned(),
                    parent: Some(Box::new(id)),
                };
            }
            id.encode_to_vec()
        };
        assert!(decode::<v1::ContainerId>(&nested(MAX_DEPTH)).is_ok());
        let error = decode::<v1::ContainerId>(&nested(MAX_DEPTH + 1)).unwrap_err();
        assert!(matches!(error, WireError::TooDeep { .. }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode::<v1::TaskInfo>(&bytes);
            let _ = decode::<v1::scheduler::Call>(&bytes);
        }
    }
}
