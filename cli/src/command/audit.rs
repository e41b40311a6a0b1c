//! `longshore audit`: what of this node is not as its agent has written it down.

use std::process::ExitCode;

use agent::audit::{Audit, audit};
use clap::{Args, Command, FromArgMatches};

use super::block_on;
use crate::borrow::Terms;
use crate::differences::{is_clean, json, lines};
use crate::{logs, terminal};

/// The agent's own flags, so that its command line, or its environment, can be used as it is.
const AGENT: Terms = Terms {
    decided: &[],
    defaults: &[("master", "127.0.0.1:5050")],
};

/// Of a node that could not be looked at: nobody knows how it is.
const UNKNOWN: u8 = 2;

/// How to tell, and the agent's flags.
#[derive(Debug)]
pub struct Flags {
    own: Own,
    agent: agent::Flags,
}

#[derive(Debug, clap::Args)]
struct Own {
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

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        AGENT.offer::<agent::Flags>(Own::augment_args(command), "Agent")
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Flags, clap::Error> {
        Ok(Flags {
            own: Own::from_arg_matches(matches)?,
            agent: AGENT.read(matches)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
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
