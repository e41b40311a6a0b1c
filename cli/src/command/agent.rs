//! `longshore agent`.

use std::ops::ControlFlow;
use std::process::ExitCode;

use agent::upgrade::{Inheritance, Program, Rest, Upgrade, announce, upgrade};
use agent::{Dismissal, Flags, Handle, Service};
use anyhow::{Context as _, anyhow, bail};

use super::block_on;
use crate::logs;
use crate::signals::{Request, Requests};

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::USUAL);
    // Before anything changes where this process is, or reads from its stdin.
    let program = Program::of_this_process()?;
    let inheritance = Inheritance::received()?;
    block_on(async {
        let mut requests = Requests::listen_as_agent().context("cannot listen for signals")?;
        let is_cleanup = flags.recover == agent::Recover::Cleanup;
        let mut agent = match inheritance {
            Some(inheritance) => inheritance.start(flags.clone()).await?,
            None => {
                let agent = agent::start(flags.clone()).await;
                let agent = agent.context("cannot start the agent")?;
                announce(&flags)?;
                agent
            }
        };
        if is_cleanup {
            tracing::info!("killing the tasks of an earlier agent");
            agent.destroy().await;
            return Ok(ExitCode::SUCCESS);
        }
        tracing::info!(address = %agent.address(), "agent is up");
        loop {
            agent = match live(agent, &program, &flags, &mut requests).await? {
                ControlFlow::Continue(agent) => agent,
                ControlFlow::Break(()) => return Ok(ExitCode::SUCCESS),
            };
        }
    })
}

/// Until something is asked of the agent, which goes on after it, or not.
async fn live(
    agent: Handle,
    program: &Program,
    flags: &Flags,
    requests: &mut Requests,
) -> anyhow::Result<ControlFlow<(), Handle>> {
    let service = Service::begin(&agent)?;
    let dismissal = tokio::select! {
        request = requests.next() => {
            return follow(request, agent, &service, program, flags, requests).await;
        }
        dismissal = agent.dismissed() => dismissal,
    };
    match dismissal {
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
    Ok(ControlFlow::Break(()))
}

async fn follow(
    request: Request,
    agent: Handle,
    service: &Service,
    program: &Program,
    flags: &Flags,
    requests: &mut Requests,
) -> anyhow::Result<ControlFlow<(), Handle>> {
    match request {
        Request::Stop => {
            service.stopping();
            agent.stop().await;
            tracing::info!("agent stopped; its tasks keep running");
            Ok(ControlFlow::Break(()))
        }
        Request::Leave => {
            service.stopping();
            tracing::info!("leaving the cluster: killing all tasks");
            agent.destroy().await;
            Ok(ControlFlow::Break(()))
        }
        Request::Upgrade => {
            let mut meanwhile = None;
            let called_off = async { meanwhile = Some(other_than_upgrade(requests).await) };
            let upgraded = upgrade(agent, program, flags, called_off).await;
            let agent = match upgraded {
                Upgrade::Kept { agent, .. } => agent,
                Upgrade::Done(rest) => return part(rest, requests).await,
                Upgrade::Broken { why, source } => {
                    let error = anyhow::Error::new(source);
                    return Err(error.context(anyhow!(
                        "the agent ends, and its tasks keep running: it could not go on after an \
                         upgrade that failed ({why})"
                    )));
                }
            };
            match meanwhile {
                Some(request) => {
                    Box::pin(follow(request, agent, service, program, flags, requests)).await
                }
                None => Ok(ControlFlow::Continue(agent)),
            }
        }
    }
}

/// One upgrade at a time.
async fn other_than_upgrade(requests: &mut Requests) -> Request {
    loop {
        match requests.next().await {
            Request::Upgrade => tracing::warn!("an upgrade is under way: another is not begun"),
            request @ (Request::Stop | Request::Leave) => return request,
        }
    }
}

/// Another process is the agent: what was begun here is finished, unless this one is told to stop, too.
async fn part(rest: Rest, requests: &mut Requests) -> anyhow::Result<ControlFlow<(), Handle>> {
    tokio::select! {
        () = rest.over() => {}
        () = requests.stop() => {}
    }
    Ok(ControlFlow::Break(()))
}
