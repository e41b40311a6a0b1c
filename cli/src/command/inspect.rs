//! `longshore inspect`: what a running task's container is made of.

use std::process::ExitCode;

use anyhow::Context as _;

use super::block_on;
use crate::api::encode;
use crate::live::Named;
use crate::phases::table;
use crate::{logs, terminal};

#[derive(Debug, clap::Args)]
pub struct Flags {
    #[command(flatten)]
    of: Named,

    /// Show how long each phase of the launch took, instead of the OCI spec and all else
    #[arg(
        long = "timings", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = clap::ArgAction::Set
    )]
    timings: bool,
}

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    block_on(async {
        let (agent, found) = flags.of.find().await?;
        // A container's id is the only one that nothing else on the agent can have.
        let container = encode(&found.container);
        let path = format!("/inspect?container_id={container}");
        let answer = agent.get(&path).await.context("cannot inspect it")?;
        let lines = if flags.timings {
            let launch = answer["launch"].as_object().context(
                "nobody knows how long this launch took: its agent was ended before it could keep \
                 that",
            )?;
            table(launch)
        } else {
            vec![serde_json::to_string_pretty(&answer)?]
        };
        lines.iter().for_each(|line| terminal::out(line));
        Ok(ExitCode::SUCCESS)
    })
}
