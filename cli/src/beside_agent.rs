//! Commands that look at the node of an agent: beside their own flags they take the agent's, so that its
//! command line, or its environment, can be used as it is.

use clap::{Args, Command, FromArgMatches};

use crate::borrow::Terms;

const AGENT: Terms = Terms {
    decided: &[],
    defaults: &[("master", "127.0.0.1:5050")],
};

#[derive(Debug)]
pub struct BesideAgent<Own> {
    pub own: Own,
    pub agent: agent::Flags,
}

impl<Own: Args> Args for BesideAgent<Own> {
    fn augment_args(command: Command) -> Command {
        AGENT.offer::<agent::Flags>(Own::augment_args(command), "Agent")
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<Own: Args> FromArgMatches for BesideAgent<Own> {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            own: Own::from_arg_matches(matches)?,
            agent: AGENT.read(matches)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
