//! The life of one custom executor, as a pure machine.
//!
//! ```text
//!            launched              subscribed           asked, time up, nothing to do         ended
//! Launching ─────────► Registering ──────────► Running ───────────────────────────► Terminating ──► Terminated
//!     │                  │ (found again:          ▲ │                                    ▲            ▲
//!     │ asked            │  Reconnecting) ────────┘ └──────────────ended─────────────────│────────────┤
//!     ▼                  └────time up, asked─────────────────────────────────────────────┘            │
//!  Aborting ──launched (then killed)─────────────────────────────────────────────────────┘            │
//!     └───────launch failed, cancelled────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Tasks wait in a queue until the executor is subscribed; from then on it alone says what becomes of them,
//! until its container has ended. Source: spec/mesos-agent.md sections 9, 11, 12 and 13.

mod ends;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use containerizer::Termination;
use proto::v1::executor::{Event as Word, event};
use proto::v1::task_status::Reason;
use proto::v1::{FrameworkInfo, KillPolicy, TaskId, TaskInfo, TaskState, TaskStatus};

use super::tasks::{Assigned, Tasks, Wish};
use crate::excess::Excess;
use crate::task::ending::{self, Report};
use crate::task::machine::Requester;

/// What the framework and the operator have said about the way it may live and end.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub framework: FrameworkInfo,
    /// Between SHUTDOWN and SIGKILL.
    pub grace: Duration,
    /// Between the start of its command and its first SUBSCRIBE.
    pub registration: Duration,
    /// Between the agent's start and its next SUBSCRIBE.
    pub reregistration: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    Launching,
    /// Was asked to end while launching; the launch is being called off.
    Aborting {
        by: Requester,
    },
    /// Its command runs, and has not subscribed.
    Registering {
        deadline: Instant,
    },
    /// An earlier process of this agent had it.
    Reconnecting {
        deadline: Instant,
    },
    Running,
    /// `deadline` is when SIGKILL follows; `None` once it has been sent.
    Terminating {
        cause: Cause,
        deadline: Option<Instant>,
    },
    Terminated,
}

/// Why an executor is being ended: it decides how the ends of its tasks are reported.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    Asked(Requester),
    NotRegistered,
    NotReregistered,
    UpdateFailed(String),
    Excess(Excess),
    /// It never got a task, and there is none for it.
    Idle,
}

/// What connects the executor with this process of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    NeverUp,
    Up,
    Broken,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Launched,
    /// Nothing of the container is left; why, as a sentence.
    LaunchFailed(String),
    LaunchCancelled,
    Task(Box<TaskInfo>),
    /// It cannot be written down, and so is not to begin; why, as a sentence.
    Unwritten {
        task: Box<TaskInfo>,
        why: String,
    },
    KillTask {
        task: String,
        policy: Option<KillPolicy>,
    },
    FromFramework(Vec<u8>),
    /// It is to end, within its own time, or `grace` if that is less.
    ShutDown {
        by: Requester,
        grace: Option<Duration>,
    },
    Subscribed {
        /// Tasks that it has, and nobody has acknowledged anything of.
        tasks: BTreeSet<String>,
        updates: Vec<TaskStatus>,
    },
    Update(Box<TaskStatus>),
    FromExecutor(Vec<u8>),
    Disconnected,
    /// The container has not got what its tasks are to have; why, as a sentence.
    UpdateFailed(String),
    /// It goes beyond what it and its tasks may have.
    Exceeds(Excess),
    /// The moment of `wake_at` may have come.
    Woke,
    /// No process of the container is left.
    Ended(Box<Termination>),
    /// An earlier process of this agent had it, and nothing of it is there, not even how it ended.
    Vanished {
        rebooted: bool,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The new connection takes the place of the old one, and hears who the executor is.
    Welcome,
    Say(Box<Word>),
    Disconnect,
    /// Writes down that the task is handed over, and sends it.
    HandOver(Box<TaskInfo>),
    /// Writes down that the task is to be killed.
    NoteKill {
        task: String,
        policy: Option<KillPolicy>,
    },
    /// What the executor says of a task goes on its way to the scheduler.
    Forward(Box<TaskStatus>),
    /// What the agent says of one.
    Report {
        task: String,
        report: Report,
    },
    /// Tasks have come: the container is to have what they need.
    Grow,
    /// Tasks have ended.
    Shrink,
    ToFramework(Vec<u8>),
    CancelLaunch,
    /// SIGKILL to the whole container.
    Kill,
    /// The executor is no more, with this raw wait(2) status; -1 where that is not known.
    Exited(i32),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    pub policy: Policy,
    pub phase: Phase,
    pub line: Line,
    pub tasks: Tasks,
}

impl Machine {
    /// An executor whose launch begins.
    pub fn start(policy: Policy) -> Machine {
        Machine::resume(policy, Phase::Launching, Tasks::default())
    }

    pub fn resume(policy: Policy, phase: Phase, tasks: Tasks) -> Machine {
        Machine {
            policy,
            phase,
            line: Line::NeverUp,
            tasks,
        }
    }

    /// When `Woke` should be sent.
    pub fn wake_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Launching | Phase::Aborting { .. } | Phase::Running | Phase::Terminated => None,
            Phase::Registering { deadline } | Phase::Reconnecting { deadline } => Some(deadline),
            Phase::Terminating { deadline, .. } => deadline,
        }
    }

    /// Takes `event` at the time `now` and says what must be done, in order.
    pub fn step(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        match event {
            Event::Launched => self.on_launched(now),
            Event::LaunchFailed(why) => self.on_launch_failed(why),
            Event::LaunchCancelled => self.on_launch_cancelled(),
            Event::Task(task) => self.on_task(*task),
            Event::Unwritten { task, why } => {
                let id = task.task_id.value.clone();
                self.tasks.add(Assigned::new(*task));
                let report = self.report(&id, ending::launch_failed(why));
                [report].into_iter().chain(self.end_if_idle(now)).collect()
            }
            Event::KillTask { task, policy } => self.on_kill_task(&task, policy, now),
            Event::FromFramework(data) => self.say(word(event::Type::Message, |word| {
                word.message = Some(event::Message { data });
            })),
            Event::ShutDown { by, grace } => {
                let own = self.policy.grace;
                let grace = grace.map_or(own, |grace| grace.min(own));
                self.end(Cause::Asked(by), now + grace)
            }
            Event::Subscribed { tasks, updates } => self.on_subscribed(&tasks, updates, now),
            Event::Update(status) => self.on_update(*status),
            Event::FromExecutor(data) => vec![Effect::ToFramework(data)],
            Event::Disconnected => {
                self.line = Line::Broken;
                vec![]
            }
            Event::UpdateFailed(why) => self.kill(Cause::UpdateFailed(why)),
            Event::Exceeds(excess) => self.on_excess(excess),
            Event::Woke => self.on_woke(now),
            Event::Ended(termination) => self.on_ended(&termination),
            Event::Vanished { rebooted } => self.on_vanished(rebooted),
        }
    }

    fn on_launched(&mut self, now: Instant) -> Vec<Effect> {
        match self.phase {
            Phase::Launching => {
                let deadline = now + self.policy.registration;
                self.phase = Phase::Registering { deadline };
                vec![]
            }
            Phase::Aborting { by } => self.kill(Cause::Asked(by)),
            Phase::Registering { .. }
            | Phase::Reconnecting { .. }
            | Phase::Running
            | Phase::Terminating { .. }
            | Phase::Terminated => vec![],
        }
    }

    fn on_launch_failed(&mut self, why: String) -> Vec<Effect> {
        match self.phase {
            Phase::Launching => self.over(-1, |_| ending::launch_failed(why.clone())),
            // Who asked for the end gets it; why the launch failed no longer matters.
            Phase::Aborting { .. } => self.on_launch_cancelled(),
            Phase::Registering { .. }
            | Phase::Reconnecting { .. }
            | Phase::Running
            | Phase::Terminating { .. }
            | Phase::Terminated => vec![],
        }
    }

    fn on_launch_cancelled(&mut self) -> Vec<Effect> {
        let by = match self.phase {
            Phase::Aborting { by } => by,
            Phase::Launching => Requester::Unknown,
            Phase::Registering { .. }
            | Phase::Reconnecting { .. }
            | Phase::Running
            | Phase::Terminating { .. }
            | Phase::Terminated => return vec![],
        };
        self.over(-1, |_| ending::killed_during_launch(by))
    }

    fn on_task(&mut self, task: TaskInfo) -> Vec<Effect> {
        let (id, framework) = (task.task_id.value.clone(), &self.policy.framework);
        let refused = |message| ending::dropped(framework, Reason::ExecutorTerminated, message);
        let refused = match self.phase {
            Phase::Aborting { .. } | Phase::Terminating { .. } => refused("Executor terminating"),
            Phase::Terminated => refused("Executor terminated"),
            Phase::Launching
            | Phase::Registering { .. }
            | Phase::Reconnecting { .. }
            | Phase::Running => {
                self.tasks.add(Assigned::new(task));
                return self.hand_over();
            }
        };
        self.tasks.add(Assigned::new(task));
        vec![self.report(&id, refused)]
    }

    /// Tasks are handed over as they come.
    pub fn listens(&self) -> bool {
        self.phase == Phase::Running && self.line == Line::Up
    }

    /// To an executor that listens, what waits for it.
    fn hand_over(&mut self) -> Vec<Effect> {
        if !self.listens() || !self.tasks.has_queued() {
            return vec![];
        }
        let handed = self.tasks.hand_over().into_iter();
        let handed = handed.map(|task| Effect::HandOver(Box::new(task)));
        [Effect::Grow].into_iter().chain(handed).collect()
    }

    fn on_kill_task(&mut self, id: &str, policy: Option<KillPolicy>, now: Instant) -> Vec<Effect> {
        let Some(task) = self.tasks.get_mut(id).filter(|task| !task.has_ended()) else {
            return vec![];
        };
        if task.handed_over {
            task.kill = Wish::Kill(policy);
            let task = id.to_owned();
            let noted = Effect::NoteKill { task, policy };
            return [noted]
                .into_iter()
                .chain(self.say(kill(id, policy)))
                .collect();
        }
        let report = ending::killed_during_launch(Requester::Framework);
        let mut effects = vec![self.report(id, report)];
        effects.extend(self.end_if_idle(now));
        effects
    }

    fn on_subscribed(
        &mut self,
        held: &BTreeSet<String>,
        updates: Vec<TaskStatus>,
        now: Instant,
    ) -> Vec<Effect> {
        self.line = Line::Up;
        match self.phase {
            Phase::Registering { .. } | Phase::Reconnecting { .. } | Phase::Running => {}
            Phase::Launching => {}
            Phase::Aborting { .. } | Phase::Terminating { .. } | Phase::Terminated => {
                self.line = Line::Broken;
                let shutdown = Effect::Say(Box::new(word(event::Type::Shutdown, |_| {})));
                return vec![Effect::Welcome, shutdown, Effect::Disconnect];
            }
        }
        // It may be quicker than the word that its launch is over.
        self.phase = Phase::Running;
        let mut effects = vec![Effect::Welcome];
        for update in updates {
            effects.extend(self.on_update(update));
        }
        let never_came = |task: &&Assigned| {
            let id = &task.info.task_id.value;
            task.handed_over && task.state == TaskState::TaskStaging && !held.contains(id)
        };
        let lost: Vec<String> = (self.tasks.live().filter(never_came))
            .map(|task| task.info.task_id.value.clone())
            .collect();
        for id in lost {
            let report = ending::never_ran(&self.policy.framework);
            effects.push(self.report(&id, report));
        }
        let idle = self.end_if_idle(now);
        if !idle.is_empty() {
            effects.extend(idle);
            return effects;
        }
        effects.extend(self.hand_over());
        // An earlier connection may have broken before they were heard.
        for task in self.tasks.live() {
            if let Wish::Kill(policy) = task.kill {
                let word = kill(&task.info.task_id.value, policy);
                effects.push(Effect::Say(Box::new(word)));
            }
        }
        effects
    }

    fn on_update(&mut self, status: TaskStatus) -> Vec<Effect> {
        let (id, state) = (status.task_id.clone(), status.state());
        let uuid = status.uuid().to_vec();
        let stored = word(event::Type::Acknowledged, |word| {
            word.acknowledged = Some(event::Acknowledged {
                task_id: id.clone(),
                uuid: uuid.clone(),
            });
        });
        let stored = Effect::Say(Box::new(stored));
        let Some(task) = self.tasks.get_mut(&id.value) else {
            return vec![stored];
        };
        if task.has_ended() || !task.take(state, &uuid) {
            return vec![stored];
        }
        let has_ended = task.has_ended();
        self.tasks.spoken_of(&id.value);
        let forward = Effect::Forward(Box::new(status));
        match has_ended {
            true => vec![Effect::Shrink, forward, stored],
            false => vec![forward, stored],
        }
    }

    fn report(&mut self, id: &str, report: Report) -> Effect {
        self.tasks.end(id, report.state);
        Effect::Report {
            task: id.to_owned(),
            report,
        }
    }

    /// What nobody listens to is not said.
    fn say(&self, word: Word) -> Vec<Effect> {
        match self.line {
            Line::Up => vec![Effect::Say(Box::new(word))],
            Line::NeverUp | Line::Broken => vec![],
        }
    }
}

fn word(kind: event::Type, fill: impl FnOnce(&mut Word)) -> Word {
    let mut word = Word {
        r#type: Some(kind as i32),
        ..Word::default()
    };
    fill(&mut word);
    word
}

fn kill(id: &str, kill_policy: Option<KillPolicy>) -> Word {
    word(event::Type::Kill, |word| {
        word.kill = Some(event::Kill {
            task_id: TaskId {
                value: id.to_owned(),
            },
            kill_policy,
        });
    })
}

#[cfg(test)]
mod tests;
