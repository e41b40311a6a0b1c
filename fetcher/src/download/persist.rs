//! Downloads that go on where they broke off.

use std::time::Duration;

use super::{Came, DownloadError, Sink};
use crate::log::Log;

/// In a row without a byte that was not there before.
const ATTEMPTS: u32 = 4;
/// All of one download: a server may break off again and again.
const MOST_ATTEMPTS: u32 = 100;

/// How long a download bears with a server.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Each wait for bytes.
    pub stall: Duration,
    /// Before the second attempt; twice as long before each after it.
    pub pause: Duration,
}

impl Patience {
    /// Attempts until one succeeds, or nothing is to be hoped for any more.
    pub async fn persist(
        self,
        log: &Log,
        into: &mut Sink,
        mut attempt: impl AsyncFnMut(&mut Sink) -> Result<Came, DownloadError>,
    ) -> Result<Came, DownloadError> {
        let (mut fruitless, mut furthest, mut attempts) = (0, 0, 0);
        loop {
            attempts += 1;
            let error = match attempt(into).await {
                Ok(came) => return Ok(came),
                Err(error) => error,
            };
            fruitless = if into.length() > furthest {
                1
            } else {
                fruitless + 1
            };
            furthest = furthest.max(into.length());
            if !error.passes() || fruitless == ATTEMPTS || attempts == MOST_ATTEMPTS {
                return Err(error);
            }
            let why = crate::chain(&error);
            log.line(&format!("Trying again after {furthest} bytes: {why}"));
            tokio::time::sleep(self.pause * 2_u32.pow(fruitless - 1)).await;
        }
    }
}
