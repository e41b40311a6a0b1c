//! `GET /v2/events`: a stream of what happens.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use endpoint::RecordStream;
use serde_json::json;

use super::reply::{Content, Reply};
use super::{Api, Call, Wants};
use crate::app::Timestamp;

/// Proxies cut off what is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A comment, which no client takes for an event.
const COMMENT: &[u8] = b":\n\n";

impl Api {
    pub(super) fn events(&self, call: &Call) -> Reply {
        if call.method != Method::GET {
            return call.method_not_allowed("GET");
        }
        if call.wants != Wants::Events {
            let message = "events are a stream: ask with \"Accept: text/event-stream\"";
            let content = Content::Json(json!({"message": message}));
            return Reply::new(StatusCode::NOT_ACCEPTABLE, content);
        }
        let kinds = call.query.all("event_type").map(str::to_owned).collect();
        let (seat, records) = self.listeners.listen(kinds, Timestamp::now());
        let stream = RecordStream::new(records, seat);
        let stream = stream.with_heartbeat(KEEP_ALIVE, Bytes::from_static(COMMENT));
        Reply::new(StatusCode::OK, Content::Events(Body::from_stream(stream)))
    }
}
