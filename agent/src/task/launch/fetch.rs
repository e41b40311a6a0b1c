//! The part of a launch that waits for others' servers.

use std::fs::File;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at};

use super::{Clock, Host, LaunchError, ROOM, Stage};
use crate::fetching::{come, told};

/// Before anything is told of how far it has come: most are there before that.
const FIRST_WORD: Duration = Duration::from_secs(3);
/// Between two such words: each is written down, and acknowledged by the framework.
const WORDS: Duration = Duration::from_secs(10);

/// What came into the sandbox, if anything was to; `None` when nobody wants it any more.
pub async fn fetched(
    host: &Host,
    (request, disk_limit): (&fetcher::Request, Option<u64>),
    log: &File,
    clock: &Clock,
    listener: &mpsc::Sender<Stage>,
) -> Result<Option<Option<String>>, LaunchError> {
    if request.uris.is_empty() {
        return Ok(Some(None));
    }
    let log = log.try_clone().map_err(LaunchError::Log)?;
    // Here until the end: how far it has come is known as long as it is.
    let mut fetch = pin!(host.fetcher.fetch(request, disk_limit, log));
    let mut bounded = pin!(clock.bound("fetching its URIs", fetch.as_mut()));
    let so_far = || host.fetcher.progress(&request.sandbox).map(come);
    let mut words = interval_at(Instant::now() + FIRST_WORD, WORDS);
    let fetched = loop {
        tokio::select! {
            fetched = &mut bounded => break fetched,
            () = listener.closed() => return Ok(None),
            _ = words.tick() => {
                // Never in the way of what a launch has to say.
                if let (Some(come), ROOM) = (so_far(), listener.capacity()) {
                    let _gone_or_told = listener.try_send(Stage::Fetching(format!("fetching: {come}")));
                }
            }
        }
    };
    match fetched {
        Ok(fetched) => Ok(Some(Some(told(fetched?)))),
        Err(LaunchError::TooSlow { limit, .. }) => Err(LaunchError::FetchTooSlow {
            limit,
            uris: request.named(),
            come: so_far().unwrap_or_default(),
        }),
        Err(error) => Err(error),
    }
}
