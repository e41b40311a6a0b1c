//! Whether the command of a container that an earlier agent began has come to run: that agent cannot be asked,
//! and was the only one to hear of it.

use std::fs;
use std::time::Duration;

use crate::LaunchError;
use crate::audit::runs_init;
use crate::container::Container;
use crate::death::first_child;

/// Between looks at a container that makes its way.
const PAUSE: Duration = Duration::from_millis(5);

/// How a launch went that an earlier agent began.
#[derive(Debug)]
pub enum Begun {
    /// The command runs, or has run.
    Runs,
    /// It could not be started.
    Failed(LaunchError),
    /// The container has ended, and nothing tells that its command ever ran.
    Cut,
}

impl Container {
    /// Waits until that is known. Cancel safe.
    pub async fn begun(&self) -> Begun {
        loop {
            // The number is its own as long as it is there.
            if self.timings().is_some() || (command_runs(self.pid()) && self.is_there()) {
                return Begun::Runs;
            }
            tokio::select! {
                termination = self.wait() => return match (self.record().failure(), termination.status) {
                    (Some(report), _) => Begun::Failed(report.into()),
                    (None, Some(_)) => Begun::Runs,
                    (None, None) => Begun::Cut,
                },
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

/// A child of `init` is `init` itself until its exec. One that has ended is nothing any more.
fn command_runs(init: u32) -> bool {
    let is_another = |child| {
        let program = fs::read_link(format!("/proc/{child}/exe"));
        program.is_ok() && !runs_init(child)
    };
    first_child(init).is_some_and(is_another)
}
