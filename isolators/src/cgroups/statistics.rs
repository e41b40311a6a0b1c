//! What a container uses now.
//!
//! Reads the four or five files that hold it; cgroups-rs would read some twenty per container.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::cgroup::Cgroup;

/// Names and meaning as in Mesos' `ResourceStatistics` (spec/mesos-agent.md section 22).
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    pub timestamp: SystemTime,
    pub cpus_user: Duration,
    pub cpus_system: Duration,
    /// Scheduling periods with a quota, periods that hit it, and the time lost to it.
    pub cpus_nr_periods: Option<u64>,
    pub cpus_nr_throttled: Option<u64>,
    pub cpus_throttled: Option<Duration>,
    /// Bytes, from here on.
    pub mem_total: u64,
    pub mem_rss: u64,
    pub mem_cache: u64,
    pub mem_mapped_file: u64,
    pub mem_unevictable: u64,
    /// `None` without a limit.
    pub mem_limit: Option<u64>,
    pub mem_soft_limit: Option<u64>,
    /// Processes alive.
    pub processes: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    #[error("no statistics: the cgroup has no {0} controller")]
    NoController(&'static str),
    #[error("cannot read {file} (the container may have ended)")]
    Read {
        file: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot understand {file}")]
    Parse { file: PathBuf },
}

impl Cgroup {
    pub fn statistics(&self) -> Result<Statistics, StatisticsError> {
        let memory = self
            .dir("memory")
            .ok_or(StatisticsError::NoController("memory"))?;
        let cpu = self
            .dir("cpu")
            .ok_or(StatisticsError::NoController("cpu"))?;
        let cpu_stat = read(cpu, "cpu.stat")?;
        let memory_stat = read(memory, "memory.stat")?;
        let in_memory = |v1: &str, v2: &str| {
            flat_keyed(&memory_stat, if self.is_v2() { v2 } else { v1 }).unwrap_or(0)
        };
        let file = |v1, v2| if self.is_v2() { v2 } else { v1 };
        let (cpus_user, cpus_system) = self.cpu_time(&cpu_stat)?;
        let throttled = if self.is_v2() {
            flat_keyed(&cpu_stat, "throttled_usec").map(Duration::from_micros)
        } else {
            flat_keyed(&cpu_stat, "throttled_time").map(Duration::from_nanos)
        };
        Ok(Statistics {
            timestamp: SystemTime::now(),
            cpus_user,
            cpus_system,
            cpus_nr_periods: flat_keyed(&cpu_stat, "nr_periods"),
            cpus_nr_throttled: flat_keyed(&cpu_stat, "nr_throttled"),
            cpus_throttled: throttled,
            mem_total: required(memory, file("memory.usage_in_bytes", "memory.current"))?,
            mem_rss: in_memory("total_rss", "anon"),
            mem_cache: in_memory("total_cache", "file"),
            mem_mapped_file: in_memory("total_mapped_file", "file_mapped"),
            mem_unevictable: in_memory("total_unevictable", "unevictable"),
            mem_limit: limit(memory, file("memory.limit_in_bytes", "memory.max")),
            mem_soft_limit: limit(memory, file("memory.soft_limit_in_bytes", "memory.low")),
            processes: self.dir("pids").and_then(|dir| number(dir, "pids.current")),
        })
    }

    fn cpu_time(&self, cpu_stat: &str) -> Result<(Duration, Duration), StatisticsError> {
        if self.is_v2() {
            let time =
                |key| flat_keyed(cpu_stat, key).map_or(Duration::ZERO, Duration::from_micros);
            return Ok((time("user_usec"), time("system_usec")));
        }
        let dir = self
            .dir("cpuacct")
            .ok_or(StatisticsError::NoController("cpuacct"))?;
        let time = |file| required(dir, file).map(Duration::from_nanos);
        Ok((time("cpuacct.usage_user")?, time("cpuacct.usage_sys")?))
    }
}

fn read(dir: &Path, name: &str) -> Result<String, StatisticsError> {
    let file = dir.join(name);
    fs::read_to_string(&file).map_err(|source| StatisticsError::Read { file, source })
}

fn required(dir: &Path, name: &str) -> Result<u64, StatisticsError> {
    let parsed = read(dir, name)?.trim().parse();
    parsed.map_err(|_not_a_number| StatisticsError::Parse {
        file: dir.join(name),
    })
}

/// A file that holds one number; `None` when it does not exist or says `max`.
pub(super) fn number(dir: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok()
}

/// cgroup v1 writes "no limit" as the largest multiple of a page.
fn limit(dir: &Path, name: &str) -> Option<u64> {
    const V1_UNLIMITED: u64 = (i64::MAX as u64) - 4095;
    number(dir, name).filter(|bytes| *bytes < V1_UNLIMITED)
}

/// The value of `key` in lines of `key value`.
pub(super) fn flat_keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_matched_whole() {
        let text = "oom 1\noom_kill 3\noom_kill_disable 0\n";
        assert_eq!(flat_keyed(text, "oom_kill"), Some(3));
        assert_eq!(flat_keyed(text, "kill"), None);
    }
}
