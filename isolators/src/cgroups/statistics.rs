//! What a container uses now.
//!
//! Reads the few files that hold it, of a few microseconds each; cgroups-rs would read some twenty per
//! container.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::cgroup::Cgroup;
use super::device_io::{DeviceIo, from_blkio, from_io_stat};
use super::hierarchy::Version;
use super::opened::Opened;
use super::pressure::Pressures;

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
    /// `None` where swap is not accounted.
    pub mem_swap: Option<u64>,
    /// Memory and swap together, where that is what the kernel counts: v1.
    pub mem_with_swap: Option<u64>,
    /// What the kernel keeps for it, and its network buffers; parts of `mem_total`.
    pub mem_kernel: Option<u64>,
    pub mem_sockets: Option<u64>,
    /// `None` without a limit.
    pub mem_limit: Option<u64>,
    pub mem_soft_limit: Option<u64>,
    /// Alive, `init` included.
    pub processes: u64,
    /// Of all its processes.
    pub threads: Option<u64>,
    /// Of each block device; empty where it is not counted.
    pub io: Vec<DeviceIo>,
    pub pressure: Pressures,
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
        let memory = self.open("memory")?;
        let cpu = self.open_beside(&memory, "cpu")?;
        let files = self.files();
        let cpu_stat = cpu.read("cpu.stat")?;
        let memory_stat = memory.read("memory.stat")?;
        let in_memory = |key| flat_keyed(&memory_stat, key).unwrap_or(0);
        let (cpus_user, cpus_system) = self.cpu_time(&cpu, &cpu_stat)?;
        let (throttled, nanoseconds) = files.throttled;
        let [swap, with_swap, kernel, sockets] = match self.version() {
            Version::V1 => [
                flat_keyed(&memory_stat, "total_swap"),
                memory.number("memory.memsw.usage_in_bytes"),
                memory.number("memory.kmem.usage_in_bytes"),
                memory.number("memory.kmem.tcp.usage_in_bytes"),
            ],
            Version::V2 => [
                memory.number("memory.swap.current"),
                None,
                kernel_memory(&memory_stat),
                flat_keyed(&memory_stat, "sock"),
            ],
        };
        Ok(Statistics {
            timestamp: SystemTime::now(),
            cpus_user,
            cpus_system,
            cpus_nr_periods: flat_keyed(&cpu_stat, "nr_periods"),
            cpus_nr_throttled: flat_keyed(&cpu_stat, "nr_throttled"),
            cpus_throttled: flat_keyed(&cpu_stat, throttled)
                .map(|time| Duration::from_nanos(time.saturating_mul(nanoseconds))),
            mem_total: memory.required(files.memory_usage)?,
            mem_rss: in_memory(files.rss),
            mem_cache: in_memory(files.cache),
            mem_mapped_file: in_memory(files.mapped_file),
            mem_unevictable: in_memory(files.unevictable),
            mem_swap: swap,
            mem_with_swap: with_swap,
            mem_kernel: kernel,
            mem_sockets: sockets,
            mem_limit: memory.number(files.memory_limit).filter(is_limit),
            mem_soft_limit: memory.number(files.memory_soft_limit).filter(is_limit),
            processes: self.processes().len() as u64,
            // The pids controller counts what clone(2) makes, and that is threads.
            threads: (self.open_beside(&memory, "pids").ok())
                .and_then(|pids| pids.number("pids.current")),
            io: self.io(&memory),
            pressure: match self.version() {
                Version::V1 => Pressures::default(),
                Version::V2 => Pressures::of(|file| memory.read(file).ok()),
            },
        })
    }

    /// v2 tells it in `cpu.stat`, v1 has a controller of its own for it.
    fn cpu_time(
        &self,
        cpu: &Rc<Opened>,
        cpu_stat: &str,
    ) -> Result<(Duration, Duration), StatisticsError> {
        if let (Some(user), Some(system)) = (
            flat_keyed(cpu_stat, "user_usec"),
            flat_keyed(cpu_stat, "system_usec"),
        ) {
            return Ok((Duration::from_micros(user), Duration::from_micros(system)));
        }
        let dir = self.open_beside(cpu, "cpuacct")?;
        let time = |file| dir.required(file).map(Duration::from_nanos);
        Ok((time("cpuacct.usage_user")?, time("cpuacct.usage_sys")?))
    }

    /// Not by cgroups-rs, which has 16 bits for the number of a device, and of v1 not the files that
    /// count without an I/O scheduler.
    fn io(&self, memory: &Rc<Opened>) -> Vec<DeviceIo> {
        let read = |directory: &Opened, name| directory.read(name).unwrap_or_default();
        match (self.version(), self.open_beside(memory, "blkio")) {
            (Version::V1, Ok(directory)) => from_blkio(
                &read(&directory, "blkio.throttle.io_service_bytes_recursive"),
                &read(&directory, "blkio.throttle.io_serviced_recursive"),
            ),
            (Version::V1, Err(_)) => Vec::new(),
            (Version::V2, _) => from_io_stat(&read(memory, "io.stat")),
        }
    }

    pub(super) fn controller(&self, name: &'static str) -> Result<PathBuf, StatisticsError> {
        self.dir(name).ok_or(StatisticsError::NoController(name))
    }
}

/// Of v2's `memory.stat`: a key of Linux 5.18; before, its parts.
pub(super) fn kernel_memory(stat: &str) -> Option<u64> {
    const PARTS: [&str; 5] = ["kernel_stack", "slab", "sock", "percpu", "pagetables"];
    flat_keyed(stat, "kernel").or_else(|| {
        let parts = PARTS.iter().filter_map(|part| flat_keyed(stat, part));
        parts.reduce(u64::saturating_add)
    })
}

/// A file that holds one number; `None` when it does not exist or says `max`.
pub(super) fn number(dir: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok()
}

pub(super) fn limit(dir: &Path, name: &str) -> Option<u64> {
    number(dir, name).filter(is_limit)
}

/// cgroup v1 writes "no limit" as the largest multiple of a page.
fn is_limit(bytes: &u64) -> bool {
    const V1_UNLIMITED: u64 = (i64::MAX as u64) - 4095;
    *bytes < V1_UNLIMITED
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
    fn older_kernels_tell_their_memory_in_parts() {
        assert_eq!(kernel_memory("anon 1\nkernel 9\nslab 4\n"), Some(9));
        assert_eq!(
            kernel_memory("slab 4\nsock 2\nslab_reclaimable 3\n"),
            Some(6)
        );
        assert_eq!(kernel_memory("anon 1\n"), None);
    }

    #[test]
    fn a_key_is_matched_whole() {
        let text = "oom 1\noom_kill 3\noom_kill_disable 0\n";
        assert_eq!(flat_keyed(text, "oom_kill"), Some(3));
        assert_eq!(flat_keyed(text, "kill"), None);
    }
}
