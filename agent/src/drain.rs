//! A drain, as it is written down and told: no new tasks; those that run end by themselves, or at a
//! deadline by a kill. Pure.
//!
//! Source: spec/mesos-agent.md section 13. There every task is killed at once: a deadline is ours.

use std::time::Duration;

use proto::v1;

use crate::clock::{Clock, milliseconds};
use crate::host::boot_id;
use crate::task::duration;

/// On the disk: numbers are not to be given to others. The first are those of Mesos' `DrainConfig`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Drain {
    /// The longest that a task has between SIGTERM and SIGKILL.
    #[prost(message, optional, tag = "1")]
    pub max_grace_period: Option<v1::DurationInfo>,
    /// Milliseconds since 1970.
    #[prost(uint64, tag = "101")]
    pub since: u64,
    /// When what still runs is killed; without one it is waited for.
    #[prost(uint64, optional, tag = "102")]
    pub deadline: Option<u64>,
    /// In which boot it was begun.
    #[prost(string, optional, tag = "103")]
    pub boot_id: Option<String>,
    /// The deadline in milliseconds since that.
    #[prost(uint64, optional, tag = "104")]
    pub boot_deadline: Option<u64>,
}

/// When, and in which boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    pub clock: Clock,
    pub boot_id: Option<String>,
}

impl Moment {
    pub fn now() -> Moment {
        Moment {
            clock: Clock::read(),
            boot_id: boot_id(),
        }
    }
}

/// What somebody asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    pub max_grace_period: Option<Duration>,
    /// From now on; zero kills at once.
    pub deadline: Option<Duration>,
}

impl Drain {
    pub fn begun(wish: &Wish, now: &Moment) -> Drain {
        let since = now.clock.wall_ms();
        let after =
            |start: u64| (wish.deadline).map(|time| start.saturating_add(milliseconds(time)));
        let nanoseconds = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        Drain {
            max_grace_period: wish.max_grace_period.map(|time| v1::DurationInfo {
                nanoseconds: nanoseconds(time),
            }),
            since,
            deadline: after(since),
            boot_id: now.boot_id.clone(),
            boot_deadline: after(now.clock.boot_ms()),
        }
    }

    /// What is left until the deadline; zero when it has come. Only a reboot makes the wall clock count, and
    /// one that was set back prolongs nothing.
    pub fn left(&self, now: &Moment) -> Option<Duration> {
        let left = match self.boot_deadline {
            Some(deadline) if self.boot_id.is_some() && self.boot_id == now.boot_id => {
                deadline.saturating_sub(now.clock.boot_ms())
            }
            _ => {
                let left = self.deadline?.saturating_sub(now.clock.wall_ms());
                left.min(self.deadline?.saturating_sub(self.since))
            }
        };
        Some(Duration::from_millis(left))
    }

    pub fn max_grace(&self) -> Option<Duration> {
        self.max_grace_period.as_ref().map(duration)
    }

    /// In seconds since 1970, as Mesos tells it.
    pub fn since_seconds(&self) -> u64 {
        self.since / 1000
    }

    pub fn config(&self) -> v1::DrainConfig {
        v1::DrainConfig {
            max_grace_period: self.max_grace_period,
            mark_gone: Some(false),
        }
    }

    pub fn info(&self, tasks_left: usize) -> v1::DrainInfo {
        let state = match tasks_left {
            0 => v1::DrainState::Drained,
            _ => v1::DrainState::Draining,
        };
        v1::DrainInfo {
            state: state as i32,
            config: self.config(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn moment() -> Moment {
        let clock = Clock {
            wall: SystemTime::UNIX_EPOCH + 1000 * MINUTE,
            since_boot: 100 * MINUTE,
        };
        let boot_id = Some("one".to_owned());
        Moment { clock, boot_id }
    }

    #[test]
    fn a_deadline_comes_whoever_waits_for_it() {
        let now = moment();
        let wish = Wish {
            deadline: Some(10 * MINUTE),
            max_grace_period: Some(MINUTE),
        };
        let drain = Drain::begun(&wish, &now);
        let left = |clock, boot: &str| {
            let boot_id = Some(boot.to_owned());
            drain.left(&Moment { clock, boot_id }).unwrap()
        };
        let later = now.clock.later(4 * MINUTE);
        assert_eq!(left(now.clock, "one"), 10 * MINUTE);
        for set in [
            later,
            later.set_forward(9000 * MINUTE),
            later.set_back(900 * MINUTE),
        ] {
            assert_eq!(left(set, "one"), 6 * MINUTE);
        }
        assert_eq!(left(now.clock.later(40 * MINUTE), "one"), Duration::ZERO);
        // After a reboot there is no other clock than that on the wall.
        let rebooted = Clock {
            since_boot: MINUTE,
            ..later
        };
        assert_eq!(left(rebooted, "two"), 6 * MINUTE);
        assert_eq!(left(rebooted.set_back(900 * MINUTE), "two"), 10 * MINUTE);
        assert_eq!(
            (drain.max_grace(), drain.since_seconds()),
            (Some(MINUTE), 60_000)
        );
        let endless = Drain::begun(&Wish::default(), &now);
        assert_eq!((endless.left(&now), endless.max_grace()), (None, None));
        let huge = Drain::begun(
            &Wish {
                deadline: Some(Duration::MAX),
                max_grace_period: Some(Duration::MAX),
            },
            &now,
        );
        assert!(huge.left(&now).is_some());
    }

    #[test]
    fn it_is_drained_when_nothing_is_left() {
        let drain = Drain::begun(&Wish::default(), &moment());
        assert_eq!(drain.info(1).state(), v1::DrainState::Draining);
        assert_eq!(drain.info(0).state(), v1::DrainState::Drained);
    }

    /// Who reads Mesos' record reads ours.
    #[test]
    fn the_record_begins_as_that_of_mesos() {
        use prost::Message as _;
        let wish = Wish {
            max_grace_period: Some(MINUTE),
            deadline: Some(MINUTE),
        };
        let drain = Drain::begun(&wish, &moment());
        let read = v1::DrainConfig::decode(drain.encode_to_vec().as_slice()).unwrap();
        assert_eq!(read.max_grace_period, drain.max_grace_period);
    }
}
