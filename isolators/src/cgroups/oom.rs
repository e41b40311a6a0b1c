//! Out of memory: noticing it, and finding out who was killed and what had used it up.

mod pressure;
pub(super) mod report;

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::act::write;
use super::cgroup::Cgroup;
use super::error::CgroupError;
use super::hierarchy::Version;
use super::statistics::{flat_keyed, limit, number};
use crate::kernel_log::KernelLog;
pub use pressure::{MemoryPressure, Percent, PressureOf};
use report::Report;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes. `None`: the container had no limit of its own, so the host, or a cgroup above, ran out.
    pub limit: Option<u64>,
    /// Most bytes ever used at one time; 0 when the kernel does not say.
    pub peak: u64,
    /// The process that the kernel chose, when its log still says so.
    pub victim: Option<Victim>,
    /// The container's largest processes at that moment, largest first; empty when the log does not
    /// say, and when it was not the container whose memory ran out.
    pub largest: Vec<Task>,
    pub usage: Option<MemoryUsage>,
    /// `None` where the kernel does not measure it.
    pub pressure: Option<MemoryPressure>,
}

/// A process as the kernel lists it when it kills for memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// In the host's pid namespace.
    pub pid: u32,
    pub name: String,
    /// Bytes that are in memory.
    pub rss: u64,
}

/// What the memory of a container was used for at that moment, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUsage {
    /// What its processes have for themselves.
    pub anonymous: u64,
    /// Files in memory (tmpfs, /dev/shm), which are there without any process.
    pub shared: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// In the host's pid namespace.
    pub pid: u32,
    pub name: String,
}

/// Tells when memory runs out in a cgroup.
#[derive(Debug)]
pub enum OomWatch {
    /// v1: an eventfd that becomes readable when memory runs out, a moment before the kill.
    BeforeKill(OwnedFd),
    /// v2: an inotify that becomes readable when an event was counted in `memory.events`, be it a
    /// kill or only reclaim at the limit.
    AfterEvent(OwnedFd),
}

impl Cgroup {
    /// `None` without a memory controller.
    pub fn watch_oom(&self) -> Result<Option<OomWatch>, CgroupError> {
        let Some(dir) = self.dir("memory") else {
            return Ok(None);
        };
        let file = dir.join(self.files().memory_events);
        let failed = |source: io::Error| CgroupError::Open {
            path: file.clone(),
            source,
        };
        match self.version() {
            Version::V2 => {
                let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
                    .map_err(|e| failed(e.into()))?;
                inotify
                    .add_watch(&file, AddWatchFlags::IN_MODIFY)
                    .map_err(|e| failed(e.into()))?;
                Ok(Some(OomWatch::AfterEvent(inotify.into())))
            }
            Version::V1 => {
                let control = File::open(&file).map_err(failed)?;
                let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
                    .map_err(|e| failed(e.into()))?;
                let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
                write(&dir.join("cgroup.event_control"), &line)?;
                Ok(Some(OomWatch::BeforeKill(event.into())))
            }
        }
    }

    /// How many processes of this cgroup the kernel has killed for memory. Those of nested containers are theirs,
    /// whosever memory has run out.
    pub fn oom_kills(&self) -> u64 {
        let Some(dir) = self.dir("memory") else {
            return 0;
        };
        let kills = |file: PathBuf| flat_keyed(&fs::read_to_string(file).ok()?, "oom_kill");
        let all = || kills(dir.join(self.files().memory_events)).unwrap_or(0);
        match self.version() {
            // v1 counts them where they were.
            Version::V1 => all(),
            // v2 counts those below, too. What it hands on to its leaf and to nested ones it has none itself of any
            // more. `memory.events.local`: Linux 5.3.
            Version::V2 => {
                let leaf = dir.join("leaf");
                match kills(leaf.join(self.files().memory_events)) {
                    Some(own) => own + kills(dir.join("memory.events.local")).unwrap_or(0),
                    None => all(),
                }
            }
        }
    }

    /// What the kernel knows about the out-of-memory kills here; `None` when there were none. Without
    /// its log it knows no names.
    pub fn out_of_memory(&self, log: Option<&KernelLog>) -> Option<OutOfMemory> {
        if self.oom_kills() == 0 {
            return None;
        }
        let dir = self.dir("memory")?;
        let limit = limit(&dir, self.files().memory_limit);
        // Before Linux 5.19, v2 remembers no peak; at the moment of the kill usage was at the limit.
        let peak = number(&dir, self.files().memory_peak).or(limit);
        let report = log.and_then(|log| report::last(log, &self.name(), page_size()));
        let (victim, largest, usage) = match report {
            Some(Report {
                victim,
                tasks,
                usage,
            }) => (Some(victim), tasks, usage),
            None => (None, Vec::new(), None),
        };
        Some(OutOfMemory {
            limit,
            peak: peak.unwrap_or(0),
            victim,
            largest,
            usage,
            pressure: self.memory_pressure(),
        })
    }

    fn memory_pressure(&self) -> Option<MemoryPressure> {
        match (self.version(), self.dir("memory")) {
            (Version::V2, Some(dir)) => {
                pressure::read(&dir.join("memory.pressure"), PressureOf::Container)
            }
            _ => pressure::read(Path::new("/proc/pressure/memory"), PressureOf::Host),
        }
    }
}

/// In bytes.
fn page_size() -> u64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    let size = size.ok().flatten().and_then(|size| size.try_into().ok());
    size.unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cgroups::hierarchy::Hierarchy;

    #[test]
    fn v2_counts_nested_ones_with_a_container_and_they_are_not_its_own() {
        let mount = std::env::temp_dir().join(format!("cgroups-oom-{}", std::process::id()));
        let own = mount.join("mesos/c1");
        fs::create_dir_all(own.join("leaf")).expect("directories");
        let told = |file: &str, kills: u64| {
            let text = format!("low 0\noom 9\noom_kill {kills}\noom_group_kill 0\n");
            fs::write(own.join(file), text).expect("a file");
        };
        let hierarchy = Arc::new(Hierarchy::V2(mount.clone()));
        let cgroup = Cgroup::found(&hierarchy, Path::new("/mesos/c1"));
        assert_eq!(cgroup.oom_kills(), 0);
        told("memory.events", 7);
        told("memory.events.local", 1);
        assert_eq!(cgroup.oom_kills(), 7, "nothing is nested in it");
        told("leaf/memory.events", 2);
        assert_eq!(cgroup.oom_kills(), 3);
        fs::remove_dir_all(&mount).expect("removes");
    }
}
