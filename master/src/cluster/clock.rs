//! Time as the cluster sees it: told with every event, and asked back for through [`Timers`].

use std::collections::BTreeSet;
use std::time::Duration;

use proto::v1::TimeInfo;

use super::ids::{AgentId, FrameworkId, OfferId};

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Now {
    /// Since the master started; never goes back, so every deadline is in it.
    pub up: Duration,
    /// Seconds since 1970, for what people and frameworks read.
    pub wall: f64,
}

/// Seconds since 1970 as messages have them.
pub fn time_info(seconds: f64) -> TimeInfo {
    // A cast from a double saturates.
    let nanoseconds = (seconds * 1e9) as i64;
    TimeInfo { nanoseconds }
}

/// What a deadline is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The next ping is due, or the window of an agent without a link is over.
    Agent(AgentId),
    /// The time for agents of the registry to return after a restart is over.
    Recovery,
    /// A framework had until now to subscribe again.
    Failover(FrameworkId),
    /// A filter of this framework on this agent ends.
    Filter(FrameworkId, AgentId),
    /// An offer was not answered in time.
    Offer(OfferId),
}

/// The deadlines ahead, earliest first. Whoever gives up a deadline clears it, so the set holds
/// nothing stale however long the deadlines are.
#[derive(Debug, Default)]
pub struct Timers(BTreeSet<(Duration, Timer)>);

impl Timers {
    pub fn set(&mut self, at: Duration, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub fn clear(&mut self, at: Duration, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub fn next(&self) -> Option<Duration> {
        self.0.first().map(|(at, _)| *at)
    }

    pub fn pop_due(&mut self, up: Duration) -> Option<Timer> {
        if self.next()? > up {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
