//! Tests on a host whose network is not ours.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// All threads and programs that come of this thread are in a network of their own.
pub fn apart<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send) {
    let body = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let mut busybox = Command::new("busybox");
        let up = busybox.args(["ip", "link", "set", "lo", "up"]).output();
        let up = up.unwrap();
        assert!(up.status.success(), "{up:?}");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(work());
    };
    std::thread::scope(|scope| scope.spawn(body).join().unwrap());
}
