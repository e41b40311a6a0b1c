//! What becomes of one app, from one look at the cluster to the next. Pure.

use std::collections::BTreeMap;

use proto::task::is_terminal;
use proto::v1::TaskState;

use super::look::{Fetch, Lack, Look};
use super::outcome;
use crate::task_id::is_of;

/// Looks to wait for the message of a task that failed, before it is told without one.
pub const PATIENCE: u32 = 30;

/// What an app is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// For an offer with enough of everything, or for apps it depends on.
    Waiting(Option<Lack>),
    Fetching,
    Starting,
    Running {
        running: u32,
        wanted: u32,
    },
    /// All instances have ended, and none will be started again.
    Done,
}

/// Something worth telling, or to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    Phase {
        app: String,
        phase: Phase,
    },
    /// How far its files have come.
    Fetch {
        app: String,
        fetch: Fetch,
    },
    Ended {
        task: String,
        state: TaskState,
        message: Option<String>,
    },
    /// Instances that found no room before others had ended may be launched now.
    LaunchRest {
        app: String,
        instances: u32,
    },
}

/// Whether instances that end are started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Forever,
    Once,
}

#[derive(Debug)]
pub struct App {
    /// Canonical.
    pub id: String,
    fetches: bool,
    instances: u32,
    phase: Option<Phase>,
    fetch: Option<Fetch>,
    /// By task id.
    tasks: BTreeMap<String, Known>,
    /// Tasks that had ended when the rest was last asked to be launched.
    asked_after: u32,
}

#[derive(Debug, Clone)]
struct Known {
    /// From 1, in the order in which tasks of the app were first seen.
    number: usize,
    state: TaskState,
    message: Option<String>,
    waited: u32,
    told: bool,
}

impl App {
    pub fn new(id: &str, instances: u32, fetches: bool) -> App {
        App {
            id: id.to_owned(),
            fetches,
            instances,
            phase: None,
            fetch: None,
            tasks: BTreeMap::new(),
            asked_after: 0,
        }
    }

    /// What has changed since the last look.
    pub fn step(&mut self, look: &Look, mode: Mode) -> Vec<Notice> {
        let id = self.id.clone();
        for task in look.tasks.iter().filter(|task| is_of(&task.id, &id)) {
            self.know(&task.id, task.state);
        }
        // A task that the master refused never reached an agent.
        for failure in look
            .failures
            .iter()
            .filter(|failure| is_of(&failure.task, &id))
        {
            let known = self.know(&failure.task, failure.state);
            known.message.get_or_insert_with(|| failure.message.clone());
        }
        let mut notices = self.tell_ends();
        let phase = self.judge(look, mode);
        if self.phase != Some(phase) {
            self.phase = Some(phase);
            notices.push(Notice::Phase {
                app: self.id.clone(),
                phase,
            });
        }
        notices.extend(self.fetch(look));
        notices.extend(self.rest(mode));
        notices
    }

    /// The task's name for people, if it is one of this app: the app, with a number from the second
    /// task on.
    pub fn name(&self, task: &str) -> Option<String> {
        let name = self.id.trim_start_matches('/');
        match self.tasks.get(task)?.number {
            1 => Some(name.to_owned()),
            number => Some(format!("{name}#{number}")),
        }
    }

    /// No instance runs or will run.
    pub fn is_done(&self) -> bool {
        self.phase == Some(Phase::Done)
    }

    pub fn is_fetching(&self) -> bool {
        self.phase == Some(Phase::Fetching)
    }

    /// All instances run: little will change.
    pub fn is_settled(&self) -> bool {
        match self.phase {
            Some(Phase::Running { running, wanted }) => running == wanted,
            Some(Phase::Done) => true,
            Some(Phase::Waiting(_) | Phase::Fetching | Phase::Starting) | None => false,
        }
    }

    /// Exit codes of the tasks that have ended.
    pub fn results(&self) -> impl Iterator<Item = u8> {
        self.ended()
            .map(|known| outcome::exit_code(known.state, known.message.as_deref()))
    }

    fn know(&mut self, task: &str, state: TaskState) -> &mut Known {
        let number = self.tasks.len() + 1;
        let known = self.tasks.entry(task.to_owned()).or_insert(Known {
            number,
            state,
            message: None,
            waited: 0,
            told: false,
        });
        // An end is final, whoever still says otherwise.
        if !is_terminal(known.state) {
            known.state = state;
        }
        known
    }

    fn tell_ends(&mut self) -> Vec<Notice> {
        let mut notices = Vec::new();
        for (id, known) in &mut self.tasks {
            if known.told || !is_terminal(known.state) {
                continue;
            }
            // An end that was wished for needs no reason.
            let is_clear = matches!(known.state, TaskState::TaskFinished | TaskState::TaskKilled)
                || known.message.is_some();
            known.waited += 1;
            if is_clear || known.waited > PATIENCE {
                known.told = true;
                notices.push(Notice::Ended {
                    task: id.clone(),
                    state: known.state,
                    message: known.message.clone(),
                });
            }
        }
        notices
    }

    fn judge(&self, look: &Look, mode: Mode) -> Phase {
        let count = |is: fn(TaskState) -> bool| {
            let tasks = self.tasks.values().filter(|known| is(known.state));
            u32::try_from(tasks.count()).unwrap_or(u32::MAX)
        };
        let told = self.ended().filter(|known| known.told).count();
        if mode == Mode::Once && told >= self.instances as usize {
            return Phase::Done;
        }
        let running = count(|state| state == TaskState::TaskRunning);
        let ended = count(is_terminal);
        if running > 0 {
            let wanted = match mode {
                Mode::Forever => self.instances,
                Mode::Once => self.instances.saturating_sub(ended),
            };
            Phase::Running { running, wanted }
        } else if count(|state| state == TaskState::TaskStarting) > 0 {
            Phase::Starting
        } else if count(|state| state == TaskState::TaskStaging) > 0 {
            if self.fetches {
                Phase::Fetching
            } else {
                Phase::Starting
            }
        } else {
            Phase::Waiting(look.lacks.get(&self.id).copied())
        }
    }

    /// When that has changed.
    fn fetch(&mut self, look: &Look) -> Option<Notice> {
        let own = look
            .fetches
            .iter()
            .filter(|(task, _)| is_of(task, &self.id));
        let fetch = own.map(|(_, fetch)| *fetch).reduce(Fetch::and)?;
        let is_news =
            self.phase == Some(Phase::Fetching) && self.fetch.replace(fetch) != Some(fetch);
        let app = self.id.clone();
        is_news.then_some(Notice::Fetch { app, fetch })
    }

    /// Once everything that was launched has ended and something is missing.
    fn rest(&mut self, mode: Mode) -> Option<Notice> {
        let ended = u32::try_from(self.ended().count()).unwrap_or(u32::MAX);
        let nothing_lives = ended as usize == self.tasks.len();
        let is_new = ended > self.asked_after;
        if mode != Mode::Once || !nothing_lives || !is_new || ended >= self.instances {
            return None;
        }
        self.asked_after = ended;
        Some(Notice::LaunchRest {
            app: self.id.clone(),
            instances: self.instances - ended,
        })
    }

    fn ended(&self) -> impl Iterator<Item = &Known> {
        self.tasks.values().filter(|known| is_terminal(known.state))
    }
}
