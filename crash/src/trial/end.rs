//! The last life: all comes to its end, is looked at, and leaves nothing.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, bail, ensure};
use proto::v1;
use tokio::time::{Instant, sleep_until};

use super::{LOOK, Trial};
use crate::master::Heard;
use crate::node::Event;
use crate::story::Story;

impl Trial {
    pub(super) async fn last_life(&mut self) -> anyhow::Result<()> {
        let master = self.master.open_door().await?;
        self.node.start(master, None)?;
        let mut registered = false;
        let mut look = Instant::now() + LOOK;
        let mut is_killing = false;
        loop {
            tokio::select! {
                event = self.node.event() => if let Event::AgentEnded(status) = event? {
                    bail!("the agent ended by itself: {status:?}");
                },
                heard = self.master.hear() => {
                    registered |= matches!(heard, Heard::Register(_));
                    self.on_heard(heard, true)?;
                }
                () = sleep_until(look) => {
                    look = Instant::now() + LOOK;
                    self.dismiss_executors();
                    if !registered || self.stories.values().any(|it| !it.has_ended() && !it.kind.stays()) {
                        continue;
                    }
                    if !is_killing {
                        is_killing = self.kill_steady()?;
                    } else if self.stories.values().all(Story::has_ended) && self.node.executors_kept().is_empty() {
                        break;
                    }
                }
            }
        }
        self.check()?;
        self.node.audit().await.context("while the agent runs")?;
        self.node.stop().await?;
        self.node.audit().await.context("after the agent")?;
        self.node.nothing_left()
    }

    /// Whether they are where they can be killed: those that run have written all that they write.
    fn kill_steady(&mut self) -> anyhow::Result<bool> {
        let executors = self.executors();
        let open: Vec<_> = (self.stories.iter_mut())
            .filter(|(_, it)| !it.has_ended())
            .collect();
        // One that runs is heard to do so, in whichever life.
        if open
            .iter()
            .any(|(_, it)| it.state() != v1::TaskState::TaskRunning)
        {
            return Ok(false);
        }
        for (task, story) in &open {
            let Some(wanted) = story.kind.output() else {
                continue;
            };
            let sandbox = self.node.sandbox(task);
            let sandbox = sandbox.with_context(|| format!("{task} runs without a sandbox"))?;
            let written = written(&sandbox)?;
            if written.len() < wanted.len() {
                return Ok(false);
            }
            ensure!(written == wanted, "the log of {task} is not what it wrote");
        }
        let running = open.len() + executors;
        for (task, story) in open {
            story.kill_asked = true;
            self.master.say(story.kind.kill(task));
        }
        // Nothing else has a container.
        let mut containers: Vec<_> = (self.node.cgroups().iter())
            .filter_map(|it| it.file_name().map(ToOwned::to_owned))
            .collect();
        containers.sort();
        containers.dedup();
        ensure!(
            containers.len() <= running,
            "{running} tasks run, in containers {containers:?}"
        );
        Ok(true)
    }

    /// Those of a framework, of which any may be there yet.
    fn executors(&self) -> usize {
        let hosted = self.stories.values().filter(|it| it.kind.is_hosted());
        let executors: BTreeSet<_> = hosted.map(|it| it.kind.executor(it.life)).collect();
        executors.len()
    }

    fn check(&self) -> anyhow::Result<()> {
        for (task, story) in &self.stories {
            let checked = story.check(self.node.runs(task), self.lives);
            checked.with_context(|| format!("task {task}"))?;
        }
        Ok(())
    }
}

/// A log with all that was rotated away, without the zeros in place of what was given back.
fn written(sandbox: &std::path::Path) -> anyhow::Result<String> {
    let rotated = |n: &usize| sandbox.join(format!("stdout.{n}"));
    let count = (1..).take_while(|n| rotated(n).exists()).count();
    let mut all = String::new();
    for file in (1..=count).rev().map(|n| rotated(&n)) {
        all += &fs::read_to_string(file)?;
    }
    all += &fs::read_to_string(sandbox.join("stdout"))?;
    Ok(all.replace('\0', ""))
}
