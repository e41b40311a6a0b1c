//! Answers.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use crate::cluster::Refusal;
use crate::driver::Stopped;

/// Bodies of requests beyond this are refused unread.
pub const MAX_BODY_BYTES: usize = 8 << 20;

pub const STREAM_ID: HeaderName = HeaderName::from_static("mesos-stream-id");
pub const LINK_ID: HeaderName = HeaderName::from_static("longshore-link-id");
pub const MESSAGE_ACCEPT: HeaderName = HeaderName::from_static("message-accept");
pub const MESSAGE_CONTENT_TYPE: HeaderName = HeaderName::from_static("message-content-type");

/// An answer that ends the work on a request before its end. It is as large as any response, so it
/// travels in a box.
pub type Early = Box<Response>;

/// An answer, early or not.
pub type Answer = Result<Response, Early>;

pub fn refuse(status: StatusCode, why: impl Into<String>) -> Early {
    Box::new((status, why.into()).into_response())
}

pub fn bad_request(why: impl Into<String>) -> Early {
    refuse(StatusCode::BAD_REQUEST, why)
}

pub fn only(method: &'static str) -> Early {
    let why = format!("use {method} here");
    let answer = (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, method)], why);
    Box::new(answer.into_response())
}

pub fn stopped(stopped: Stopped) -> Early {
    refuse(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string())
}

pub fn refused(refusal: &Refusal) -> Early {
    let status = match refusal {
        Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
        Refusal::NotSubscribed => StatusCode::FORBIDDEN,
        Refusal::LinkGone => StatusCode::GONE,
        Refusal::UnknownType => StatusCode::NOT_IMPLEMENTED,
    };
    refuse(status, refusal.to_string())
}

/// JSON, wrapped in a call when the client asked for `jsonp`.
pub fn json(value: &Value, jsonp: Option<&str>) -> Answer {
    match jsonp {
        None => Ok(([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()),
        Some(name) if is_callback(name) => {
            let script = format!("{name}({value});");
            Ok(([(CONTENT_TYPE, "text/javascript")], script).into_response())
        }
        Some(name) => Err(bad_request(format!(
            "jsonp={name:?} is no name of a function: use letters, digits, _, $ and dots"
        ))),
    }
}

/// The name becomes part of a script, so nothing else may be in it.
fn is_callback(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.');
    !name.is_empty() && name.len() <= 256 && name.chars().all(allowed)
}

pub async fn body(body: Body) -> Result<bytes::Bytes, Early> {
    let read = axum::body::to_bytes(body, MAX_BODY_BYTES).await;
    read.map_err(|cause| {
        let why = format!("cannot read the body, which may have {MAX_BODY_BYTES} bytes: {cause}");
        refuse(StatusCode::PAYLOAD_TOO_LARGE, why)
    })
}

pub fn header(headers: &HeaderMap, name: impl axum::http::header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST)
}

/// A header whose value is a uuid.
pub fn id_header(id: uuid::Uuid) -> HeaderValue {
    let mut text = uuid::Uuid::encode_buffer();
    let text = id.hyphenated().encode_lower(&mut text);
    // Hexadecimal digits and dashes are always a valid value.
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_cannot_smuggle_in_a_script() {
        assert!(is_callback("jQuery_1.cb$2"));
        for bad in ["", "a;b", "a(b", "<script>", "a b"] {
            assert!(!is_callback(bad), "{bad:?}");
        }
    }
}
