//! What the reader of a stream has yet to take.
//!
//! ```text
//!             writer dropped              all taken
//! Open ─────────────────────────► Ended ────────────► (end of the stream)
//!   ├──too far behind──► Closed: what was queued is let go at once, read or not
//!   └──reader dropped──► Closed
//! ```
//! The bound is in bytes, since one record may be as large as a call. It does not rest on the reader
//! ever asking again: one that takes a byte now and then would otherwise keep its backlog for good.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// A framework that names all of its tasks in one RECONCILE gets this many bytes of answers, about, and that
/// is the most that anybody asks for at once.
const MAX_BYTES: usize = 64 << 20;

/// What a record takes beside its bytes, so that many small ones count as well.
const RECORD_BYTES: usize = 64;

#[derive(Debug)]
enum Queue {
    Open {
        records: VecDeque<Bytes>,
        bytes: usize,
        reader: Option<Waker>,
    },
    Ended(VecDeque<Bytes>),
    Closed,
}

#[derive(Debug)]
struct Shared(Mutex<Queue>);

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Every change is one assignment or one push: a panic elsewhere leaves the queue whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `next` in place, and wakes the reader that waits on an open queue.
    fn change(&self, next: impl FnOnce(VecDeque<Bytes>) -> Queue) {
        let mut queue = self.queue();
        if let Queue::Open {
            records, reader, ..
        } = &mut *queue
        {
            let (records, reader) = (std::mem::take(records), reader.take());
            *queue = next(records);
            drop(queue);
            reader.into_iter().for_each(Waker::wake);
        }
    }
}

/// The reader left so much unread that its stream was closed.
#[derive(Debug, PartialEq, Eq)]
pub struct TooFarBehind;

/// The end of the stream that whoever writes it holds.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    limit: usize,
}

/// The end that is served to a client.
#[derive(Debug)]
pub struct Records(Arc<Shared>);

pub fn backlog() -> (Writer, Records) {
    bounded(MAX_BYTES)
}

fn bounded(limit: usize) -> (Writer, Records) {
    let shared = Arc::new(Shared(Mutex::new(Queue::Open {
        records: VecDeque::new(),
        bytes: 0,
        reader: None,
    })));
    let records = Records(Arc::clone(&shared));
    (Writer { shared, limit }, records)
}

impl Writer {
    /// Never waits. A reader that is gone is no error: its end is noted by whoever served it.
    pub fn push(&self, record: Bytes) -> Result<(), TooFarBehind> {
        let cost = record.len().saturating_add(RECORD_BYTES);
        let mut queue = self.shared.queue();
        let Queue::Open {
            records,
            bytes,
            reader,
        } = &mut *queue
        else {
            return Ok(());
        };
        let after = bytes.saturating_add(cost);
        if after > self.limit {
            drop(queue);
            self.shared.change(|_unread| Queue::Closed);
            return Err(TooFarBehind);
        }
        records.push_back(record);
        *bytes = after;
        let reader = reader.take();
        drop(queue);
        reader.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.change(Queue::Ended);
    }
}

impl Records {
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match &mut *self.0.queue() {
            Queue::Open {
                records,
                bytes,
                reader,
            } => match records.pop_front() {
                Some(record) => {
                    *bytes = bytes.saturating_sub(record.len() + RECORD_BYTES);
                    Poll::Ready(Some(record))
                }
                None => {
                    *reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            },
            Queue::Ended(records) => Poll::Ready(records.pop_front()),
            Queue::Closed => Poll::Ready(None),
        }
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        *self.0.queue() = Queue::Closed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(records: &mut Records) -> Poll<Option<Bytes>> {
        records.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    const LIMIT: usize = 2 * (10 + RECORD_BYTES);
    const RECORD: Bytes = Bytes::from_static(b"0123456789");

    #[test]
    fn records_come_in_order_and_the_rest_after_the_writer_is_gone() {
        let (writer, mut records) = bounded(LIMIT);
        assert_eq!(poll(&mut records), Poll::Pending);
        writer.push(Bytes::from_static(b"1")).unwrap();
        writer.push(Bytes::from_static(b"2")).unwrap();
        assert_eq!(poll(&mut records), Poll::Ready(Some("1".into())));
        drop(writer);
        assert_eq!(poll(&mut records), Poll::Ready(Some("2".into())));
        assert_eq!(poll(&mut records), Poll::Ready(None));
    }

    #[test]
    fn a_reader_that_keeps_up_is_never_cut_off() {
        let (writer, mut records) = bounded(LIMIT);
        for _ in 0..100 {
            writer.push(RECORD).unwrap();
            assert_eq!(poll(&mut records), Poll::Ready(Some(RECORD)));
        }
    }

    #[test]
    fn a_reader_too_far_behind_loses_its_stream_and_holds_nothing() {
        let (writer, mut records) = bounded(LIMIT);
        writer.push(RECORD).unwrap();
        writer.push(RECORD).unwrap();
        assert_eq!(writer.push(Bytes::new()), Err(TooFarBehind));
        assert!(matches!(*records.0.queue(), Queue::Closed));
        assert_eq!(poll(&mut records), Poll::Ready(None));
    }

    #[test]
    fn what_nobody_reads_any_more_is_not_kept() {
        let (writer, records) = bounded(LIMIT);
        drop(records);
        writer.push(RECORD).unwrap();
        assert!(matches!(*writer.shared.queue(), Queue::Closed));
    }
}
