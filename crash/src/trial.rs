//! One trial: an agent that dies where it is told, the next one, which may die, too, and a last one that has
//! to bring everything to its end.

mod end;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;
use proto::link::{Acknowledge, Reconcile, Register, from_agent, reconcile, to_agent};
use proto::v1;
use tokio::time::{Instant, sleep_until, timeout};

use crate::master::{Heard, Master};
use crate::node::{Death, Event, Node, Role, Upgrade, built};
use crate::scenario::{self, Kind};
use crate::story::Story;

/// For each life of an agent. Longer than anything takes, on a busy machine, too.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often what nobody tells of is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Words for `longshore drain`.
const DRAIN: &[&str] = &["--kill", "--detach"];
const UNDO: &[&str] = &["--undo"];

/// What an agent goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// It gets tasks of its own; when each is where it stays, it is upgraded, and killed after that.
    Works,
    /// It is drained, of all that earlier lives left, and asked to end.
    Drains,
}

/// What is to become of one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    pub course: Course,
    pub death: Option<Death>,
}

/// How often a point was reached, and by which process.
pub type Reached = BTreeMap<(failpoint::Point, Role), usize>;

/// What there was to see in each life.
#[derive(Debug, Default)]
pub struct Seen {
    /// Whether it died where it was told.
    pub died: Vec<bool>,
    pub reached: Vec<Reached>,
}

/// How far a life is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The master has not heard of it.
    Unknown,
    /// A drain of an earlier life is being taken back.
    Undraining,
    Begun,
    Draining,
    /// It was asked to end.
    Ending,
}

pub struct Trial {
    pub node: Node,
    master: Master,
    /// By task id.
    stories: BTreeMap<String, Story>,
    /// The agent id that was given last.
    agent: Option<String>,
    /// Somebody has asked it to drain.
    is_drained: bool,
    /// Executors that this agent was told to end.
    dismissed: BTreeSet<String>,
    lives: usize,
    /// Agents without an id get a new one each.
    ids: usize,
}

impl Trial {
    pub async fn new() -> anyhow::Result<Trial> {
        let node = Node::new()?;
        fs::write(node.path("fetched"), "content\n")?;
        symlink(built("examples/executor")?, node.path("executor"))?;
        Ok(Trial {
            node,
            master: Master::new(),
            stories: BTreeMap::new(),
            agent: None,
            is_drained: false,
            dismissed: BTreeSet::new(),
            lives: 0,
            ids: 0,
        })
    }

    /// These lives, each ended by its death or from outside, and a last one. At the end everything that
    /// must be true is looked at.
    pub async fn run(&mut self, lives: &[Life]) -> anyhow::Result<Seen> {
        let mut seen = Seen::default();
        for life in lives {
            let reached = self.one(*life).await?;
            let died = |death: Death| {
                let times = reached.get(&(death.at, death.of));
                times.is_some_and(|times| *times >= death.nth)
            };
            seen.died.push(life.death.is_some_and(died));
            seen.reached.push(reached);
        }
        self.end().await?;
        seen.reached.push(self.reached());
        Ok(seen)
    }

    /// One life.
    pub async fn one(&mut self, life: Life) -> anyhow::Result<Reached> {
        self.lives += 1;
        let lived = timeout(PATIENCE, self.live(life)).await;
        let lived = lived
            .map_err(|_elapsed| self.stuck("does not come to its death"))
            .flatten();
        lived.with_context(|| format!("in life {}", self.lives))?;
        self.note_recorded();
        Ok(self.reached())
    }

    /// What the next agent finds. An executor's process says nothing of its tasks.
    fn note_recorded(&mut self) {
        let open =
            (self.stories.iter_mut()).filter(|(_, it)| !it.has_ended() && !it.kind.is_hosted());
        for (task, story) in open {
            story.is_recorded |= self.node.has_process_of(task);
        }
    }

    fn reached(&self) -> Reached {
        let of = |role| {
            let counts = self.node.reached(self.lives, role).into_iter();
            counts.map(move |(point, count)| ((point, role), count))
        };
        of(Role::Agent).chain(of(Role::Successor)).collect()
    }

    /// The last life, in which all must come to its end.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        self.lives += 1;
        let ended = timeout(PATIENCE, self.last_life()).await;
        let ended = ended
            .map_err(|_elapsed| self.stuck("does not come to its end"))
            .flatten();
        ended.context("in the last life")
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

    /// Until it dies, where it was told or else when nothing more is to come.
    async fn live(&mut self, life: Life) -> anyhow::Result<()> {
        let master = self.master.open_door().await?;
        self.node.start(master, life.death)?;
        let mut progress = Progress::Unknown;
        let mut look = Instant::now() + LOOK;
        loop {
            tokio::select! {
                event = self.node.event() => match (event?, progress) {
                    (Event::AgentEnded(status), _) => {
                        return died(status, progress == Progress::Ending);
                    }
                    (Event::DrainAnswered { taken: true }, Progress::Undraining) => {
                        self.is_drained = false;
                        progress = self.begin(life.course)?;
                    }
                    // It may not be ready for that.
                    (Event::DrainAnswered { taken: false }, Progress::Undraining) => {
                        self.node.drain(UNDO)?;
                    }
                    (Event::DrainAnswered { taken: false }, Progress::Draining) => {
                        self.node.drain(DRAIN)?;
                    }
                    (Event::DrainAnswered { .. }, _) => {}
                },
                heard = self.master.hear() => {
                    let registers = matches!(heard, Heard::Register(_));
                    self.on_heard(heard, life.course == Course::Drains)?;
                    if registers && progress == Progress::Unknown {
                        progress = self.begin(life.course)?;
                    }
                }
                () = sleep_until(look) => {
                    look = Instant::now() + LOOK;
                    self.dismiss_executors();
                    match (life.course, progress) {
                        (Course::Works, Progress::Begun)
                            if self.is_settled() && self.has_been_upgraded(life)? =>
                        {
                            return self.node.kill().await;
                        }
                        (Course::Drains, Progress::Draining) if self.nothing_runs() => {
                            self.node.terminate()?;
                            progress = Progress::Ending;
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// The master knows the agent.
    fn begin(&mut self, course: Course) -> anyhow::Result<Progress> {
        match course {
            Course::Works if self.is_drained => {
                self.node.drain(UNDO)?;
                Ok(Progress::Undraining)
            }
            Course::Works => {
                let kinds = scenario::ALL.iter().copied();
                let first = kinds.filter(|kind| kind.begins_after().is_none());
                let place = crate::node::place();
                for kind in first.filter(|kind| scenario::can_be(*kind, &place)) {
                    self.begin_task(kind);
                }
                Ok(Progress::Begun)
            }
            Course::Drains => {
                self.is_drained = true;
                let open = self.stories.values_mut().filter(|it| !it.has_ended());
                open.for_each(|story| story.kill_asked = true);
                self.node.drain(DRAIN)?;
                Ok(Progress::Draining)
            }
        }
    }

    fn has_been_upgraded(&mut self, life: Life) -> anyhow::Result<bool> {
        match self.node.upgraded()? {
            None => {
                self.node.upgrade()?;
                Ok(false)
            }
            Some(Upgrade::Underway) => Ok(false),
            Some(Upgrade::Done) => Ok(true),
            Some(Upgrade::Kept(why)) => {
                ensure!(life.death.is_some(), "the upgrade failed: {why}");
                Ok(true)
            }
        }
    }

    fn nothing_runs(&self) -> bool {
        self.stories.values().all(Story::has_ended) && self.node.cgroups().is_empty()
    }

    /// A framework ends an executor that has nothing any more. Each agent is told once: one that ends is
    /// ended by the next one, too.
    fn dismiss_executors(&mut self) {
        let mut idle: BTreeMap<String, (bool, &Story)> = BTreeMap::new();
        for story in self.stories.values().filter(|it| it.kind.is_hosted()) {
            let executor = story.kind.executor(story.life);
            let (is_idle, _) = idle.entry(executor).or_insert((true, story));
            *is_idle &= story.has_ended();
        }
        for (executor, (is_idle, story)) in idle {
            if is_idle && self.dismissed.insert(executor) {
                self.master.say(story.kind.shut_down(story.life));
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
            Kind::HostedKilled => story.has_ended(),
            kind => {
                let executor = kind.executor(story.life);
                story.has_ended() && self.node.sandbox(&executor).is_none()
            }
        })
    }

    /// `hears_all`: from now on every update is acknowledged.
    fn on_heard(&mut self, heard: Heard, hears_all: bool) -> anyhow::Result<()> {
        match heard {
            Heard::Register(register) => self.on_register(&register),
            Heard::Said(said) => match *said {
                from_agent::Message::Update(update) => self.on_update(update, hears_all),
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
        self.dismissed.clear();
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

    fn begin_task(&mut self, kind: Kind) {
        let agent = self.agent.clone().unwrap_or_default();
        let task = kind.task(self.lives);
        let mut story = Story::new(kind, self.lives);
        let place = self.node.path("");
        self.master.say(kind.run(self.lives, &agent, &place));
        if kind.killed_when() == Some(story.state()) {
            story.kill_asked = true;
            self.master.say(kind.kill(&task));
        }
        self.stories.insert(task, story);
    }

    fn on_update(
        &mut self,
        update: proto::link::StatusUpdate,
        hears_all: bool,
    ) -> anyhow::Result<()> {
        let task = update.status.task_id.value.clone();
        let story = self.stories.get_mut(&task);
        let story = story.with_context(|| format!("nobody knows the task {task}"))?;
        let uuid = update.status.uuid().to_vec();
        let heard = story.hear(update.status);
        heard.with_context(|| format!("of task {task}"))?;
        let (kind, life, state) = (story.kind, story.life, story.state());
        if story.kind.killed_when() == Some(story.state()) {
            story.kill_asked = true;
            self.master.say(story.kind.kill(&task));
        }
        if story.kind != Kind::Unheard || hears_all {
            self.master.say(to_agent::Message::Acknowledge(Acknowledge {
                framework_id: update.framework_id,
                task_id: v1::TaskId { value: task },
                uuid,
            }));
        }
        let after = scenario::ALL.iter().copied();
        let mut after = after.filter(|it| it.begins_after() == Some(kind));
        if state == v1::TaskState::TaskRunning
            && life == self.lives
            && let Some(next) = after.find(|it| !self.stories.contains_key(&it.task(life)))
        {
            self.begin_task(next);
        }
        Ok(())
    }
}

/// It died, or was asked to end.
fn died(status: Option<ExitStatus>, is_asked: bool) -> anyhow::Result<()> {
    match status {
        Some(status) if status.signal() != Some(Signal::SIGKILL as i32) && !is_asked => {
            bail!("the agent ended with {status}, which nobody has told it to")
        }
        _ => Ok(()),
    }
}
