//! `longshore upgrade`: the agent of this node goes on with the program that is on the disk now.

use std::process::ExitCode;

use agent::upgrade::{Upgraded, request};
use anyhow::Context as _;

use super::block_on;
use crate::beside_agent::BesideAgent;
use crate::{logs, terminal};

/// The agent's flags.
pub type Flags = BesideAgent<Own>;

#[derive(Debug, clap::Args)]
pub struct Own {}

/// Ends with 0 when another process is the agent, else with 1.
pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    block_on(async move {
        let upgraded = request(&flags.agent).await;
        let Upgraded { from, to } = upgraded.context("the agent is not upgraded")?;
        terminal::out(&format!(
            "the agent is upgraded: it was process {from} and is process {to}"
        ));
        Ok(ExitCode::SUCCESS)
    })
}
