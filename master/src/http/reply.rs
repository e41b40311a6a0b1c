//! Answers.

use axum::body::Body;
use axum::http::header::ALLOW;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::cluster::Refusal;
use crate::driver::Stopped;

pub const STREAM_ID: HeaderName = HeaderName::from_static("mesos-stream-id");
pub const LINK_ID: HeaderName = HeaderName::from_static(proto::link::LINK_ID);
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

pub fn only(methods: &'static str) -> Early {
    let why = format!("use {methods} here");
    let answer = (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, methods)], why);
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

pub async fn body(body: Body, limit: usize) -> Result<bytes::Bytes, Early> {
    let read = endpoint::bounded_body(body, limit).await;
    read.map_err(|error| refuse(error.status(), proto::error::chain(&error)))
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
