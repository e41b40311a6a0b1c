//! The stream on which an executor hears its agent.

use endpoint::{RecordStream, Writer, backlog};
use proto::media::Encoding;
use proto::recordio;
use proto::v1::executor::Event;
use tokio::sync::oneshot;

/// The agent's end. Dropping it ends the stream once all that was said is read.
#[derive(Debug)]
pub struct Connection {
    encoding: Encoding,
    writer: Writer,
    closed: oneshot::Receiver<()>,
}

/// What the executor reads; whoever serves it drops this when there is nobody to read.
pub type Stream = RecordStream<oneshot::Sender<()>>;

pub fn open(encoding: Encoding) -> (Connection, Stream) {
    let (writer, records) = backlog();
    let (guard, closed) = oneshot::channel();
    let connection = Connection {
        encoding,
        writer,
        closed,
    };
    (connection, RecordStream::new(records, guard))
}

impl Connection {
    /// Never waits. An executor that does not listen loses its stream, and subscribes again.
    pub fn say(&self, event: &Event) {
        let record = recordio::encode(&self.encoding.encode(event));
        if self.writer.push(record.into()).is_err() {
            tracing::warn!("an executor does not read what it is told: its stream is closed");
        }
    }

    /// Waits until the executor has gone, or its stream was closed. Cancel safe.
    pub async fn closed(&mut self) {
        // Nothing is ever sent, so this is the drop of the other end.
        let _ = (&mut self.closed).await;
    }
}
