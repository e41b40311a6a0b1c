//! Everything that the kernel counts for a container: for who asks once. What is asked for again and
//! again is in [`Statistics`](super::Statistics).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use cgroups_rs::hugetlb::HugeTlbController;
use cgroups_rs::pid::PidController;
use cgroups_rs::{Controller as _, MaxValue};

use super::cgroup::Cgroup;
use super::hierarchy::Version;
use super::statistics::{Statistics, StatisticsError, flat_keyed, kernel_memory, limit, number};

#[derive(Debug, Clone, PartialEq)]
pub struct Details {
    pub basic: Statistics,
    /// Of each processor; empty on v2.
    pub cpus: Vec<Duration>,
    pub memory: Usage,
    /// v1: memory and swap together. v2: swap alone. `None` where swap is not accounted.
    pub swap: Option<Usage>,
    /// Part of `memory`. v2 counts what is in use, and nothing else.
    pub kernel: Option<Usage>,
    /// v1, as above.
    pub kernel_tcp: Option<Usage>,
    /// `memory.stat` as the kernel has it.
    pub memory_stat: BTreeMap<String, u64>,
    pub oom_kills: u64,
    /// Threads: how many there are, and may be.
    pub pids: Option<Usage>,
    /// By their size as in the names of control files, e.g. `2MB`.
    pub huge_pages: BTreeMap<String, Usage>,
}

/// Bytes, or another amount. `None`: there is no limit, or the kernel does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    pub now: u64,
    pub peak: Option<u64>,
    pub limit: Option<u64>,
    /// How often the limit was in the way.
    pub hits: Option<u64>,
}

impl Cgroup {
    pub fn details(&self) -> Result<Details, StatisticsError> {
        let basic = self.statistics()?;
        let memory = self.controller("memory")?;
        let stat = read(&memory, "memory.stat");
        let usage = |prefix: &str| self.memory_usage(&memory, prefix);
        let memory_stat: BTreeMap<_, _> = flat_keys(&stat).collect();
        let (swap, kernel, kernel_tcp) = match self.version() {
            Version::V1 => (
                usage("memory.memsw."),
                usage("memory.kmem."),
                usage("memory.kmem.tcp."),
            ),
            Version::V2 => {
                let kernel = Usage {
                    now: kernel_memory(&stat).unwrap_or(0),
                    ..Usage::default()
                };
                (usage("memory.swap."), Some(kernel), None)
            }
        };
        Ok(Details {
            cpus: self.time_of_each_cpu(),
            memory: usage("memory.").unwrap_or_default(),
            swap,
            kernel,
            kernel_tcp,
            memory_stat,
            oom_kills: self.oom_kills(),
            pids: self.pids(),
            huge_pages: self.huge_pages(),
            basic,
        })
    }

    /// The files of one kind of memory begin alike. `None` when there are none of that kind.
    fn memory_usage(&self, directory: &Path, prefix: &str) -> Option<Usage> {
        let file = |name: &str| format!("{prefix}{name}");
        Some(match self.version() {
            Version::V1 => Usage {
                now: number(directory, &file("usage_in_bytes"))?,
                peak: number(directory, &file("max_usage_in_bytes")),
                limit: limit(directory, &file("limit_in_bytes")),
                hits: number(directory, &file("failcnt")),
            },
            Version::V2 => Usage {
                now: number(directory, &file("current"))?,
                peak: number(directory, &file("peak")),
                limit: number(directory, &file("max")),
                hits: flat_keyed(&read(directory, &file("events")), "max"),
            },
        })
    }

    fn time_of_each_cpu(&self) -> Vec<Duration> {
        let times = match (self.version(), self.dir("cpuacct")) {
            (Version::V1, Some(directory)) => read(&directory, "cpuacct.usage_percpu"),
            _ => String::new(),
        };
        let times = times
            .split_whitespace()
            .filter_map(|time| time.parse().ok());
        times.map(Duration::from_nanos).collect()
    }

    fn pids(&self) -> Option<Usage> {
        let controller = PidController::new(self.dir("pids")?, self.version() == Version::V2);
        let limit = match controller.get_pid_max().ok()? {
            MaxValue::Max => None,
            MaxValue::Value(limit) => u64::try_from(limit).ok(),
        };
        Some(Usage {
            now: controller.get_pid_current().ok()?,
            peak: number(controller.path(), "pids.peak"),
            limit,
            hits: controller.get_pid_events().ok(),
        })
    }

    fn huge_pages(&self) -> BTreeMap<String, Usage> {
        let Some(directory) = self.dir("hugetlb") else {
            return BTreeMap::new();
        };
        let controller = HugeTlbController::new(directory, self.version() == Version::V2);
        let of_size = |size: String| {
            let limit = controller.limit_in_bytes(&size).ok();
            let usage = Usage {
                now: controller.usage_in_bytes(&size).ok()?,
                peak: controller.max_usage_in_bytes(&size).ok(),
                // "No limit" is a number on v1, and none on v2.
                limit: limit.filter(|limit| *limit < i64::MAX as u64 / 2),
                hits: controller.failcnt(&size).ok(),
            };
            Some((size, usage))
        };
        controller
            .get_sizes()
            .into_iter()
            .filter_map(of_size)
            .collect()
    }
}

/// Empty when there is none: kernels and configurations differ in what they count.
fn read(directory: &Path, file: &str) -> String {
    fs::read_to_string(directory.join(file)).unwrap_or_default()
}

pub(super) fn flat_keys(text: &str) -> impl Iterator<Item = (String, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_numbers_are_left_out() {
        let found: Vec<_> = flat_keys("anon 5\nodd x\nfile 7\n").collect();
        assert_eq!(found, [("anon".to_owned(), 5), ("file".to_owned(), 7)]);
    }
}
