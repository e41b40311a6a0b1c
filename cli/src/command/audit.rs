//! `longshore audit`: what of this node is not as its agent has written it down.

use std::process::ExitCode;

use agent::audit::{Audit, audit};

use super::block_on;
use crate::beside_agent::BesideAgent;
use crate::differences::{is_clean, json, lines};
use crate::{logs, terminal};

/// Of a node that could not be looked at: nobody knows how it is.
const UNKNOWN: u8 = 2;

/// How to tell, and the agent's flags.
pub type Flags = BesideAgent<Own>;

#[derive(Debug, clap::Args)]
pub struct Own {
    /// Mend what is of this agent and has no owner any more
    #[arg(
        long = "repair", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = clap::ArgAction::Set
    )]
    repair: bool,

    /// Print one JSON object instead of text
    #[arg(
        long = "json", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = clap::ArgAction::Set
    )]
    json: bool,
}

/// Ends with 0 when all is as it should be, 1 when something is not, 2 when that cannot be told.
pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    let Flags { own, agent } = flags;
    block_on(async move {
        let audit = match audit(&agent, own.repair).await {
            Ok(audit) => audit,
            Err(error) => {
                terminal::failure(&anyhow::Error::new(error).context("cannot audit this node"));
                return Ok(ExitCode::from(UNKNOWN));
            }
        };
        tell(&audit, own.json)?;
        Ok(match is_clean(&audit) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    })
}

fn tell(audit: &Audit, as_json: bool) -> anyhow::Result<()> {
    match as_json {
        true => terminal::out(&serde_json::to_string_pretty(&json(audit))?),
        false => lines(audit).iter().for_each(|line| terminal::out(line)),
    }
    Ok(())
}
