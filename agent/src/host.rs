//! Facts about this host, gathered once (or, for the load, when asked) and passed on as data.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use proto::v0::System;

const MB: u64 = 1 << 20;

/// What resources are detected from.
#[derive(Debug, Clone, PartialEq)]
pub struct HostFacts {
    pub cpus: usize,
    /// Bytes; `None` when it cannot be told.
    pub memory: Option<u64>,
    /// Bytes of the file system that holds the work directory.
    pub disk: Option<u64>,
    pub hostname: String,
}

#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("cannot create the work directory {}: choose another with --work_dir", .path.display())]
    WorkDir { path: PathBuf, source: io::Error },
    #[error("cannot tell this host's name: give one with --hostname")]
    Hostname(#[source] io::Error),
}

impl HostFacts {
    pub fn gather(work_dir: &Path) -> Result<HostFacts, HostError> {
        fs::create_dir_all(work_dir).map_err(|source| HostError::WorkDir {
            path: work_dir.to_owned(),
            source,
        })?;
        let hostname = nix::unistd::gethostname().map_err(|e| HostError::Hostname(e.into()))?;
        let system = system();
        Ok(HostFacts {
            cpus: system.cpus,
            memory: system.memory.map(|memory| memory.total),
            disk: statvfs(work_dir)
                .ok()
                .map(|fs| fs.blocks() * fs.fragment_size()),
            hostname: hostname.to_string_lossy().into_owned(),
        })
    }

    /// MB to offer: all but a gigabyte for the host, or half of a small one.
    pub fn memory_to_offer(&self) -> u64 {
        match self.memory.map(|bytes| bytes / MB) {
            Some(mb) if mb >= 2048 => mb - 1024,
            Some(mb) => mb / 2,
            None => 1024,
        }
    }

    /// MB to offer: all but 5 GB for the host, or half of a small disk.
    pub fn disk_to_offer(&self) -> u64 {
        match self.disk.map(|bytes| bytes / MB) {
            Some(mb) if mb >= 10 * 1024 => mb - 5 * 1024,
            Some(mb) => mb / 2,
            None => 10 * 1024,
        }
    }
}

/// The used fraction, 0 to 1, of the file system that holds `path`.
pub fn disk_usage(path: &Path) -> io::Result<f64> {
    let fs = statvfs(path)?;
    if fs.blocks() == 0 {
        return Ok(0.0);
    }
    Ok(1.0 - fs.blocks_available() as f64 / fs.blocks() as f64)
}

/// Load and memory as they are now.
pub fn system() -> System {
    // What cannot be read is left out of the answer.
    let file = |path| fs::read_to_string(path).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    System::parse(cpus, &file("/proc/loadavg"), &file("/proc/meminfo"))
}

/// Changes with every boot of the kernel.
pub fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// Capabilities that programs of this process can come to have, as bits; all where the kernel does not say.
pub fn bounding_set() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let bits = lines.find_map(|line| line.strip_prefix("CapBnd:"));
    let bits = bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(memory_mb: Option<u64>, disk_mb: Option<u64>) -> HostFacts {
        HostFacts {
            cpus: 2,
            memory: memory_mb.map(|mb| mb * MB),
            disk: disk_mb.map(|mb| mb * MB),
            hostname: "n5".into(),
        }
    }

    #[test]
    fn a_part_of_memory_and_disk_stays_with_the_host() {
        let table = [
            (facts(Some(4096), Some(20_480)), 3072, 15_360),
            (facts(Some(1000), Some(8000)), 500, 4000),
            (facts(None, None), 1024, 10_240),
        ];
        for (facts, memory, disk) in table {
            assert_eq!(
                (facts.memory_to_offer(), facts.disk_to_offer()),
                (memory, disk)
            );
        }
    }
}
