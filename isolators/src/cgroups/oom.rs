//! Out of memory: noticing it, and finding out who was killed.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use nix::fcntl::OFlag;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::cgroup::{Cgroup, CgroupError, Dirs, write};
use super::statistics::{flat_keyed, limit, number};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes. `None`: the container had no limit of its own, so the host, or a cgroup above, ran out.
    pub limit: Option<u64>,
    /// Most bytes ever used at one time; 0 when the kernel does not say.
    pub peak: u64,
    /// The process that the kernel chose, when its log still says so.
    pub victim: Option<Victim>,
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
        match self.dirs {
            Dirs::V2(_) => {
                let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
                    .map_err(|e| failed(e.into()))?;
                inotify
                    .add_watch(&file, AddWatchFlags::IN_MODIFY)
                    .map_err(|e| failed(e.into()))?;
                Ok(Some(OomWatch::AfterEvent(inotify.into())))
            }
            Dirs::V1(_) => {
                let control = File::open(&file).map_err(failed)?;
                let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
                    .map_err(|e| failed(e.into()))?;
                let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
                write(&dir.join("cgroup.event_control"), &line)?;
                Ok(Some(OomWatch::BeforeKill(event.into())))
            }
        }
    }

    /// How many processes of this cgroup the kernel has killed for memory.
    pub fn oom_kills(&self) -> u64 {
        let file = self.files().memory_events;
        let text = self
            .dir("memory")
            .and_then(|dir| fs::read_to_string(dir.join(file)).ok());
        text.and_then(|text| flat_keyed(&text, "oom_kill"))
            .unwrap_or(0)
    }

    /// What the kernel knows about the out-of-memory kills here; `None` when there were none.
    pub fn out_of_memory(&self) -> Option<OutOfMemory> {
        if self.oom_kills() == 0 {
            return None;
        }
        let dir = self.dir("memory")?;
        let limit = limit(dir, self.files().memory_limit);
        // Before Linux 5.19, v2 remembers no peak; at the moment of the kill usage was at the limit.
        let peak = number(dir, self.files().memory_peak).or(limit);
        Some(OutOfMemory {
            limit,
            peak: peak.unwrap_or(0),
            victim: kernel_log().ok().and_then(|log| victim(&log, &self.name)),
        })
    }
}

/// The kernel's ring buffer, a record per line. Each read(2) of /dev/kmsg gives one record.
fn kernel_log() -> io::Result<String> {
    let mut file = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open("/dev/kmsg")?;
    let (mut log, mut record) = (String::new(), [0; 8192]);
    loop {
        match file.read(&mut record) {
            Ok(0) => return Ok(log),
            Ok(n) => log.push_str(&String::from_utf8_lossy(&record[..n])),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(log),
            // Overwritten between two reads: the next read continues with the oldest one left.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
            Err(e) => return Err(e),
        }
    }
}

/// The last `oom-kill:` record about `cgroup`, which ends in `task=NAME,pid=N,uid=N`.
fn victim(log: &str, cgroup: &str) -> Option<Victim> {
    let within = |path: &str| {
        path == cgroup
            || path
                .strip_prefix(cgroup)
                .is_some_and(|rest| rest.starts_with('/'))
    };
    log.lines()
        .rev()
        .filter(|line| is_from_kernel(line))
        .find_map(|line| {
            let record = line.split_once(";oom-kill:")?.1;
            let (head, uid) = record.rsplit_once(",uid=")?;
            uid.trim().parse::<u32>().ok()?;
            let (head, pid) = head.rsplit_once(",pid=")?;
            // A task's name may hold commas, so the keys are looked for from both ends.
            let (head, name) = head.split_once(",task=")?;
            let path = head.split_once("task_memcg=")?.1;
            within(path).then_some(())?;
            Some(Victim {
                pid: pid.parse().ok()?,
                name: name.to_owned(),
            })
        })
}

/// Whoever may write to /dev/kmsg can put any text there, but not in the kernel's name: the first
/// number of a record is facility * 8 + level, and the kernel's facility is 0.
fn is_from_kernel(record: &str) -> bool {
    record
        .split_once(',')
        .and_then(|(prefix, _)| prefix.parse::<u32>().ok())
        .is_some_and(|p| p < 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
6,1,0,-;something else
6,900,123,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/mesos/c1,task_memcg=/mesos/c1,task=ta,il,pid=4711,uid=0
6,901,124,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/mesos/c10,task_memcg=/mesos/c10/leaf,task=dd,pid=5,uid=1
";

    #[test]
    fn the_victim_is_read_from_the_kernels_log() {
        let found = victim(LOG, "/mesos/c1");
        assert_eq!(
            found,
            Some(Victim {
                pid: 4711,
                name: "ta,il".to_owned()
            })
        );
        assert_eq!(victim(LOG, "/mesos/c10").map(|v| v.pid), Some(5));
    }

    #[test]
    fn a_forged_record_is_not_believed() {
        assert_eq!(victim(&LOG.replace("6,900", "14,900"), "/mesos/c1"), None);
    }

    #[test]
    fn another_containers_victim_is_not_ours() {
        assert_eq!(victim(LOG, "/mesos/c"), None);
        assert_eq!(victim(LOG, "/mesos/c100"), None);
    }
}
