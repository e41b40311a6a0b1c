//! How often the kernel found it hard to get memory for a container: the levels of cgroup v1.
//!
//! The kernel adds each event to a counter of its own, an eventfd(2), which is read when somebody asks:
//! nobody waits for them. It counts from when the counters are made.
//! Source: the kernel's Documentation/admin-guide/cgroup-v1/memory.rst, section 11.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::act::write;
use super::cgroup::Cgroup;
use super::error::CgroupError;
use super::hierarchy::Version;

/// An event of one level counts for those below, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PressureCounts {
    /// Memory was reclaimed for new demands.
    pub low: u64,
    /// It went on in swap space, or files that were in use had to be read again.
    pub medium: u64,
    /// It was about to run out.
    pub critical: u64,
}

#[derive(Debug)]
pub struct PressureLevels {
    low: Counter,
    medium: Counter,
    critical: Counter,
}

#[derive(Debug)]
struct Counter {
    /// What has come since it was last read.
    event: EventFd,
    before: AtomicU64,
}

impl Cgroup {
    /// `None` where there are no such levels: on v2, whose [`Pressure`](super::Pressure) says more, and
    /// without a memory controller.
    pub fn count_pressure(&self) -> Result<Option<PressureLevels>, CgroupError> {
        match (self.version(), self.dir("memory")) {
            (Version::V1, Some(directory)) => PressureLevels::begin(&directory).map(Some),
            (Version::V1, None) | (Version::V2, _) => Ok(None),
        }
    }
}

impl PressureLevels {
    fn begin(directory: &Path) -> Result<Self, CgroupError> {
        Ok(Self {
            low: Counter::begin(directory, "low")?,
            medium: Counter::begin(directory, "medium")?,
            critical: Counter::begin(directory, "critical")?,
        })
    }

    pub fn counts(&self) -> PressureCounts {
        PressureCounts {
            low: self.low.read(),
            medium: self.medium.read(),
            critical: self.critical.read(),
        }
    }
}

impl Counter {
    fn begin(directory: &Path, level: &str) -> Result<Self, CgroupError> {
        let file = directory.join("memory.pressure_level");
        let failed = |source: io::Error| CgroupError::Open {
            path: file.clone(),
            source,
        };
        let control = File::open(&file).map_err(failed)?;
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|e| failed(e.into()))?;
        let line = format!("{} {} {level}", event.as_raw_fd(), control.as_raw_fd());
        write(&directory.join("cgroup.event_control"), &line)?;
        Ok(Self {
            event,
            before: AtomicU64::new(0),
        })
    }

    /// Reading takes what is there; without any it fails, and nothing has come.
    fn read(&self) -> u64 {
        let new = self.event.read().unwrap_or(0);
        self.before.fetch_add(new, Ordering::Relaxed) + new
    }
}
