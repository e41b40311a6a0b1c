//! Where tasks are written down before they begin: one at a time, by whoever waits for it.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::block_in_place;

/// To wake another thread for a few small writes, and to be woken by it, takes longer than the writes.
///
/// A disk may block all the same, for seconds. Then one thread waits for it and no more: what that had to do
/// besides another one takes over, and who comes to the desk meanwhile waits without a thread. More at a time
/// would not be quicker, for the directory of executors is changed by one at a time in any case.
#[derive(Debug)]
pub struct Desk(Semaphore);

impl Desk {
    pub fn new() -> Desk {
        Desk(Semaphore::new(1))
    }

    pub async fn write<T>(&self, write: impl FnOnce() -> T) -> T {
        // Nobody closes it.
        let _seat = self.0.acquire().await.ok();
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::CurrentThread => write(),
            _ => block_in_place(write),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_disk_that_blocks_keeps_nobody_waiting_but_those_who_write() {
        let desk = Arc::new(Desk::new());
        let (let_go, blocked) = mpsc::channel::<()>();
        let (told, begun) = tokio::sync::oneshot::channel();
        let first = {
            let desk = Arc::clone(&desk);
            tokio::spawn(async move {
                let write = move || {
                    let _ = told.send(());
                    blocked.recv().is_ok()
                };
                desk.write(write).await
            })
        };
        begun.await.unwrap();
        let writers: Vec<_> = (0..1000)
            .map(|number| {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move { desk.write(|| number).await })
            })
            .collect();
        // The only worker goes on.
        assert_eq!(tokio::spawn(std::future::ready(7)).await.unwrap(), 7);
        assert!(writers.iter().all(|writer| !writer.is_finished()));
        let_go.send(()).unwrap();
        assert!(first.await.unwrap());
        for (number, writer) in writers.into_iter().enumerate() {
            assert_eq!(writer.await.unwrap(), number);
        }
    }
}
