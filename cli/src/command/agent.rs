//! `longshore agent`.

use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::block_on;
use crate::signals::{Request, Requests};
use crate::{local, logs};

pub fn run(mut flags: agent::Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::USUAL);
    flags.fetch_helper = local::fetch_helper();
    block_on(async {
        let mut requests = Requests::listen().context("cannot listen for signals")?;
        let agent = agent::start(flags)
            .await
            .context("cannot start the agent")?;
        tracing::info!(address = %agent.address(), "agent is up");
        tokio::select! {
            request = requests.next() => match request {
                Request::Stop => {
                    agent.stop().await;
                    tracing::info!("agent stopped; its tasks keep running");
                }
                Request::Leave => {
                    tracing::info!("leaving the cluster: killing all tasks");
                    agent.destroy().await;
                }
            },
            dismissal = agent.dismissed() => {
                agent.destroy().await;
                match dismissal {
                    Some(agent::Dismissal::Refused(why)) => {
                        bail!("the master refuses this agent: {why}")
                    }
                    Some(agent::Dismissal::Shutdown(why)) => {
                        tracing::info!(why, "the master shut this agent down");
                    }
                    None => bail!("the agent ended by itself: see the log above"),
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
