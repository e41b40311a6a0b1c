//! Bodies of requests: of bounded size, and in bounded time.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

/// More than any call, form or app needs.
pub const MAX_BODY_BYTES: usize = 8 << 20;

/// For all of a body. At this pace even a modem sends a call.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than {0} bytes, which is all that is taken")]
    TooLarge(usize),
    #[error("the body did not arrive within {0:?}")]
    Slow(Duration),
    #[error("the body broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl BodyError {
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads a body of at most `limit` bytes, usually [`MAX_BODY_BYTES`].
pub async fn bounded_body(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    read(body, limit, TIMEOUT).await
}

async fn read(body: Body, limit: usize, timeout: Duration) -> Result<Bytes, BodyError> {
    let read = tokio::time::timeout(timeout, Limited::new(body, limit).collect()).await;
    match read.map_err(|_elapsed| BodyError::Slow(timeout))? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge(limit)),
        Err(error) => Err(BodyError::Broken(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let body = bounded_body(Body::from("12345"), 5).await;
        assert_eq!(body.unwrap(), "12345");
        let error = bounded_body(Body::from("123456"), 5).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let body = Body::from_stream(never);
        let error = read(body, 5, Duration::from_millis(10)).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::REQUEST_TIMEOUT);
    }
}
