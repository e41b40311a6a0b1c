//! A kill that goes on, as it is written down: the next process of this agent carries it to its end.

use std::time::{Duration, Instant};

use proto::v1::{DurationInfo, KillPolicy};

use super::machine::{Cause, Phase, Requester};
use crate::clock::{Clock, milliseconds};
use crate::excess::Excess;

/// On the disk: numbers are not to be given to others.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Killing {
    #[prost(enumeration = "Why", tag = "1")]
    pub why: i32,
    /// Before the task ran.
    #[prost(bool, tag = "2")]
    pub during_launch: bool,
    /// Of the SIGKILL, in milliseconds since 1970.
    #[prost(uint64, tag = "3")]
    pub deadline: u64,
    /// How long that was to wait when this was written, in milliseconds.
    #[prost(uint64, tag = "4")]
    pub grace: u64,
    /// How far it went.
    #[prost(oneof = "Excess", tags = "5, 7")]
    pub excess: Option<Excess>,
    /// Of the SIGKILL, in milliseconds since the kernel started: who is to be killed has lived no longer.
    #[prost(uint64, optional, tag = "6")]
    pub boot_deadline: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Why {
    Unknown = 0,
    Framework = 1,
    FrameworkOfExecutor = 2,
    Agent = 3,
    TimeUp = 4,
    Excess = 5,
    Drain = 6,
    HealthCheck = 7,
    Group = 8,
    GroupsExecutor = 9,
}

impl Killing {
    /// What is to be written down when a task has come from one phase to another. Pure.
    pub fn begun(before: &Phase, after: &Phase, now: Instant, clock: Clock) -> Option<Self> {
        if before == after {
            return None;
        }
        let (why, during_launch, deadline) = match after {
            Phase::Aborting { by } => (Why::of(*by), true, now),
            Phase::Killing {
                cause: Cause::Asked(by),
                deadline: Some(deadline),
            } => (Why::of(*by), false, *deadline),
            Phase::Killing {
                cause: Cause::TimeUp,
                ..
            } => (Why::TimeUp, false, now),
            Phase::Killing {
                cause: Cause::Excess,
                ..
            } => (Why::Excess, false, now),
            // The same kill, further on.
            Phase::Killing { .. } => return None,
            Phase::Fetching | Phase::Launching | Phase::Running { .. } | Phase::Ended => {
                return None;
            }
        };
        let grace = milliseconds(deadline.saturating_duration_since(now));
        Some(Self {
            why: why as i32,
            during_launch,
            deadline: clock.wall_ms().saturating_add(grace),
            grace,
            excess: None,
            boot_deadline: Some(clock.boot_ms().saturating_add(grace)),
        })
    }

    /// The phase of a task whose container is still there. Pure. Whoever sets the wall clock changes nothing of
    /// its time.
    pub fn phase(&self, now: Instant, clock: Clock) -> Phase {
        let left = match self.boot_deadline {
            Some(deadline) => deadline.saturating_sub(clock.boot_ms()),
            // An earlier version of this program has written it.
            None => self.deadline.saturating_sub(clock.wall_ms()),
        };
        Phase::Killing {
            cause: match (self.why(), self.during_launch) {
                (Why::TimeUp, _) => Cause::TimeUp,
                (Why::Excess, _) => Cause::Excess,
                (_, true) => Cause::DuringLaunch(self.by()),
                (_, false) => Cause::Asked(self.by()),
            },
            deadline: Some(now + Duration::from_millis(left.min(self.grace))),
        }
    }

    pub fn by(&self) -> Requester {
        match self.why() {
            Why::Framework => Requester::Framework,
            Why::FrameworkOfExecutor => Requester::FrameworkOfExecutor,
            Why::Agent => Requester::Agent,
            Why::Drain => Requester::Drain,
            Why::HealthCheck => Requester::HealthCheck,
            Why::Group => Requester::Group,
            Why::GroupsExecutor => Requester::GroupsExecutor,
            Why::Unknown | Why::TimeUp | Why::Excess => Requester::Unknown,
        }
    }
}

/// Of a task whose executor is to kill it: when is for that to know.
impl Killing {
    pub fn by_executor(policy: Option<KillPolicy>) -> Self {
        let grace = policy.and_then(|policy| policy.grace_period);
        let grace = grace.map(|grace| milliseconds(super::duration(&grace)));
        Self {
            why: Why::Framework as i32,
            during_launch: false,
            // Zero where nothing was said.
            deadline: u64::from(grace.is_some()),
            grace: grace.unwrap_or_default(),
            excess: None,
            boot_deadline: None,
        }
    }

    pub fn kill_policy(&self) -> Option<KillPolicy> {
        (self.deadline != 0).then(|| KillPolicy {
            grace_period: Some(DurationInfo {
                nanoseconds: i64::try_from(self.grace.saturating_mul(1_000_000))
                    .unwrap_or(i64::MAX),
            }),
        })
    }
}

impl Why {
    fn of(by: Requester) -> Self {
        match by {
            Requester::Framework => Self::Framework,
            Requester::FrameworkOfExecutor => Self::FrameworkOfExecutor,
            Requester::Agent => Self::Agent,
            Requester::Drain => Self::Drain,
            Requester::HealthCheck => Self::HealthCheck,
            Requester::Group => Self::Group,
            Requester::GroupsExecutor => Self::GroupsExecutor,
            Requester::Unknown => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_kill_goes_on_for_the_time_that_is_left_of_it() {
        let (now, clock) = (Instant::now(), Clock::read());
        let cause = Cause::Asked(Requester::Framework);
        let deadline = Some(now + 10 * SECOND);
        let asked = Phase::Killing { cause, deadline };
        let running = Phase::Running { time_up: None };
        let mut killing = Killing::begun(&running, &asked, now, clock).unwrap();
        let left = |killing: &Killing, later: Clock| match killing.phase(now, later) {
            Phase::Killing {
                cause: found,
                deadline: Some(deadline),
            } if found == cause => deadline - now,
            other => panic!("{other:?}"),
        };
        let later = clock.later(4 * SECOND);
        assert_eq!(left(&killing, later), 6 * SECOND);
        for set in [later.set_forward(40 * DAY), later.set_back(40 * DAY)] {
            assert_eq!(left(&killing, set), 6 * SECOND);
        }
        assert_eq!(left(&killing, clock.later(40 * SECOND)), Duration::ZERO);
        // Of an earlier version: a clock that was set back does not prolong its time.
        killing.boot_deadline = None;
        assert_eq!(left(&killing, later), 6 * SECOND);
        assert_eq!(left(&killing, later.set_back(DAY)), 10 * SECOND);
    }

    #[test]
    fn only_what_a_next_process_must_know_is_written_down() {
        let (now, clock) = (Instant::now(), Clock::read());
        let by = Requester::Framework;
        let killing = |cause, deadline| Phase::Killing { cause, deadline };
        let running = Phase::Running { time_up: None };
        let (early, late) = (Some(now), Some(now + SECOND));
        let asked = Cause::Asked(by);
        let table = [
            (Phase::Launching, Phase::Aborting { by }, true),
            (running.clone(), killing(asked, late), true),
            (killing(asked, late), killing(asked, early), true),
            (killing(asked, late), killing(asked, late), false),
            (killing(asked, late), killing(asked, None), false),
            (running.clone(), killing(Cause::TimeUp, None), true),
            (running.clone(), killing(Cause::Excess, None), true),
            (
                Phase::Aborting { by },
                killing(Cause::DuringLaunch(by), None),
                false,
            ),
            (Phase::Launching, running.clone(), false),
            (running, Phase::Ended, false),
        ];
        for (before, after, wanted) in table {
            let begun = Killing::begun(&before, &after, now, clock);
            assert_eq!(begun.is_some(), wanted, "{before:?} {after:?}");
        }
        let aborting = Killing::begun(&Phase::Launching, &Phase::Aborting { by }, now, clock);
        let phase = aborting.unwrap().phase(now, clock);
        assert_eq!(phase, killing(Cause::DuringLaunch(by), early));
    }
}
