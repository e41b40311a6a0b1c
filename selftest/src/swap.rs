//! Somebody who shares a volume with a container that is being started, and changes it meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

/// Exchanges two names of the host, over and over, until it is dropped.
pub struct Swapping {
    stop: Arc<AtomicBool>,
    swaps: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Swapping {
    pub fn begin(one: &Path, other: &Path) -> Self {
        let (stop, swaps) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (one, other) = (one.to_owned(), other.to_owned());
        let (told, count) = (stop.clone(), swaps.clone());
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                let exchange = RenameFlags::RENAME_EXCHANGE;
                if renameat2(AT_FDCWD, &one, AT_FDCWD, &other, exchange).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self {
            stop,
            swaps,
            thread: Some(thread),
        }
    }

    /// How often it has exchanged them.
    pub fn swaps(&self) -> u64 {
        self.swaps.load(Ordering::Relaxed)
    }
}

impl Drop for Swapping {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It does nothing that can panic.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
