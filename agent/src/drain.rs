//! A drain, as it is written down and told: no new tasks; those that run end by themselves, or at a
//! deadline by a kill. Pure.
//!
//! Source: spec/mesos-agent.md section 13. There every task is killed at once: a deadline is ours.

use std::time::{Duration, SystemTime};

use proto::v1;

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
}

/// What somebody asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    pub max_grace_period: Option<Duration>,
    /// From now on; zero kills at once.
    pub deadline: Option<Duration>,
}

impl Drain {
    pub fn begun(wish: &Wish, now: SystemTime) -> Drain {
        let since = milliseconds(
            now.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        );
        let nanoseconds = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        Drain {
            max_grace_period: wish.max_grace_period.map(|time| v1::DurationInfo {
                nanoseconds: nanoseconds(time),
            }),
            since,
            deadline: wish
                .deadline
                .map(|time| since.saturating_add(milliseconds(time))),
        }
    }

    /// What is left until the deadline; zero when it has come.
    pub fn left(&self, now: SystemTime) -> Option<Duration> {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(self.deadline?);
        Some(at.duration_since(now).unwrap_or_default())
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

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_deadline_comes_whoever_waits_for_it() {
        let now = SystemTime::UNIX_EPOCH + 1000 * MINUTE;
        let wish = Wish {
            deadline: Some(10 * MINUTE),
            max_grace_period: Some(MINUTE),
        };
        let drain = Drain::begun(&wish, now);
        assert_eq!(drain.left(now), Some(10 * MINUTE));
        assert_eq!(drain.left(now + 4 * MINUTE), Some(6 * MINUTE));
        assert_eq!(drain.left(now + 40 * MINUTE), Some(Duration::ZERO));
        assert_eq!(
            (drain.max_grace(), drain.since_seconds()),
            (Some(MINUTE), 60_000)
        );
        let endless = Drain::begun(&Wish::default(), now);
        assert_eq!((endless.left(now), endless.max_grace()), (None, None));
        let huge = Drain::begun(
            &Wish {
                deadline: Some(Duration::MAX),
                max_grace_period: Some(Duration::MAX),
            },
            now,
        );
        assert!(huge.left(now).is_some());
    }

    #[test]
    fn it_is_drained_when_nothing_is_left() {
        let drain = Drain::begun(&Wish::default(), SystemTime::now());
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
        let drain = Drain::begun(&wish, SystemTime::now());
        let read = v1::DrainConfig::decode(drain.encode_to_vec().as_slice()).unwrap();
        assert_eq!(read.max_grace_period, drain.max_grace_period);
    }
}
