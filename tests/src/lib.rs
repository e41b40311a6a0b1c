//! Whole programs, as an operator meets them: starts the real `longshore`, talks to it over HTTP,
//! and looks at the host.
//!
//! Invariant: no crate of the product is linked in, so nothing here can reach into internals. What
//! goes wrong panics with what was expected and what the programs logged.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test harness fails by panicking")]

pub mod apart;
pub mod apps;
pub mod audit;
pub mod cluster;
pub mod course;
pub mod docker;
pub mod framework;
pub mod host;
pub mod http;
pub mod image;
pub mod local;
pub mod percentiles;
pub mod person;
pub mod program;
pub mod secrets;
pub mod serve;
pub mod upgrade;

use std::future::Future;
use std::time::{Duration, Instant};

/// Longest wait for anything that takes a moment. Emulated machines are ten times slower than ours.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until there is an answer, and fails with the last refusal.
pub async fn eventually<T, F: Future<Output = Result<T, String>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(_) if Instant::now() < deadline => {}
            Err(refusal) => panic!("waited {PATIENCE:?} until {what}; last seen: {refusal}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
