//! The two clocks that something on the disk can refer to: the next process of this agent reads them, too.
//! Within one process `Instant` is right.

use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// A reading of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// What people read. Anybody may set it, by days and at any time: nothing is decided by it that the other
    /// clock can decide.
    pub wall: SystemTime,
    /// Since this kernel started, also while the machine slept. Nobody sets it, and no other boot has it.
    pub since_boot: Duration,
}

impl Clock {
    pub fn read() -> Clock {
        // It is there since Linux 2.6.39, and reading it cannot fail.
        let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
        Clock {
            wall: SystemTime::now(),
            since_boot: since_boot.unwrap_or_default(),
        }
    }

    /// Milliseconds since 1970.
    pub fn wall_ms(&self) -> u64 {
        let since = self.wall.duration_since(SystemTime::UNIX_EPOCH);
        milliseconds(since.unwrap_or_default())
    }

    pub fn boot_ms(&self) -> u64 {
        milliseconds(self.since_boot)
    }
}

pub fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
impl Clock {
    /// So long after; both go on alike.
    pub fn later(self, by: Duration) -> Clock {
        Clock {
            wall: self.wall + by,
            since_boot: self.since_boot + by,
        }
    }

    /// Somebody has set the wall clock.
    pub fn set_forward(self, by: Duration) -> Clock {
        let wall = self.wall + by;
        Clock { wall, ..self }
    }

    pub fn set_back(self, by: Duration) -> Clock {
        let wall = self.wall - by;
        Clock { wall, ..self }
    }
}
