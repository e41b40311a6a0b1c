//! The commands, one module each.

pub mod agent;
pub mod attach;
pub mod audit;
pub mod cleanup;
pub mod drain;
pub mod exec;
pub mod image;
pub mod inspect;
pub mod master;
pub mod run;
pub mod scheduler;
pub mod selftest;
pub mod up;
pub mod upgrade;
pub mod version;
pub mod why;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

/// Runs a command that is async.
fn block_on(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    containerizer::share_memory();
    // Blocking work is short (a launch, a record); beyond this many at a time it waits its turn.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(64)
        // Each keeps the stack that its deepest work took. They have work in turn, and the logs of a thousand
        // tasks are looked at some fifty times a second: of those that a burst has left, none would be idle
        // for a whole second, ever.
        .thread_keep_alive(Duration::from_millis(200))
        .build();
    let runtime = runtime.context("cannot start the async runtime")?;
    let result = runtime.block_on(work);
    // Nothing that still runs may keep the process: whoever had to be waited for was.
    runtime.shutdown_background();
    result
}
