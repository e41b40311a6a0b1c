//! Who is launched when many are to be.

use std::future::Future;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::sleep;

/// Launches at one time. What each takes of memory while it goes on is several times what is kept of its task,
/// so of a thousand tasks that come at once most wait before that.
#[derive(Debug)]
pub struct Turns {
    free: Semaphore,
    /// Launches that have had theirs.
    begun: AtomicU64,
    /// Of them, those of bursts that are over.
    past: AtomicU64,
    another: Notify,
}

impl Turns {
    /// Launches that leave behind what is worth to be given back.
    const BURST: u64 = 64;
    /// Without one the burst is over.
    const CALM: Duration = Duration::from_secs(1);
    /// How long others wait for a launch: it may itself wait for a slow file system.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// Enough for the containerizer never to wait for one.
    pub fn new() -> Turns {
        let processors = std::thread::available_parallelism().map_or(2, NonZero::get);
        Turns::of(processors * 4)
    }

    fn of(at_one_time: usize) -> Turns {
        Turns {
            free: Semaphore::new(at_one_time),
            begun: AtomicU64::new(0),
            past: AtomicU64::new(0),
            another: Notify::new(),
        }
    }

    pub async fn take(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        let turn = self.free.acquire().await.ok();
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.another.notify_one();
        turn
    }

    /// Waits for many launches, and for a while without one after them. For one who waits; cancel safe.
    pub async fn burst_over(&self) {
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            if begun - self.past.load(Ordering::Relaxed) < Self::BURST {
                self.another.notified().await;
                continue;
            }
            sleep(Self::CALM).await;
            if self.begun.load(Ordering::Relaxed) == begun {
                self.past.store(begun, Ordering::Relaxed);
                return;
            }
        }
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
        let turns = Turns::of(1);
        let first = turns.take().await;
        let stuck = Turns::within(first, std::future::pending::<()>());
        tokio::select! {
            () = stuck => {}
            second = turns.take() => assert!(second.is_some()),
        }
        let third = turns.take().await;
        assert_eq!(Turns::within(third, std::future::ready(7)).await, 7);
    }

    #[tokio::test]
    async fn a_burst_is_over_once_and_a_launch_now_and_then_is_none() {
        let turns = Turns::of(4);
        let is_there_none = async || {
            let shortly = Duration::from_millis(20);
            tokio::time::timeout(shortly, turns.burst_over())
                .await
                .is_err()
        };
        assert!(is_there_none().await);
        for _ in 0..Turns::BURST {
            assert!(turns.take().await.is_some());
        }
        turns.burst_over().await;
        assert!(turns.take().await.is_some());
        assert!(is_there_none().await);
    }
}
