//! `longshore exec`: a command in the container of a running task.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::NonEmptyStringValueParser;
use containerizer::{Command, Target};
use isolators::ContainerId;

use super::block_on;
use crate::live::{Named, Task};
use crate::{exec, logs, terminal};

#[derive(Debug, clap::Args)]
pub struct Flags {
    #[command(flatten)]
    of: Named,

    /// A terminal for the command, as large as this one. By default when stdin and stdout are one
    #[arg(
        long = "tty", short = 't', num_args = 0..=1, require_equals = true,
        default_missing_value = "true", action = clap::ArgAction::Set
    )]
    tty: Option<bool>,

    /// For those used to it: stdin is always passed on
    #[arg(long = "interactive", short = 'i', hide = true)]
    interactive: bool,

    /// NAME=value, in addition to the task's own; may be repeated
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Working directory in the container, instead of the task's own
    #[arg(long = "workdir", short = 'w', value_name = "DIR", value_parser = NonEmptyStringValueParser::new())]
    workdir: Option<String>,

    /// The program, looked up on the task's PATH, and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<String>,
}

/// Who has made the container.
enum Whose {
    Agents(Box<Target>),
    Engines(exec::OfEngine),
}

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    block_on(async move {
        let (api, found) = flags.of.find().await?;
        let Task {
            task, container, ..
        } = found;
        let agents = api.get("/flags").await?;
        let path = format!("/inspect?container_id={container}");
        // An agent that does not tell has no engine either.
        let inspected = api.get(&path).await.unwrap_or_default();
        let whose = match exec::engines(&agents, &inspected) {
            Some(engines) => Whose::Engines(engines),
            None => {
                let target = target(&agents, &container);
                let unreachable = || format!("cannot reach the container of task {task}");
                Whose::Agents(Box::new(target.with_context(unreachable)?))
            }
        };
        let terminal = flags
            .tty
            .unwrap_or_else(|| io::stdin().is_terminal() && io::stdout().is_terminal());
        let mut env = flags.env;
        if let Ok(term) = std::env::var("TERM")
            && terminal
            && !env.iter().any(|entry| entry.starts_with("TERM="))
        {
            env.push(format!("TERM={term}"));
        }
        let command = Command {
            args: flags.command,
            env,
            cwd: flags.workdir,
            terminal,
        };
        let executed = match &whose {
            Whose::Agents(target) if terminal => exec::on_terminal(target, &command).await,
            Whose::Agents(target) => exec::plain(target, &command).await,
            Whose::Engines(engines) => exec::by_engine(engines, &command).await,
        };
        match executed {
            // An exit status is one byte wide.
            Ok(status) => Ok(ExitCode::from(status as u8)),
            Err(error) => {
                let code = as_shells_tell(&error);
                let error = error.context(format!("cannot execute it in task {task}"));
                terminal::failure(&error);
                Ok(code)
            }
        }
    })
}

/// 127 for a command that is not there, 126 for one that cannot be run.
fn as_shells_tell(error: &anyhow::Error) -> ExitCode {
    let causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    let missing = causes
        .map(io::Error::kind)
        .any(|kind| kind == io::ErrorKind::NotFound);
    ExitCode::from(if missing { 127 } else { 126 })
}

/// Where the agent keeps what it says that it runs. It must be the agent of this host.
pub(super) fn target(answer: &serde_json::Value, container: &str) -> anyhow::Result<Target> {
    let flag = |name: &str| {
        let value = answer["flags"][name].as_str();
        value.with_context(|| format!("the agent does not tell its --{name}"))
    };
    let id = ContainerId::try_from(container.to_owned())?;
    let (runtime_dir, hierarchy) = (flag("runtime_dir")?, flag("cgroups_hierarchy")?);
    let found = Target::find(Path::new(runtime_dir), Path::new(hierarchy), &id);
    found.context("is this the host of that agent, and are you root?")
}
