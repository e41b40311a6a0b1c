//! The first process of a container, by its descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::unix::AsyncFd;

use crate::sys::{self, Spawned};
use crate::termination::ExitStatus;

/// The first process of a container; its descriptor stays good when its number is given away.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pidfd: AsyncFd<OwnedFd>,
}

impl Process {
    /// On error the process is killed and reaped.
    pub(crate) fn adopt(spawned: Spawned) -> io::Result<Self> {
        Self::of(spawned).map_err(|(pidfd, error)| {
            end(&pidfd);
            error
        })
    }

    pub(crate) fn of(Spawned { pid, pidfd }: Spawned) -> Result<Self, (OwnedFd, io::Error)> {
        let pidfd = sys::readable(pidfd)?;
        Ok(Self { pid, pidfd })
    }

    /// `None` where the kernel does not give it out, or it has ended.
    pub(crate) fn mounts(&self) -> Option<OwnedFd> {
        sys::mount_namespace(self.pidfd.get_ref().as_fd()).ok()
    }

    /// Not an error once it has ended.
    pub(crate) fn signal(&self, signal: i32) {
        match sys::pidfd_send_signal(self.pidfd.get_ref(), signal) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                tracing::warn!(pid = self.pid, signal, %error, "cannot signal a container");
            }
            _ => {}
        }
    }

    /// Until it is reaped.
    pub(crate) fn is_there(&self) -> bool {
        sys::pidfd_send_signal(self.pidfd.get_ref(), 0).is_ok()
    }

    /// Waits for its end and reaps it; `None` when somebody else has. Cancel safe.
    pub(crate) async fn wait(&self) -> Option<ExitStatus> {
        self.ended().await;
        sys::reap(self.pidfd.get_ref()).map(ExitStatus::from_waitid)
    }

    /// Kills it, with its pid namespace, and reaps it; waits for that.
    pub(crate) fn end(self) {
        end(self.pidfd.get_ref());
    }

    pub(crate) async fn ended(&self) {
        // Waiting fails only when the runtime shuts down, and this task with it.
        if self.pidfd.readable().await.is_err() {
            std::future::pending().await
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.get_ref().as_fd()
    }
}

fn end(pidfd: &OwnedFd) {
    // It can only be gone already.
    let _ = sys::pidfd_send_signal(pidfd, libc::SIGKILL);
    sys::wait(pidfd);
}
