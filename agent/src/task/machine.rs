//! The life of one task, as a pure machine.
//!
//! ```text
//!          fetched           launched         kill, time up          ended
//! Fetching ───────► Launching ───────► Running ────────────► Killing ─────► Ended
//!    │                │  │                └─────────────────────ended────────►▲
//!    ├────────────────│──┴─launch failed──────────────────────────────────────┤
//!    │ kill           │ kill                                                  │
//!    └────────────────┴────► Aborting ──launched (then killed)──► Killing     │
//!                                └─────launch failed, cancelled───────────────┘
//! ```
//!
//! A kill that arrives during the launch ends that at once; `launched` may have been on its way.
//! Source: spec/mesos-agent.md sections 10.1, 12 and 13.

use std::time::{Duration, Instant};

use containerizer::Termination;
use proto::v1::TaskState;

use super::ending::{self, Report};
use crate::excess::Excess;

/// What the framework and the task have said about the way it may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Between SIGTERM and SIGKILL, when the kill itself names no time.
    pub grace: Duration,
    /// The framework wants to hear TASK_KILLING.
    pub reports_killing: bool,
    /// The task may run this long.
    pub max_completion_time: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Its files are on the way: the task is staging.
    Fetching,
    /// On the way into its container: the task is starting.
    Launching,
    /// Was killed while launching; the launch is being called off.
    Aborting {
        by: Requester,
    },
    Running {
        time_up: Option<Instant>,
    },
    /// `deadline` is when SIGKILL follows; `None` once it has been sent.
    Killing {
        cause: Cause,
        deadline: Option<Instant>,
    },
    Ended,
}

/// Why a task is being killed: it decides how its end is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Asked(Requester),
    DuringLaunch(Requester),
    TimeUp,
    /// `Machine::excess` says how.
    Excess,
}

/// On whose request a task is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    Framework,
    /// It asked the task's executor to end, and the task with it.
    FrameworkOfExecutor,
    /// The framework is gone, or the agent goes away, and what it cannot keep goes with it.
    Agent,
    /// The agent is drained, and the deadline of that has come.
    Drain,
    /// Its health check failed too often.
    HealthCheck,
    /// Another task of its group did not end well.
    Group,
    /// What it shared with its group is no more.
    GroupsExecutor,
    /// Whoever asked an earlier process of this agent.
    Unknown,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// What it needs is still on its way; how far that has come, as a sentence.
    Fetching(String),
    /// All that it needs is in its sandbox; what that was, as a sentence.
    Fetched(Option<String>),
    /// The command runs.
    Launched,
    /// Nothing of the container is left; why, as a sentence.
    LaunchFailed(String),
    /// The launch was called off as `CancelLaunch` asked; nothing of the container is left.
    LaunchCancelled,
    Kill {
        grace: Option<Duration>,
        by: Requester,
    },
    /// It goes beyond what it may have.
    Exceeds(Excess),
    /// The moment of `wake_at` may have come.
    Woke,
    /// No process of the container is left.
    Ended(Box<Termination>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Report(Report),
    CancelLaunch,
    /// SIGTERM to the whole container.
    Terminate,
    /// SIGKILL to the whole container.
    Kill,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub policy: Policy,
    pub phase: Phase,
    /// Why it is killed, if it is for that.
    pub excess: Option<Excess>,
}

impl Machine {
    /// A task that was accepted. A command executor, which its framework believes in, says that it
    /// is starting only once it runs itself, after the fetch.
    pub fn start(policy: Policy) -> Machine {
        Machine {
            policy,
            phase: Phase::Fetching,
            excess: None,
        }
    }

    /// When `Woke` should be sent.
    pub fn wake_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Fetching | Phase::Launching | Phase::Aborting { .. } | Phase::Ended => None,
            Phase::Running { time_up } => time_up,
            Phase::Killing { deadline, .. } => deadline,
        }
    }

    /// Takes `event` at the time `now` and says what must be done, in order.
    pub fn step(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let (phase, effects) = match event {
            Event::Fetching(said) => self.on_fetching(said),
            Event::Fetched(said) => self.on_fetched(said),
            Event::Launched => self.on_launched(now),
            Event::LaunchFailed(why) => self.on_launch_failed(why),
            Event::LaunchCancelled => self.on_launch_cancelled(),
            Event::Kill { grace, by } => self.on_kill(now + grace.unwrap_or(self.policy.grace), by),
            Event::Exceeds(excess) => self.on_excess(excess),
            Event::Woke => self.on_woke(now),
            Event::Ended(termination) => self.on_ended(&termination),
        };
        self.phase = phase;
        effects
    }

    fn on_fetching(&self, said: String) -> (Phase, Vec<Effect>) {
        match self.phase {
            Phase::Fetching => {
                let staging = Effect::Report(ending::fetching(said));
                (Phase::Fetching, vec![staging])
            }
            Phase::Launching
            | Phase::Aborting { .. }
            | Phase::Running { .. }
            | Phase::Killing { .. }
            | Phase::Ended => self.unmoved(),
        }
    }

    fn on_fetched(&self, said: Option<String>) -> (Phase, Vec<Effect>) {
        match self.phase {
            Phase::Fetching => {
                let mut starting = Report::executor(TaskState::TaskStarting);
                starting.message = said;
                (Phase::Launching, vec![Effect::Report(starting)])
            }
            Phase::Launching
            | Phase::Aborting { .. }
            | Phase::Running { .. }
            | Phase::Killing { .. }
            | Phase::Ended => self.unmoved(),
        }
    }

    fn on_launched(&self, now: Instant) -> (Phase, Vec<Effect>) {
        match self.phase {
            Phase::Fetching | Phase::Launching => {
                let time_up = self.policy.max_completion_time.map(|limit| now + limit);
                let running = Effect::Report(Report::executor(TaskState::TaskRunning));
                (Phase::Running { time_up }, vec![running])
            }
            Phase::Aborting { by } => {
                let killing = Phase::Killing {
                    cause: Cause::DuringLaunch(by),
                    deadline: None,
                };
                (killing, vec![Effect::Kill])
            }
            Phase::Running { .. } | Phase::Killing { .. } | Phase::Ended => self.unmoved(),
        }
    }

    fn on_launch_failed(&self, why: String) -> (Phase, Vec<Effect>) {
        match self.phase {
            Phase::Fetching | Phase::Launching => (
                Phase::Ended,
                vec![Effect::Report(ending::launch_failed(why))],
            ),
            // The framework asked for the end and gets it; why the launch failed no longer matters.
            Phase::Aborting { .. } => self.on_launch_cancelled(),
            Phase::Running { .. } | Phase::Killing { .. } | Phase::Ended => self.unmoved(),
        }
    }

    fn on_launch_cancelled(&self) -> (Phase, Vec<Effect>) {
        let by = match self.phase {
            Phase::Aborting { by } => by,
            Phase::Fetching | Phase::Launching => Requester::Unknown,
            Phase::Running { .. } | Phase::Killing { .. } | Phase::Ended => return self.unmoved(),
        };
        let report = ending::killed_during_launch(by);
        (Phase::Ended, vec![Effect::Report(report)])
    }

    fn on_kill(&self, asked: Instant, by: Requester) -> (Phase, Vec<Effect>) {
        match self.phase {
            Phase::Fetching | Phase::Launching => {
                (Phase::Aborting { by }, vec![Effect::CancelLaunch])
            }
            Phase::Running { .. } => {
                let killing = Phase::Killing {
                    cause: Cause::Asked(by),
                    deadline: Some(asked),
                };
                let mut effects = Vec::new();
                if self.policy.reports_killing {
                    effects.push(Effect::Report(ending::killing(by)));
                }
                effects.push(Effect::Terminate);
                (killing, effects)
            }
            // Schedulers repeat kills. A later one may shorten the wait, and never prolongs it.
            Phase::Killing {
                cause,
                deadline: Some(deadline),
            } => (
                Phase::Killing {
                    cause,
                    deadline: Some(deadline.min(asked)),
                },
                vec![],
            ),
            Phase::Aborting { .. } | Phase::Killing { deadline: None, .. } | Phase::Ended => {
                self.unmoved()
            }
        }
    }

    /// No grace: each moment takes more.
    fn on_excess(&mut self, excess: Excess) -> (Phase, Vec<Effect>) {
        match self.phase {
            Phase::Running { .. } => {
                self.excess = Some(excess);
                let cause = Cause::Excess;
                let deadline = None;
                (Phase::Killing { cause, deadline }, vec![Effect::Kill])
            }
            Phase::Killing {
                cause,
                deadline: Some(_),
            } => {
                let deadline = None;
                (Phase::Killing { cause, deadline }, vec![Effect::Kill])
            }
            // What takes too much before it runs is the fetcher's to stop.
            Phase::Fetching
            | Phase::Launching
            | Phase::Aborting { .. }
            | Phase::Killing { deadline: None, .. }
            | Phase::Ended => self.unmoved(),
        }
    }

    fn on_woke(&self, now: Instant) -> (Phase, Vec<Effect>) {
        match self.phase {
            Phase::Running {
                time_up: Some(time_up),
            } if time_up <= now => (
                Phase::Killing {
                    cause: Cause::TimeUp,
                    deadline: None,
                },
                vec![Effect::Kill],
            ),
            Phase::Killing {
                cause,
                deadline: Some(deadline),
            } if deadline <= now => (
                Phase::Killing {
                    cause,
                    deadline: None,
                },
                vec![Effect::Kill],
            ),
            Phase::Fetching
            | Phase::Launching
            | Phase::Aborting { .. }
            | Phase::Running { .. }
            | Phase::Killing { .. }
            | Phase::Ended => self.unmoved(),
        }
    }

    fn on_ended(&self, termination: &Termination) -> (Phase, Vec<Effect>) {
        let report = match self.phase {
            // Launched and over before anyone said so, or found dead after a restart.
            Phase::Fetching | Phase::Launching | Phase::Running { .. } => {
                ending::by_itself(termination)
            }
            Phase::Aborting { by } => ending::killed_during_launch(by),
            Phase::Killing { cause, deadline } => match cause {
                Cause::Asked(by) if deadline.is_none() => ending::killed_at_last(termination, by),
                Cause::Asked(by) => ending::killed(termination, by),
                Cause::DuringLaunch(by) => ending::killed_during_launch(by),
                Cause::TimeUp => {
                    ending::time_up(self.policy.max_completion_time.unwrap_or_default())
                }
                Cause::Excess => ending::exceeded(&self.excess.clone().unwrap_or_default()),
            },
            Phase::Ended => return self.unmoved(),
        };
        (Phase::Ended, vec![Effect::Report(report)])
    }

    fn unmoved(&self) -> (Phase, Vec<Effect>) {
        (self.phase.clone(), vec![])
    }
}

#[cfg(test)]
mod tests;
