//! Network namespaces made ahead of their containers: making one takes the kernel long, and at times much
//! longer, joining one next to nothing. And for each the file system that shows it: to make
//! one the kernel compares it with all that there are, so that takes longer with each container.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};

use crate::sys;

/// Ready ones at one time. More would only help launches that come faster than they can be made.
const READY: usize = 3;
/// Who has just taken one is about to launch a container: the next is not made at the same time, on the
/// same processor.
const LATER: Duration = Duration::from_millis(5);
/// After a failure, which may be one of the moment: too many open files.
const PAUSE: Duration = Duration::from_secs(10);
/// Failures in a row, after which it is taken to be in vain.
const TRIES: u32 = 100;
const STACK: usize = 64 * 1024;

#[derive(Debug)]
pub struct Network {
    /// Nobody is in it, and its loopback interface is up.
    pub namespace: OwnedFd,
    /// A detached mount of a sysfs that shows it.
    pub sysfs: OwnedFd,
}

impl Network {
    /// In the order that `Attached::network` wants.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.namespace.as_fd(), self.sysfs.as_fd()]
    }
}

/// Begins to make them when the first is asked for: many agents never need one.
#[derive(Debug, Default)]
pub struct Networks(OnceLock<Option<Mutex<Receiver<Network>>>>);

impl Networks {
    /// `None` when none is ready: it is to be made with the container then.
    pub fn take(&self) -> Option<Network> {
        let ready = self.0.get_or_init(begin).as_ref()?;
        // No panic leaves a receiver half changed.
        let ready = ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.try_recv().ok()
    }
}

/// A thread that makes them, until nobody can ask any more. It lives in the last that it has made.
fn begin() -> Option<Mutex<Receiver<Network>>> {
    let (sender, receiver) = sync_channel(READY - 1);
    let work = move || {
        let mut failed = 0;
        while failed < TRIES {
            thread::sleep(LATER);
            match make().map(|network| sender.send(network)) {
                Ok(Ok(())) => failed = 0,
                Ok(Err(_nobody_asks)) => return,
                Err(error) => {
                    tracing::debug!(%error, "no network namespace is made ahead");
                    failed += 1;
                    thread::sleep(PAUSE);
                }
            }
        }
    };
    let thread = thread::Builder::new()
        .name("networks".to_owned())
        .stack_size(STACK)
        .spawn(work);
    thread.is_ok().then(|| Mutex::new(receiver))
}

fn make() -> io::Result<Network> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    sys::loopback_up()?;
    Ok(Network {
        namespace: File::open("/proc/thread-self/ns/net")?.into(),
        sysfs: sys::detached_mount(c"sysfs")?,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd as _;
    use std::path::PathBuf;
    use std::time::Instant;

    use super::*;

    fn name(file: &str) -> PathBuf {
        fs::read_link(file).expect("a namespace")
    }

    fn taken(networks: &Networks) -> Network {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match networks.take() {
                Some(network) => return network,
                None if Instant::now() > deadline => panic!("none is made"),
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    #[test]
    fn root_each_is_taken_once_and_we_stay_in_ours() {
        let ours = name("/proc/self/ns/net");
        let networks = Networks::default();
        let seen: Vec<_> = (0..READY * 2)
            .map(|_| {
                let network = taken(&networks);
                let name = name(&format!("/proc/self/fd/{}", network.namespace.as_raw_fd()));
                // Kept, so that its number cannot be given to another.
                (name, network)
            })
            .collect();
        for (at, (name, _)) in seen.iter().enumerate() {
            assert!(*name != ours && seen[..at].iter().all(|(other, _)| other != name));
        }
        assert_eq!(name("/proc/self/ns/net"), ours);
    }
}
