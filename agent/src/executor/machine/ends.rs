//! How an executor comes to its end, and its tasks with it.

use std::time::Instant;

use containerizer::{ExitStatus, Termination};
use proto::v1::executor::event;

use super::{Assigned, Cause, Effect, Line, Machine, Phase, Requester, word};
use crate::excess::Excess;
use crate::task::ending::{self, Report, executors};

impl Machine {
    pub(super) fn end_if_idle(&mut self, now: Instant) -> Vec<Effect> {
        match self.tasks.served || self.tasks.has_queued() {
            true => vec![],
            false => self.end(Cause::Idle, now + self.policy.grace),
        }
    }

    pub(super) fn on_woke(&mut self, now: Instant) -> Vec<Effect> {
        let cause = match &self.phase {
            Phase::Registering { deadline } if *deadline <= now => Cause::NotRegistered,
            Phase::Reconnecting { deadline } if *deadline <= now => Cause::NotReregistered,
            Phase::Terminating {
                cause,
                deadline: Some(deadline),
            } if *deadline <= now => cause.clone(),
            Phase::Launching
            | Phase::Aborting { .. }
            | Phase::Registering { .. }
            | Phase::Reconnecting { .. }
            | Phase::Running
            | Phase::Terminating { .. }
            | Phase::Terminated => return vec![],
        };
        self.kill(cause)
    }

    /// Asks it to end, until `deadline`.
    pub(super) fn end(&mut self, cause: Cause, deadline: Instant) -> Vec<Effect> {
        match (&self.phase, cause) {
            (Phase::Launching, cause) => {
                let by = match cause {
                    Cause::Asked(by) => by,
                    // It has had its only task killed.
                    _ => Requester::Framework,
                };
                self.phase = Phase::Aborting { by };
                vec![Effect::CancelLaunch]
            }
            // It has never had anything to bring to an end.
            (Phase::Registering { .. }, cause) => self.kill(cause),
            (Phase::Reconnecting { .. } | Phase::Running, cause) => {
                let deadline = Some(deadline);
                self.phase = Phase::Terminating { cause, deadline };
                self.say(word(event::Type::Shutdown, |_| {}))
            }
            // A later wish may shorten the wait, and never prolongs it.
            (
                Phase::Terminating {
                    cause,
                    deadline: Some(earlier),
                },
                _,
            ) => {
                self.phase = Phase::Terminating {
                    cause: cause.clone(),
                    deadline: Some(deadline.min(*earlier)),
                };
                vec![]
            }
            (
                Phase::Aborting { .. }
                | Phase::Terminating { deadline: None, .. }
                | Phase::Terminated,
                _,
            ) => vec![],
        }
    }

    /// No grace: each moment takes more.
    pub(super) fn on_excess(&mut self, excess: Excess) -> Vec<Effect> {
        match &self.phase {
            Phase::Registering { .. } | Phase::Reconnecting { .. } | Phase::Running => {
                self.kill(Cause::Excess(excess))
            }
            Phase::Terminating {
                cause,
                deadline: Some(_),
            } => self.kill(cause.clone()),
            // What takes too much before it runs is the fetcher's to stop.
            Phase::Launching
            | Phase::Aborting { .. }
            | Phase::Terminating { deadline: None, .. }
            | Phase::Terminated => vec![],
        }
    }

    pub(super) fn kill(&mut self, cause: Cause) -> Vec<Effect> {
        if self.phase == Phase::Terminated {
            return vec![];
        }
        let deadline = None;
        self.phase = Phase::Terminating { cause, deadline };
        vec![Effect::Kill]
    }

    pub(super) fn on_ended(&mut self, termination: &Termination) -> Vec<Effect> {
        let cause = match &self.phase {
            Phase::Terminated => return vec![],
            Phase::Terminating { cause, .. } => Some(cause.clone()),
            Phase::Aborting { by } => Some(Cause::Asked(*by)),
            Phase::Launching
            | Phase::Registering { .. }
            | Phase::Reconnecting { .. }
            | Phase::Running => None,
        };
        let policy = self.policy.clone();
        let report = match cause {
            None | Some(Cause::Idle) => executors::terminated(termination, None),
            Some(Cause::Asked(by)) => executors::terminated(termination, Some(by)),
            Some(Cause::NotRegistered) => executors::not_registered(policy.registration),
            Some(Cause::NotReregistered) => {
                executors::not_reregistered(&policy.framework, policy.reregistration)
            }
            Some(Cause::Excess(excess)) => ending::exceeded(&excess),
            Some(Cause::UpdateFailed(why)) => executors::update_failed(&policy.framework, &why),
        };
        self.over(raw(termination.status), |_| report.clone())
    }

    pub(super) fn on_vanished(&mut self, rebooted: bool) -> Vec<Effect> {
        let framework = self.policy.framework.clone();
        self.over(-1, |task| match task.handed_over {
            true => ending::vanished(&framework, rebooted),
            false => ending::never_ran(&framework),
        })
    }

    /// Nothing of it is left: each of its tasks has ended with it.
    pub(super) fn over(
        &mut self,
        status: i32,
        report: impl Fn(&Assigned) -> Report,
    ) -> Vec<Effect> {
        self.phase = Phase::Terminated;
        self.line = Line::Broken;
        let ends: Vec<_> = (self.tasks.live())
            .map(|task| (task.info.task_id.value.clone(), report(task)))
            .collect();
        let mut effects: Vec<_> = (ends.into_iter())
            .map(|(id, report)| self.report(&id, report))
            .collect();
        effects.extend([Effect::Disconnect, Effect::Exited(status)]);
        effects
    }
}

/// As wait(2) has it.
fn raw(status: Option<ExitStatus>) -> i32 {
    match status {
        Some(ExitStatus::Exited(code)) => code << 8,
        Some(ExitStatus::Signaled(signal)) => signal,
        None => -1,
    }
}
