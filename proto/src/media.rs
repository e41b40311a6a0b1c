//! Which encoding a request has and which one its answer gets, from the headers alone.
//! Source: spec/mesos-agent.md section 6, spec/client-quirks.md.
//!
//! A message is JSON or protobuf. A stream is RecordIO around such messages; it is named either by
//! the encoding of its records (then the framing is implied by the call) or by
//! `application/recordio` with the encoding in `Message-Accept` and `Message-Content-Type`.

use crate::json::{self, JsonError};
use crate::wire::{self, WireError};

/// A media type that the v1 APIs know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaType {
    Json,
    Protobuf,
    RecordIo,
}

/// How one message is written: what is left of a [`MediaType`] inside of the framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    Json,
    Protobuf,
}

/// The answer to a call that opens a stream. The body is RecordIO in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamType {
    /// For the header `Content-Type`. Usually the encoding of the records, not RecordIO.
    pub content_type: MediaType,
    /// The encoding of each record.
    pub records: Encoding,
}

impl StreamType {
    /// The header `Message-Content-Type`, which only goes with `application/recordio`.
    #[must_use]
    pub fn message_content_type(&self) -> Option<&'static str> {
        (self.content_type == MediaType::RecordIo).then(|| MediaType::from(self.records).as_str())
    }
}

/// Why a request cannot be read or answered; [`MediaError::status`] says with which HTTP status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    #[error("header Content-Type is missing: expected one of {KNOWN}")]
    NoContentType,
    #[error("unsupported Content-Type {given:?}: expected one of {KNOWN}")]
    ContentType { given: String },
    #[error("a request of type application/recordio is only possible for a call that is a stream")]
    NotAStreamingRequest,
    #[error("cannot answer with Accept {given:?}: possible are {ENCODINGS}")]
    Accept { given: String },
    #[error("cannot answer with Accept {given:?}: this call does not answer with a stream")]
    NotAStreamingResponse { given: String },
    #[error("cannot answer with Message-Accept {given:?}: possible are {ENCODINGS}")]
    MessageAccept { given: String },
}

const KNOWN: &str = "application/json, application/x-protobuf, application/recordio";
const ENCODINGS: &str = "application/json, application/x-protobuf";

impl MediaError {
    /// The HTTP status of the refusal: 400, 406 or 415.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NoContentType => 400,
            Self::Accept { .. }
            | Self::NotAStreamingResponse { .. }
            | Self::MessageAccept { .. } => 406,
            Self::ContentType { .. } | Self::NotAStreamingRequest => 415,
        }
    }
}

fn request_type(content_type: Option<&str>) -> Result<MediaType, MediaError> {
    let given = content_type.ok_or(MediaError::NoContentType)?;
    MediaType::parse(given).ok_or_else(|| MediaError::ContentType {
        given: given.to_owned(),
    })
}

/// The encoding of a request that is one message, which all calls but ATTACH_CONTAINER_INPUT are.
pub fn request_encoding(content_type: Option<&str>) -> Result<Encoding, MediaError> {
    Encoding::of(request_type(content_type)?).ok_or(MediaError::NotAStreamingRequest)
}

/// The type of an answer that is one message: JSON or protobuf. A request without `Accept` is
/// answered in its own type (a stream of records in JSON).
pub fn response_type(accept: Option<&str>, request: MediaType) -> Result<MediaType, MediaError> {
    let Some(given) = accept else {
        return Ok(Encoding::of(request).unwrap_or(Encoding::Json).into());
    };
    let accepted = |media: MediaType| accepts(given, media.as_str());
    if accepted(MediaType::Json) {
        Ok(MediaType::Json)
    } else if accepted(MediaType::Protobuf) {
        Ok(MediaType::Protobuf)
    } else if accepted(MediaType::RecordIo) {
        Err(MediaError::NotAStreamingResponse {
            given: given.to_owned(),
        })
    } else {
        Err(MediaError::Accept {
            given: given.to_owned(),
        })
    }
}

/// The type of an answer that is a stream. `Message-Accept` only counts when the client accepts
/// nothing but `application/recordio`.
pub fn stream_type(
    accept: Option<&str>,
    message_accept: Option<&str>,
    request: MediaType,
) -> Result<StreamType, MediaError> {
    match response_type(accept, request) {
        Ok(content_type) => {
            let records = Encoding::of(content_type).unwrap_or(Encoding::Json);
            Ok(StreamType {
                content_type,
                records,
            })
        }
        Err(MediaError::NotAStreamingResponse { .. }) => {
            let records = response_type(message_accept, request)
                .ok()
                .and_then(Encoding::of);
            let given = || message_accept.unwrap_or_default().to_owned();
            let records = records.ok_or_else(|| MediaError::MessageAccept { given: given() })?;
            Ok(StreamType {
                content_type: MediaType::RecordIo,
                records,
            })
        }
        Err(error) => Err(error),
    }
}

/// Why a body is not the message it should be. Answer 400 with this text.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum DecodeError {
    Json(#[from] JsonError),
    Protobuf(#[from] WireError),
}

impl Encoding {
    /// `None` for RecordIO, which is a framing.
    #[must_use]
    pub fn of(media: MediaType) -> Option<Self> {
        match media {
            MediaType::Json => Some(Self::Json),
            MediaType::Protobuf => Some(Self::Protobuf),
            MediaType::RecordIo => None,
        }
    }

    /// Writes one message.
    #[must_use]
    pub fn encode<M: prost::Message + prost::Name>(self, message: &M) -> Vec<u8> {
        match self {
            Self::Json => json::to_string(message).into_bytes(),
            Self::Protobuf => message.encode_to_vec(),
        }
    }

    /// Reads one message.
    pub fn decode<M>(self, bytes: &[u8]) -> Result<M, DecodeError>
    where
        M: prost::Message + prost::Name + Default,
    {
        match self {
            Self::Json => Ok(json::from_slice(bytes)?),
            Self::Protobuf => Ok(wire::decode(bytes)?),
        }
    }
}

impl From<Encoding> for MediaType {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Json => Self::Json,
            Encoding::Protobuf => Self::Protobuf,
        }
    }
}

impl MediaType {
    const ALL: [Self; 3] = [Self::Json, Self::Protobuf, Self::RecordIo];

    /// As headers write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
            Self::RecordIo => "application/recordio",
        }
    }

    /// Reads the value of a `Content-Type`; parameters such as a charset change nothing.
    #[must_use]
    pub fn parse(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        Self::ALL
            .into_iter()
            .find(|media| essence.eq_ignore_ascii_case(media.as_str()))
    }
}

/// Whether a list of media ranges, as in `Accept`, covers the type `name` (such as `text/plain`).
/// Weights only matter when they are 0, which excludes: among what is accepted, the server chooses.
/// A range that names the type beats `text/*`, which beats `*/*`.
#[must_use]
pub fn accepts(accept: &str, name: &str) -> bool {
    let family = name.split('/').next().unwrap_or_default();
    let mut best: Option<(u8, bool)> = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let precision = match essence.split_once('/') {
            Some(("*", "*")) => 1,
            Some((kind, "*")) if kind.eq_ignore_ascii_case(family) => 2,
            Some(_) if essence.eq_ignore_ascii_case(name) => 3,
            _ => continue,
        };
        if best.is_none_or(|(known, _)| precision > known) {
            best = Some((precision, !parts.any(is_weight_of_zero)));
        }
    }
    best.is_some_and(|(_, accepted)| accepted)
}

fn is_weight_of_zero(parameter: &str) -> bool {
    let Some((name, weight)) = parameter.split_once('=') else {
        return false;
    };
    let weight = weight.trim().parse::<f32>();
    name.trim().eq_ignore_ascii_case("q") && weight.is_ok_and(|weight| weight <= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    const JSON: Option<&str> = Some("application/json");
    const PROTOBUF: Option<&str> = Some("application/x-protobuf");
    const RECORDIO: Option<&str> = Some("application/recordio");

    #[test]
    fn a_request_is_of_the_type_it_names() {
        assert_eq!(request_type(JSON), Ok(MediaType::Json));
        assert_eq!(
            request_type(Some("Application/JSON; charset=utf-8")),
            Ok(MediaType::Json)
        );
        assert_eq!(request_type(PROTOBUF), Ok(MediaType::Protobuf));
        assert_eq!(request_type(RECORDIO), Ok(MediaType::RecordIo));
    }

    #[test]
    fn each_refusal_has_its_status() {
        let request = |content_type| request_type(content_type).unwrap_err().status();
        assert_eq!(request(None), 400);
        assert_eq!(request(Some("text/plain")), 415);
        assert_eq!(request_encoding(RECORDIO).unwrap_err().status(), 415);
        let response = |accept| response_type(accept, MediaType::Json).unwrap_err().status();
        assert_eq!(response(Some("text/html")), 406);
        assert_eq!(response(RECORDIO), 406);
        let stream = stream_type(RECORDIO, Some("text/html"), MediaType::Json);
        assert_eq!(stream.unwrap_err().status(), 406);
    }

    #[test]
    fn a_request_without_accept_is_answered_in_its_own_type() {
        assert_eq!(response_type(None, MediaType::Json), Ok(MediaType::Json));
        assert_eq!(
            response_type(None, MediaType::Protobuf),
            Ok(MediaType::Protobuf)
        );
        assert_eq!(
            response_type(None, MediaType::RecordIo),
            Ok(MediaType::Json)
        );
    }

    #[test]
    fn json_is_preferred_among_what_is_accepted() {
        let response = |accept| response_type(Some(accept), MediaType::Protobuf);
        assert_eq!(
            response("application/x-protobuf, application/json"),
            Ok(MediaType::Json)
        );
        assert_eq!(response("*/*"), Ok(MediaType::Json));
        assert_eq!(
            response("text/html, application/*;q=0.1"),
            Ok(MediaType::Json)
        );
        assert_eq!(
            response("application/json;q=0, */*"),
            Ok(MediaType::Protobuf)
        );
        assert_eq!(response("application/x-protobuf"), Ok(MediaType::Protobuf));
    }

    #[test]
    fn a_weight_of_zero_excludes_and_a_name_beats_a_range() {
        let table = [
            ("text/plain", true),
            ("TEXT/*;q=0.5", true),
            ("*/*", true),
            ("*/*, text/plain; q=0", false),
            ("text/*;q=0.0, text/plain", true),
            ("*/*;q=0", false),
            ("text/html, application/*", false),
            ("text/plain;quality=0", true),
            ("", false),
        ];
        for (accept, expected) in table {
            assert_eq!(accepts(accept, "text/plain"), expected, "{accept}");
        }
    }

    #[test]
    fn a_stream_is_named_by_its_records_unless_recordio_is_asked_for() {
        let stream = |accept, message_accept| {
            stream_type(accept, message_accept, MediaType::Json).map(|stream| {
                (
                    stream.content_type.as_str(),
                    stream.records,
                    stream.message_content_type(),
                )
            })
        };
        assert_eq!(
            stream(JSON, None),
            Ok(("application/json", Encoding::Json, None))
        );
        assert_eq!(
            stream(RECORDIO, PROTOBUF),
            Ok(("application/recordio", Encoding::Protobuf, PROTOBUF))
        );
        assert_eq!(
            stream(RECORDIO, None),
            Ok(("application/recordio", Encoding::Json, JSON))
        );
    }

    #[test]
    fn both_encodings_carry_a_message_and_refuse_half_of_one() {
        let id = v1::AgentId {
            value: "a-S0".to_owned(),
        };
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            assert_eq!(
                encoding
                    .decode::<v1::AgentId>(&encoding.encode(&id))
                    .unwrap(),
                id
            );
        }
        for (encoding, half) in [(Encoding::Json, &b"{}"[..]), (Encoding::Protobuf, b"")] {
            let error = encoding.decode::<v1::AgentId>(half).unwrap_err();
            assert_eq!(error.to_string(), "value: required field is missing");
        }
    }
}
