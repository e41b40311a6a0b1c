//! From the task that launches to the caller: a container always has an owner, or is put away.

use std::sync::Arc;

use failpoint::{Point, reach};
use isolators::ContainerId;

use crate::Shared;
use crate::container::Container;
use crate::termination::Termination;

/// A container on its way to the caller. One that does not arrive is put away.
pub struct Unclaimed {
    container: Container,
    claimed: bool,
}

impl Unclaimed {
    pub fn new(container: Container) -> Self {
        Self {
            container,
            claimed: false,
        }
    }

    pub fn claim(mut self) -> Container {
        self.claimed = true;
        self.container.clone()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if self.claimed {
            return;
        }
        // Killed at once, should the runtime be about to end.
        self.container.kill();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let container = self.container.clone();
            runtime.spawn(async move { put_away_unheard(&container).await });
        }
    }
}

/// Says that a launch is under way, from before its record is there.
pub struct Underway {
    shared: Arc<Shared>,
    id: ContainerId,
    /// Another launch of the same id, which will be refused, must not take back the mark of the first.
    first: bool,
}

impl Underway {
    pub fn begin(shared: &Arc<Shared>, id: &ContainerId) -> Self {
        let first = shared.underway().insert(id.clone());
        Self {
            shared: shared.clone(),
            id: id.clone(),
            first,
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if self.first {
            self.shared.underway().remove(&self.id);
        }
    }
}

/// Ends a container that nobody will own.
pub async fn put_away(container: &Container) -> Termination {
    container.kill();
    reach(Point::GivenUp);
    let termination = container.wait().await;
    container.forget();
    termination
}

/// The same where nobody hears of it any more.
pub async fn put_away_unheard(container: &Container) {
    for left in put_away(container).await.leftovers {
        tracing::warn!(container = %container.id(), left, "a launch that was given up left something");
    }
}
