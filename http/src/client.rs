//! How our own parts call each other.

use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Well below the time after which [`crate::serve()`] closes idle connections: nothing is sent on a
/// connection that the other side is closing just then.
const IDLE: Duration = Duration::from_secs(10);

/// Finds a peer that vanished without a word, on a stream that is silent for long.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A client for the links inside the cluster: no proxy between, no redirects followed behind our
/// back, small messages sent at once. Set a timeout for each request; a stream has none.
pub fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .tcp_keepalive(KEEP_ALIVE)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(1)
}
