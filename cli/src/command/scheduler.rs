//! `longshore scheduler`.

use std::process::ExitCode;

use anyhow::Context as _;

use super::block_on;
use crate::logs;
use crate::signals::Requests;

pub fn run(flags: scheduler::Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::USUAL);
    block_on(async {
        let mut requests = Requests::listen().context("cannot listen for signals")?;
        let scheduler = scheduler::start(flags)
            .await
            .context("cannot start the scheduler")?;
        tokio::select! {
            () = requests.stop() => {}
            reason = scheduler.failed() => {
                return Err(anyhow::Error::new(reason).context("the scheduler failed"));
            }
        }
        scheduler.stop().await;
        tracing::info!("scheduler stopped; its tasks keep running");
        Ok(ExitCode::SUCCESS)
    })
}
