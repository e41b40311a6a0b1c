//! What has gone over the links of a container's network namespace.
//!
//! Read from `/proc/<pid>/net/dev`: no netlink socket to be made in each namespace, no thread that goes
//! there, and unlike netlink's answer it does not wait for links that are being made or deleted.
//! Source: proc_pid_net(5).

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;

use crate::pseudo_file;

/// Of all links but the loopback, whose bytes stay in the container. A bridge that the container has
/// made counts beside what is attached to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub received: Counters,
    pub sent: Counters,
}

/// Since the links were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub bytes: u64,
    pub packets: u64,
    pub errors: u64,
    pub dropped: u64,
}

const LOOPBACK: &str = "lo";

impl Traffic {
    /// Of the network that process `pid` is in; `None` when that is ours, or the process is gone. Who
    /// asks knows that the number is still the process'.
    pub fn of(pid: u32) -> Option<Self> {
        let file = File::open(format!("/proc/{pid}/net/dev")).ok()?;
        if Some(identity(&file).ok()?) == ours() {
            return None;
        }
        // A link's name can be any bytes, and who names it must not hide the others.
        let text = pseudo_file::read(file).ok()?;
        Some(Self::parse(&String::from_utf8_lossy(&text)))
    }

    /// A line that cannot be understood counts nothing.
    pub(crate) fn parse(text: &str) -> Self {
        let links = text.lines().filter_map(link);
        let others = links.filter(|(name, _)| *name != LOOPBACK);
        others.fold(Self::default(), |all, (_, one)| all.and(one))
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            received: self.received.and(other.received),
            sent: self.sent.and(other.sent),
        }
    }
}

impl Counters {
    fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            packets: self.packets.saturating_add(other.packets),
            errors: self.errors.saturating_add(other.errors),
            dropped: self.dropped.saturating_add(other.dropped),
        }
    }
}

/// `name: bytes packets errs drop fifo frame compressed multicast`, and the same eight of what was sent.
/// A name may have a colon in it.
fn link(line: &str) -> Option<(&str, Traffic)> {
    let (name, numbers) = line.rsplit_once(':')?;
    let numbers: Result<Vec<u64>, _> = numbers.split_whitespace().map(str::parse).collect();
    let numbers = numbers.ok()?;
    let counters = |first: usize| {
        Some(Counters {
            bytes: *numbers.get(first)?,
            packets: *numbers.get(first + 1)?,
            errors: *numbers.get(first + 2)?,
            dropped: *numbers.get(first + 3)?,
        })
    };
    let traffic = Traffic {
        received: counters(0)?,
        sent: counters(8)?,
    };
    Some((name.trim(), traffic))
}

/// Each network namespace has files of its own there, so their numbers tell namespaces apart. The links
/// in `/proc/<pid>/ns` would take the right to trace the process.
fn identity(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.ino())
}

/// This process never changes its own.
fn ours() -> Option<u64> {
    static OURS: OnceLock<Option<u64>> = OnceLock::new();
    let look = || identity(&File::open("/proc/self/net/dev")?);
    *OURS.get_or_init(|| look().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 2974229399 1096529    0    0    0     0          0         0 2974229399 1096529    0    0    0     0       0          0
  eth0:   1000       10    1    2    9     9          9         9     2000      20    3    4    9     9       9          9
eth0:1:      1        1    1    1    0     0          0         0        1       1    1    1    0     0       0          0
  odd0: no numbers
";

    #[test]
    fn all_links_but_the_loopback_are_added_up() {
        let received = Counters {
            bytes: 1001,
            packets: 11,
            errors: 2,
            dropped: 3,
        };
        let sent = Counters {
            bytes: 2001,
            packets: 21,
            errors: 4,
            dropped: 5,
        };
        assert_eq!(Traffic::parse(TEXT), Traffic { received, sent });
        assert_eq!(Traffic::parse(""), Traffic::default());
    }

    #[test]
    fn what_is_on_our_own_network_has_no_traffic_of_its_own() {
        assert_eq!(Traffic::of(std::process::id()), None);
    }
}
