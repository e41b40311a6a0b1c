//! `longshore inspect`: what a running task's container is made of.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::NonEmptyStringValueParser;
use serde_json::Value;

use super::block_on;
use crate::api::{Api, encode};
use crate::inspect::{live, select, table};
use crate::{logs, terminal};

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Id of a running task or of its container, a unique beginning of one, or the id of an app
    /// that has one task there
    #[arg(value_name = "TASK", value_parser = NonEmptyStringValueParser::new())]
    task: String,

    /// Address of the agent that runs the task
    #[arg(
        long = "agent", value_name = "HOST:PORT", default_value = "127.0.0.1:5051",
        value_parser = host_and_port
    )]
    agent: String,

    /// Show how long each phase of the launch took, instead of the OCI spec and all else
    #[arg(
        long = "timings", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = clap::ArgAction::Set
    )]
    timings: bool,
}

fn host_and_port(text: &str) -> Result<String, &'static str> {
    proto::address::host_and_port(text)
        .map_err(|_neither| "give HOST:PORT, for example 127.0.0.1:5051")
}

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    block_on(async {
        let answer = ask(&flags).await.with_context(|| {
            let Flags { task, agent, .. } = &flags;
            format!("cannot inspect {task:?} at {agent} (--agent=HOST:PORT names another agent)")
        })?;
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

async fn ask(flags: &Flags) -> anyhow::Result<Value> {
    let agent = Api::at(&flags.agent)?;
    let live = live(&agent.get("/state").await?)?;
    // A container's id is the only one that nothing else on the agent can have.
    let container = encode(&select(&live, &flags.task)?.container);
    let inspect = format!("/inspect?container_id={container}");
    agent.get(&inspect).await
}
