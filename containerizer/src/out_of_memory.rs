//! Waiting for the kernel to kill for memory.

use std::os::fd::OwnedFd;
use std::time::Duration;

use isolators::cgroups::{Cgroup, OomWatch};
use tokio::io::unix::AsyncFd;

use crate::sys;

/// What is read is nothing that a container should have room for all its life.
fn drain(events: &AsyncFd<OwnedFd>) {
    let mut read = [0; 4096];
    while nix::unistd::read(events, &mut read).is_ok() {}
}

/// Returns when the kernel has killed a process of `cgroup` for memory; never, when that cannot be
/// watched: the end of the container then tells it.
pub(crate) async fn until_oom_kill(cgroup: &Cgroup, watch: Option<OomWatch>) {
    let (event, looks) = match watch {
        None => return std::future::pending().await,
        // The kill follows the event, in its own time; a cgroup at its limit may also recover.
        Some(OomWatch::BeforeKill(event)) => (event, 50),
        Some(OomWatch::AfterEvent(event)) => (event, 1),
    };
    let Ok(event) = sys::readable(event) else {
        return std::future::pending().await;
    };
    while let Ok(mut ready) = event.readable().await {
        // Emptied before looking, so that an event during the look is seen in the next round.
        drain(&event);
        ready.clear_ready();
        for look in 0..looks {
            if look > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            if cgroup.oom_kills() > 0 {
                return;
            }
        }
    }
    std::future::pending().await
}
