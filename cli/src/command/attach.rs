//! `longshore attach`: what a running task writes.

use std::process::ExitCode;

use anyhow::Context as _;

use super::block_on;
use crate::attach::{Attached, From};
use crate::live::Named;
use crate::logs;
use crate::run::INTERRUPTED;
use crate::signals::Requests;

#[derive(Debug, clap::Args)]
pub struct Flags {
    #[command(flatten)]
    of: Named,

    /// Begin with what it has written so far
    #[arg(
        long = "from-start", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = clap::ArgAction::Set
    )]
    from_start: bool,
}

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    block_on(async move {
        let mut requests = Requests::listen_on_terminal().context("cannot listen for signals")?;
        let (agent, task) = flags.of.find().await?;
        let name = task.task.clone();
        let from = match flags.from_start {
            true => From::Start,
            false => From::Now,
        };
        let mut attached = Attached::to(agent, task, from).await?;
        let hint = format!("attached to {name}: Ctrl-C leaves it running");
        attached.show.note(&hint).await;
        let attended = tokio::select! {
            attended = attached.attend() => attended,
            () = requests.stop() => Ok(INTERRUPTED),
        };
        attached.show.hurry();
        attached.show.clear().await;
        let lost = || format!("lost sight of {name}, which may go on");
        attended.map(ExitCode::from).with_context(lost)
    })
}
