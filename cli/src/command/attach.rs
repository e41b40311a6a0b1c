//! `longshore attach`: what a running task writes.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use super::block_on;
use super::exec::target;
use crate::attach::{self, Attached, From};
use crate::live::Named;
use crate::run::INTERRUPTED;
use crate::signals::Requests;
use crate::{exec, logs, terminal};

#[derive(Debug, clap::Args)]
pub struct Flags {
    #[command(flatten)]
    of: Named,

    /// Begin with what it has written so far
    #[arg(
        long = "from-start", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = clap::ArgAction::Set
    )]
    from_start: bool,

    /// Type to the task, on the terminal that it has with "tty": true, on this machine and as root.
    /// Ctrl-C is the task's then; Ctrl-P Ctrl-Q leaves it running
    #[arg(
        long = "interactive", short = 'i', conflicts_with = "from_start",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = clap::ArgAction::Set
    )]
    interactive: bool,
}

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    block_on(async move {
        if flags.interactive {
            return type_to(&flags.of).await;
        }
        let mut requests = Requests::listen_on_terminal().context("cannot listen for signals")?;
        let (agent, task) = flags.of.find().await?;
        let name = task.task.clone();
        let from = match flags.from_start {
            true => From::Start,
            false => From::Now,
        };
        let mut attached = Attached::to(agent, task, from).await?;
        let hint = format!("attached to {name}: Ctrl-C leaves it running");
        attached.show.note(&hint).await;
        let attended = tokio::select! {
            attended = attached.attend() => attended,
            () = requests.stop() => Ok(INTERRUPTED),
        };
        attached.show.hurry();
        attached.show.clear().await;
        let lost = || format!("lost sight of {name}, which may go on");
        attended.map(ExitCode::from).with_context(lost)
    })
}

const OF_ENGINE: &str = "the task is in a container of a Docker Engine, at which nobody types: attach shows without -i \
                         what it writes, and exec gives a terminal in it";

async fn type_to(of: &Named) -> anyhow::Result<ExitCode> {
    let (agent, task) = of.find().await?;
    let name = task.task.clone();
    let flags = agent.get("/flags").await?;
    let path = format!("/inspect?container_id={}", task.container);
    // An agent that does not tell has no engine either.
    let inspected = agent.get(&path).await.unwrap_or_default();
    ensure!(exec::engines(&flags, &inspected).is_none(), OF_ENGINE);
    let target = target(&flags, &task.container)
        .with_context(|| format!("cannot reach the container of task {name}"))?;
    terminal::err(&format!(
        "attached to {name}: Ctrl-P Ctrl-Q leaves it running"
    ));
    let attended = attach::type_to(&agent, &task, &target).await;
    let lost = || format!("lost sight of {name}, which may go on");
    attended.map(ExitCode::from).with_context(lost)
}
