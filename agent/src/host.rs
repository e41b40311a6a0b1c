//! Facts about this host, gathered once (or, for the load, when asked) and passed on as data.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

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
        Ok(HostFacts {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory: Memory::read().map(|memory| memory.total),
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

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub total: u64,
    pub free: u64,
}

impl Memory {
    pub fn read() -> Option<Memory> {
        Memory::parse(&fs::read_to_string("/proc/meminfo").ok()?)
    }

    fn parse(meminfo: &str) -> Option<Memory> {
        let field = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim()
                .strip_suffix("kB")?
                .trim()
                .parse::<u64>()
                .ok()?
                .checked_mul(1024)
        };
        Some(Memory {
            total: field("MemTotal:")?,
            free: field("MemFree:")?,
        })
    }
}

/// Load averages over 1, 5 and 15 minutes.
pub fn load() -> Option<[f64; 3]> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    let mut numbers = text.split(' ').map(|n| n.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

/// Changes with every boot of the kernel.
pub fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
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

    #[test]
    fn meminfo_is_in_kibibytes() {
        let text = "MemTotal:       2048 kB\nMemFree:         512 kB\n";
        assert_eq!(
            Memory::parse(text),
            Some(Memory {
                total: 2 * MB,
                free: MB / 2
            })
        );
        assert_eq!(Memory::parse("nonsense"), None);
    }
}
