//! Bodies that are streams of RecordIO records.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::Records;

/// One record per HTTP chunk, and one chunk per write: some clients take what one read returns for
/// one record.
#[derive(Debug)]
pub struct RecordStream<G> {
    records: Records,
    heartbeat: Option<(Interval, Bytes)>,
    /// The last poll gave a record: let the connection flush it before the next.
    flush: bool,
    _guard: G,
}

impl<G> RecordStream<G> {
    /// `guard` is dropped when nobody is served any more: when the stream has ended, or its reader has gone.
    pub fn new(records: Records, guard: G) -> Self {
        Self {
            records,
            heartbeat: None,
            flush: false,
            _guard: guard,
        }
    }

    /// Repeats `record` for as long as the stream is open.
    pub fn with_heartbeat(mut self, every: Duration, record: Bytes) -> Self {
        let mut interval = tokio::time::interval_at(Instant::now() + every, every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.heartbeat = Some((interval, record));
        self
    }
}

impl<G: Unpin> Stream for RecordStream<G> {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.flush) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Poll::Ready(record) = self.records.poll_next(cx) {
            self.flush = true;
            return Poll::Ready(record.map(Ok));
        }
        if let Some((interval, record)) = &mut self.heartbeat
            && interval.poll_tick(cx).is_ready()
        {
            let record = record.clone();
            self.flush = true;
            return Poll::Ready(Some(Ok(record)));
        }
        Poll::Pending
    }
}
