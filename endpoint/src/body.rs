//! Bodies of requests: of bounded size each and together, and in bounded time.
//!
//! What has been read is charged against one room for this process for as long as it is held, its
//! decoding included. Who finds no room is refused at once, since waiting with half a body in hand
//! would keep others waiting, too. The first bytes of each body are free, so that calls of ordinary
//! size get through while large bodies fill the room; connections bound those.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// More than any call, form or app needs.
pub const MAX_BODY_BYTES: usize = 8 << 20;

/// Of all bodies of this process, beyond [`FREE`] of each.
const ROOM_BYTES: usize = 256 << 20;

static ROOM: Semaphore = Semaphore::const_new(ROOM_BYTES);

/// Bytes of each body that are not charged.
const FREE: usize = 16 << 10;

/// For a small body, and for the first byte of a large one.
const GRACE: Duration = Duration::from_secs(15);

/// Bytes per second, beyond the grace: 8 MiB may take 47 s.
const SLOWEST: u32 = 256 << 10;

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than {0} bytes, which is all that is taken")]
    TooLarge(usize),
    #[error("the body is too slow: {received} bytes arrived within {waited:?}")]
    Slow { received: usize, waited: Duration },
    #[error("too many large bodies are being read: try again a little later")]
    Busy,
    #[error("the body broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl BodyError {
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads a body of at most `limit` bytes, usually [`MAX_BODY_BYTES`]. The room that it takes is
/// free again once the bytes are dropped.
pub async fn bounded_body(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    read(body, limit, GRACE, &ROOM).await
}

/// Bytes, and their place in the room.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    charged: Option<SemaphorePermit<'static>>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Held {
    fn push(&mut self, part: &[u8], room: &'static Semaphore) -> Result<(), BodyError> {
        let chargeable = |length: usize| length.saturating_sub(FREE);
        let length = self.bytes.len();
        let more = chargeable(length + part.len()) - chargeable(length);
        if more > 0 {
            let more = u32::try_from(more).ok();
            let permit = more.and_then(|more| room.try_acquire_many(more).ok());
            let permit = permit.ok_or(BodyError::Busy)?;
            match &mut self.charged {
                Some(charged) => charged.merge(permit),
                None => self.charged = Some(permit),
            }
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }
}

async fn read(
    mut body: Body,
    limit: usize,
    grace: Duration,
    room: &'static Semaphore,
) -> Result<Bytes, BodyError> {
    let announced = usize::try_from(body.size_hint().lower());
    if announced.map_or(true, |announced| announced > limit) {
        return Err(BodyError::TooLarge(limit));
    }
    let begun = Instant::now();
    let mut held = Held::default();
    loop {
        let received = held.bytes.len();
        let earned = Duration::from_secs_f64(received as f64 / f64::from(SLOWEST));
        let waited = grace + earned;
        let frame = timeout_at(begun + waited, body.frame()).await;
        let Some(frame) = frame.map_err(|_elapsed| BodyError::Slow { received, waited })? else {
            return Ok(Bytes::from_owner(held));
        };
        let frame = frame.map_err(|error| BodyError::Broken(error.into()))?;
        // Trailers say nothing to us.
        let Ok(part) = frame.into_data() else {
            continue;
        };
        if part.len() > limit - received {
            return Err(BodyError::TooLarge(limit));
        }
        held.push(&part, room)?;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use futures_util::stream;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    fn room(bytes: usize) -> &'static Semaphore {
        Box::leak(Box::new(Semaphore::new(bytes)))
    }

    fn parts(count: usize, bytes: usize, pause: Duration) -> Body {
        let parts = stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; bytes]))
        });
        Body::from_stream(parts)
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let body = bounded_body(Body::from("12345"), 5).await;
        assert_eq!(body.unwrap(), "12345");
        for body in [Body::from("123456"), parts(6, 1, Duration::ZERO)] {
            let error = bounded_body(body, 5).await.unwrap_err();
            assert_eq!(error.status(), StatusCode::PAYLOAD_TOO_LARGE);
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        let body = Body::from_stream(never);
        let error = read(body, 5, SHORT, room(0)).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn a_body_in_drops_earns_no_time() {
        let body = parts(1000, 1, SHORT / 5);
        let error = read(body, 1000, SHORT, room(0)).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn a_large_body_may_take_longer_than_a_small_one() {
        let bytes = 256 << 10;
        let body = parts(3, bytes, SHORT / 2);
        let body = read(body, 3 * bytes, SHORT, room(3 * bytes)).await;
        assert_eq!(body.unwrap().len(), 3 * bytes);
    }

    #[tokio::test]
    async fn bodies_that_are_held_leave_no_room_for_more_until_they_are_dropped() {
        let room = room(1000);
        let large = || Body::from(vec![b'x'; FREE + 600]);
        let held = read(large(), 1 << 20, GRACE, room).await.unwrap();
        let error = read(large(), 1 << 20, GRACE, room).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(read(Body::from("call"), 5, GRACE, room).await.is_ok());
        drop(held);
        assert_eq!(room.available_permits(), 1000);
        assert!(read(large(), 1 << 20, GRACE, room).await.is_ok());
    }
}
