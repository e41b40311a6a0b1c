//! `longshore cleanup`: the node as it was before it had tasks with networks of their own.

use std::process::ExitCode;

use crate::beside_agent::BesideAgent;
use crate::{logs, terminal};

/// The agent's flags.
pub type Flags = BesideAgent<Own>;

#[derive(Debug, clap::Args)]
pub struct Own {}

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    let Flags { own: Own {}, agent } = flags;
    ::agent::cleanup(&agent)?;
    let bridge = &agent.network.bridge_name;
    terminal::out(&format!("no bridge {bridge}, no table of its rules"));
    Ok(ExitCode::SUCCESS)
}
