//! One trial: an agent that dies where it is told, the next one, which may die, too, and a last one that has
//! to bring everything to its end.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;
use proto::link::{Acknowledge, Reconcile, Register, from_agent, reconcile, to_agent};
use proto::v1;
use tokio::time::{Instant, sleep_until, timeout};

use crate::master::{Heard, Master};
use crate::node::{Death, Node};
use crate::scenario::{self, Kind};
use crate::story::Story;

/// For each life of an agent. Longer than anything takes, on a busy machine, too.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often what nobody tells of is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What is to become of one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    pub death: Option<Death>,
    /// It gets tasks of its own.
    pub begins: bool,
}

/// What there was to see in each life.
#[derive(Debug, Default)]
pub struct Seen {
    /// Whether it died where it was told.
    pub died: Vec<bool>,
    pub reached: Vec<BTreeMap<failpoint::Point, usize>>,
}

pub struct Trial {
    pub node: Node,
    master: Master,
    /// By task id.
    stories: BTreeMap<String, Story>,
    /// The agent id that was given last.
    agent: Option<String>,
    lives: usize,
    /// Agents without an id get a new one each.
    ids: usize,
}

impl Trial {
    pub async fn new() -> anyhow::Result<Trial> {
        let master = Master::start().await?;
        let node = Node::new(master.address)?;
        fs::write(node.path("fetched"), "content\n")?;
        Ok(Trial {
            node,
            master,
            stories: BTreeMap::new(),
            agent: None,
            lives: 0,
            ids: 0,
        })
    }

    /// These lives, each ended by its death or from outside, and a last one. At the end everything that
    /// must be true is looked at.
    pub async fn run(&mut self, lives: &[Life]) -> anyhow::Result<Seen> {
        let mut seen = Seen::default();
        for life in lives {
            self.lives += 1;
            let died = timeout(PATIENCE, self.live(*life)).await;
            let died = died
                .map_err(|_elapsed| self.stuck("does not come to its death"))
                .flatten();
            seen.died
                .push(died.with_context(|| format!("in life {}", self.lives))?);
            seen.reached.push(self.node.reached(self.lives));
        }
        self.lives += 1;
        let ended = timeout(PATIENCE, self.last_life()).await;
        let ended = ended
            .map_err(|_elapsed| self.stuck("does not come to its end"))
            .flatten();
        ended.context("in the last life")?;
        seen.reached.push(self.node.reached(self.lives));
        Ok(seen)
    }

    fn stuck(&self, how: &str) -> anyhow::Error {
        let open: Vec<_> = (self.stories.iter())
            .filter(|(_, story)| !story.has_ended())
            .map(|(task, story)| format!("{task} {:?}", story.state()))
            .collect();
        let cgroups = self.node.cgroups();
        let kept = self.node.executors_kept();
        anyhow::anyhow!("it {how}; open tasks {open:?}; cgroups {cgroups:?}; kept {kept:?}")
    }

    /// Whether it died where it was told; else it was killed once nothing more was to come.
    async fn live(&mut self, life: Life) -> anyhow::Result<bool> {
        self.node.start(life.death)?;
        let mut begins = life.begins;
        let (mut is_registered, mut is_asked) = (false, false);
        let mut look = Instant::now() + LOOK;
        loop {
            tokio::select! {
                status = self.node.ended() => return died(status?, is_asked),
                heard = self.master.hear() => {
                    is_registered |= matches!(heard, Heard::Register(_));
                    self.on_heard(heard, &mut begins, false)?;
                }
                () = sleep_until(look) => {
                    look = Instant::now() + LOOK;
                    match is_registered && self.is_settled() {
                        true if life.begins => {
                            self.node.kill().await?;
                            return Ok(false);
                        }
                        // It may die over that.
                        true if !is_asked => {
                            is_asked = true;
                            self.node.terminate()?;
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// Everything of this life has come to where it stays.
    fn is_settled(&self) -> bool {
        let mut ours = (self.stories.iter()).filter(|(_, story)| story.life == self.lives);
        ours.all(|(task, story)| match story.kind {
            Kind::Unheard => self.node.runs(task) > 0,
            Kind::Steady => {
                let rotated = |sandbox: std::path::PathBuf| sandbox.join("stdout.2").exists();
                story.state() == v1::TaskState::TaskRunning
                    && self.node.sandbox(task).is_some_and(rotated)
            }
            kind if kind.stays() => story.state() == v1::TaskState::TaskRunning,
            // Its garbage is collected, too.
            _ => story.has_ended() && self.node.sandbox(task).is_none(),
        })
    }

    async fn last_life(&mut self) -> anyhow::Result<()> {
        self.node.start(None)?;
        let mut registered = false;
        let mut look = Instant::now() + LOOK;
        let mut is_killing = false;
        loop {
            tokio::select! {
                status = self.node.ended() => bail!("the agent ended by itself: {}", status?),
                heard = self.master.hear() => {
                    registered |= matches!(heard, Heard::Register(_));
                    self.on_heard(heard, &mut false, true)?;
                }
                () = sleep_until(look) => {
                    look = Instant::now() + LOOK;
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
        let running = open.len();
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

    fn check(&self) -> anyhow::Result<()> {
        for (task, story) in &self.stories {
            let checked = story.check(self.node.runs(task), self.lives);
            checked.with_context(|| format!("task {task}"))?;
        }
        Ok(())
    }

    fn on_heard(&mut self, heard: Heard, begins: &mut bool, is_last: bool) -> anyhow::Result<()> {
        match heard {
            Heard::Register(register) => {
                self.on_register(&register)?;
                if std::mem::take(begins) {
                    self.begin_tasks();
                }
                Ok(())
            }
            Heard::Said(said) => match *said {
                from_agent::Message::Update(update) => self.on_update(update, is_last),
                _ => Ok(()),
            },
        }
    }

    fn on_register(&mut self, register: &Register) -> anyhow::Result<()> {
        let told = register.agent.id.as_ref().map(|id| id.value.clone());
        let id = match (told, &self.agent) {
            (Some(told), Some(known)) if told == *known => told,
            (Some(told), known) => bail!("an agent calls itself {told}, and was {known:?}"),
            (None, _) => {
                // It never came to know the id that it was given, and so had no task.
                for story in self.stories.values_mut() {
                    ensure!(
                        story.updates.is_empty(),
                        "the agent has forgotten its id {:?}",
                        self.agent
                    );
                    story.is_void = true;
                }
                self.ids += 1;
                format!("S{}", self.ids)
            }
        };
        self.master.accept(&id);
        self.agent = Some(id);
        let is_told = |task: &str| (register.tasks.iter()).any(|it| it.task_id.value == task);
        let mut missing = Vec::new();
        for (task, story) in &self.stories {
            if story.has_ended() {
                continue;
            }
            if !is_told(task) {
                missing.push(reconcile::Task {
                    framework: story.kind.framework(),
                    task_id: v1::TaskId {
                        value: task.clone(),
                    },
                });
            } else if story.kill_asked {
                self.master.say(story.kind.kill(task));
            }
        }
        if !missing.is_empty() {
            let reconcile = Reconcile { tasks: missing };
            self.master.say(to_agent::Message::Reconcile(reconcile));
        }
        Ok(())
    }

    fn begin_tasks(&mut self) {
        let agent = self.agent.clone().unwrap_or_default();
        for kind in scenario::ALL {
            let task = format!("{}-{kind:?}", self.lives);
            let mut story = Story::new(*kind, self.lives);
            let place = self.node.path("");
            self.master.say(kind.run(&task, &agent, &place));
            if kind.killed_when() == Some(story.state()) {
                story.kill_asked = true;
                self.master.say(kind.kill(&task));
            }
            self.stories.insert(task, story);
        }
    }

    fn on_update(
        &mut self,
        update: proto::link::StatusUpdate,
        is_last: bool,
    ) -> anyhow::Result<()> {
        let task = update.status.task_id.value.clone();
        let story = self.stories.get_mut(&task);
        let story = story.with_context(|| format!("nobody knows the task {task}"))?;
        let uuid = update.status.uuid().to_vec();
        let heard = story.hear(update.status);
        heard.with_context(|| format!("of task {task}"))?;
        if story.kind.killed_when() == Some(story.state()) {
            story.kill_asked = true;
            self.master.say(story.kind.kill(&task));
        }
        if story.kind != Kind::Unheard || is_last {
            self.master.say(to_agent::Message::Acknowledge(Acknowledge {
                framework_id: update.framework_id,
                task_id: v1::TaskId { value: task },
                uuid,
            }));
        }
        Ok(())
    }
}

/// Whether it died, and not because it was asked to end.
fn died(status: ExitStatus, is_asked: bool) -> anyhow::Result<bool> {
    match status.signal() {
        Some(signal) if signal == Signal::SIGKILL as i32 => Ok(true),
        _ if is_asked => Ok(false),
        _ => bail!("the agent ended with {status}, which nobody has told it to"),
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
