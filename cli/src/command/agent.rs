//! `longshore agent`.

use std::process::ExitCode;

use agent::{Dismissal, Service};
use anyhow::{Context as _, bail};

use super::block_on;
use crate::logs;
use crate::signals::{Request, Requests};

pub fn run(flags: agent::Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::USUAL);
    block_on(async {
        let mut requests = Requests::listen().context("cannot listen for signals")?;
        let is_cleanup = flags.recover == agent::Recover::Cleanup;
        let agent = agent::start(flags)
            .await
            .context("cannot start the agent")?;
        if is_cleanup {
            tracing::info!("killing the tasks of an earlier agent");
            agent.destroy().await;
            return Ok(ExitCode::SUCCESS);
        }
        tracing::info!(address = %agent.address(), "agent is up");
        let service = Service::begin(&agent)?;
        tokio::select! {
            request = requests.next() => match request {
                Request::Stop => {
                    service.stopping();
                    agent.stop().await;
                    tracing::info!("agent stopped; its tasks keep running");
                }
                Request::Leave => {
                    service.stopping();
                    tracing::info!("leaving the cluster: killing all tasks");
                    agent.destroy().await;
                }
            },
            dismissal = agent.dismissed() => match dismissal {
                // Perhaps the wrong master: the tasks are not its to end.
                Some(Dismissal::Refused(why)) => {
                    agent.stop().await;
                    bail!("the master refuses this agent, whose tasks keep running: {why}");
                }
                Some(Dismissal::Shutdown(why)) => {
                    tracing::info!(why, "the master shuts this agent down: killing all tasks");
                    agent.destroy().await;
                }
                None => bail!("the agent ended by itself: see the log above"),
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
