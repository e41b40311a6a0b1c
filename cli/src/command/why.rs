//! `longshore why`: how a task came to the state that it is in.

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;

use super::block_on;
use crate::live::{Found, Named};
use crate::tasks::entries;
use crate::why::{Rights, Story, guessed, has_ended, quoted, read, told};
use crate::{logs, terminal};

#[derive(Debug, clap::Args)]
pub struct Flags {
    #[command(flatten)]
    of: Named,
}

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    block_on(async {
        let Found { agent, task, state } = flags.of.find_known().await?;
        // An executor of its own kind may run several tasks in one container.
        let entry = entries(&state)
            .find(|it| (it.id(), it.container()) == (Some(&task.task), Some(&task.container)));
        let entry = entry.context("the agent does not tell of the task any more")?;
        let story = Story::of(&entry).context("the agent does not tell the task's state")?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut lines = told(&story, now.unwrap_or_default());
        if has_ended(&story) {
            let stderr = format!("{}/stderr", story.sandbox);
            let words = read(&agent, &stderr).await;
            lines.extend(quoted(&words, &stderr));
            let rights = Rights::of(entry.task, &state["flags"]);
            lines.extend(guessed(&story, &rights, &words));
        }
        lines.iter().for_each(|line| terminal::out(line));
        Ok(ExitCode::SUCCESS)
    })
}
