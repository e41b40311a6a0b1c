//! Who is launched when many are to be.

use std::future::Future;
use std::num::NonZero;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;

/// Launches at one time. What each takes of memory while it goes on is several times what is kept of its task,
/// so of a thousand tasks that come at once most wait before that.
#[derive(Debug)]
pub struct Turns(Semaphore);

impl Turns {
    /// How long others wait for a launch: it may itself wait for a slow file system.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// Enough for the containerizer never to wait for one.
    pub fn new() -> Turns {
        let processors = std::thread::available_parallelism().map_or(2, NonZero::get);
        Turns(Semaphore::new(processors * 4))
    }

    pub async fn take(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        self.0.acquire().await.ok()
    }

    /// Does `work`, and lets others have the turn when that takes long.
    pub async fn within<T>(
        turn: Option<SemaphorePermit<'_>>,
        work: impl Future<Output = T> + Unpin,
    ) -> T {
        let mut work = work;
        tokio::select! {
            done = &mut work => return done,
            () = sleep(Self::PATIENCE) => drop(turn),
        }
        work.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_launch_that_takes_long_gives_its_turn_to_another() {
        let turns = Turns(Semaphore::new(1));
        let first = turns.take().await;
        let stuck = Turns::within(first, std::future::pending::<()>());
        tokio::select! {
            () = stuck => {}
            second = turns.take() => assert!(second.is_some()),
        }
        let third = turns.take().await;
        assert_eq!(Turns::within(third, std::future::ready(7)).await, 7);
    }
}
