//! Work in the network of a process that is elsewhere: a socket that is made there stays there.

use std::io;
use std::os::fd::OwnedFd;
use std::thread;

use nix::sched::{CloneFlags, setns};
use tokio::sync::oneshot;

const STACK: usize = 64 * 1024;

/// Does `work` in the network namespace of the process behind `pidfd`. Errors: `ESRCH` when that has ended;
/// `EPERM` without CAP_SYS_ADMIN there. Linux 5.8, setns(2).
pub async fn network_of<T: Send + 'static>(
    pidfd: OwnedFd,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    // A thread of its own, which ends: one that others use later might not come back.
    let thread = thread::Builder::new().stack_size(STACK);
    thread.spawn(move || {
        let entered = setns(pidfd, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
        // Who asked may have gone.
        let _ = done.send(entered.and_then(|()| work()));
    })?;
    let panicked = |_no_result| Err(io::ErrorKind::Other.into());
    result.await.unwrap_or_else(panicked)
}
