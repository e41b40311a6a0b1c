//! The time that a launch has.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::LaunchError;

/// How long a launch may still take.
#[derive(Debug)]
pub(super) struct Clock {
    limit: Duration,
    deadline: Instant,
}

impl Clock {
    pub fn start(limit: Duration) -> Clock {
        Clock {
            limit,
            deadline: Instant::now() + limit,
        }
    }

    /// Errors: `TooSlow`, with the name of this stage.
    pub async fn bound<T>(
        &self,
        stage: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<T, LaunchError> {
        let limit = self.limit;
        let done = timeout_at(self.deadline, work).await;
        done.map_err(|_elapsed| LaunchError::TooSlow { limit, stage })
    }
}
