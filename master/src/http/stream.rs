//! Who hears of the end of a stream.

use tokio::sync::oneshot;

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
