//! Bodies that are streams of RecordIO records.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::oneshot;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::backlog::Records;
use crate::driver::{End, Owner};

/// Held by whoever serves a connection; when it is dropped, the end is noted. It exists before the
/// stream does, so that no stream can be opened whose end nobody hears of.
pub struct Guard(#[expect(dead_code, reason = "its drop is the message")] oneshot::Sender<()>);

impl Guard {
    pub fn new(owner: &Owner, end: End) -> Self {
        let (open, closed) = oneshot::channel();
        let owner = owner.clone();
        tokio::spawn(async move {
            // Nothing is ever sent, so this is the drop of the sender.
            let _ = closed.await;
            owner.note(end).await;
        });
        Self(open)
    }
}

/// One record per HTTP chunk, and one chunk per write: some clients take what one read returns for
/// one record.
pub struct Body {
    records: Records,
    heartbeat: Option<(Interval, Bytes)>,
    /// The last poll gave a record: let the connection flush it before the next.
    flush: bool,
    _guard: Guard,
}

impl Body {
    pub fn new(records: Records, guard: Guard) -> Self {
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

impl Stream for Body {
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
