//! What the owner of a container waits for; what is not there never comes.

use std::future::pending;
use std::time::Instant;

use containerizer::Termination;

use super::launch::{Launching, Stage};
use crate::checks::{Checks, Finding};
use crate::container::Container;

pub async fn launched(launch: Option<&mut Launching>) -> Stage {
    match launch {
        Some(launch) => launch.stage().await,
        None => pending().await,
    }
}

pub async fn ended(container: Option<&Container>) -> Termination {
    match container {
        Some(container) => container.wait().await,
        None => pending().await,
    }
}

pub async fn found(checks: Option<&mut Checks>) -> Finding {
    match checks {
        Some(checks) => checks.found().await,
        None => pending().await,
    }
}

pub async fn woken(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

/// Whether another process may have the container: an end that this one has seen is told by it, and by no
/// other.
pub async fn can_leave(launch: Option<&Launching>, container: Option<&Container>) -> bool {
    match (launch, container) {
        (Some(_), _) => false,
        (None, Some(container)) => container.is_left().await,
        (None, None) => true,
    }
}
