//! Requests for files take turns, so that however many there are, and however slow the file system
//! is, threads are left for what tasks need.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Failure;

/// For one's turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets a few in at a time. Clones share the turns.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    pub fn new(turns: usize) -> Gate {
        Gate(Arc::new(Semaphore::new(turns)))
    }

    /// Runs what waits for files, where waiting is allowed. The turn lasts until `work` is over,
    /// even when nobody waits for its outcome any more.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = timeout(PATIENCE, Arc::clone(&self.0).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Failure::Crowded);
        };
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_that_nobody_waits_for_is_not_given_to_others_before_its_end() {
        let gate = Gate::new(1);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let slow = gate.run(move || {
            ended.recv().ok();
            Ok(())
        });
        assert!(timeout(Duration::from_millis(1), slow).await.is_err());
        let next = timeout(Duration::from_millis(50), gate.run(|| Ok(())));
        assert!(next.await.is_err());
        drop(end);
        gate.run(|| Ok(())).await.unwrap();
    }
}
