//! Which process: a number can go to another one, what is kept here cannot.
//!
//! Of the kernels that have pidfs (Linux 6.9) a pidfd's inode number is that of one process and of no other
//! as long as the kernel runs. Of older ones it is the number of the process together with the time it
//! started at: numbers do not come round within one tick. In another boot neither means anything.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::str::FromStr;
use std::sync::OnceLock;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use nix::sys::statfs::{FsType, fstatfs};
use serde::{Deserialize, Serialize};

use crate::sys;

/// Of a record of an identity, and the newest that this program understands.
const VERSION: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// In our pid namespace.
    pub pid: u32,
    #[serde(flatten)]
    pub birth: Birth,
    /// `None` where /proc does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Birth {
    /// Of its pidfds.
    Inode(u64),
    /// In ticks since boot: field 22 of proc_pid_stat(5).
    Start(u64),
}

/// Changes with every boot of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct BootId(u128);

/// A record that names no process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadIdentity {
    #[error("it is damaged")]
    Damaged,
    #[error(
        "it is of version {0}, and this program understands versions up to {VERSION}: start the program \
         that wrote it, or a newer one"
    )]
    Newer(u32),
}

impl Identity {
    /// `None` when there is no such process. It must be a child of ours, or somebody else's number may be
    /// looked at.
    pub fn of(pid: u32) -> Option<Self> {
        let pidfd = sys::pidfd_open(pid).ok()?;
        let birth = match inode(&pidfd) {
            Some(inode) => Birth::Inode(inode),
            None => Birth::Start(Stat::of(pid)?.start),
        };
        Some(Self {
            pid,
            birth,
            boot: BootId::current(),
        })
    }

    /// `None` when it has been reaped.
    pub fn open(self) -> io::Result<Option<OwnedFd>> {
        let is_other = |boot| BootId::current().is_some_and(|current| current != boot);
        if self.boot.is_some_and(is_other) {
            return Ok(None);
        }
        let pidfd = match sys::pidfd_open(self.pid) {
            Ok(pidfd) => pidfd,
            // The others are what kernels say to the number of a thread that is not the first of its
            // process.
            Err(e)
                if matches!(
                    e.raw_os_error(),
                    Some(libc::ESRCH | libc::EINVAL | libc::ENOENT)
                ) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        Ok(self.is(&pidfd).then_some(pidfd))
    }

    fn is(self, pidfd: &OwnedFd) -> bool {
        match self.birth {
            Birth::Inode(wanted) => inode(pidfd) == Some(wanted),
            // The number may go to another process once this one is reaped. Not so before: it is still there
            // after its start was looked at, so that was its own.
            Birth::Start(wanted) => {
                Stat::of(self.pid).is_some_and(|stat| stat.start == wanted)
                    && sys::pidfd_send_signal(pidfd, 0).is_ok()
            }
        }
    }

    /// Not so when it has ended, reaped or not.
    pub fn lives(self) -> bool {
        let Ok(Some(pidfd)) = self.open() else {
            return false;
        };
        let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut ended, PollTimeout::ZERO) == Ok(0)
    }

    /// Reads what is told by `Display`, and nothing else.
    pub fn parse(record: &str) -> Result<Self, BadIdentity> {
        let (text, sum) = record
            .strip_suffix('\n')
            .and_then(|line| line.rsplit_once(' '))
            .ok_or(BadIdentity::Damaged)?;
        if sum != checksum(text) {
            return Err(BadIdentity::Damaged);
        }
        let (version, text) = text.split_once(' ').ok_or(BadIdentity::Damaged)?;
        match version.parse() {
            Ok(VERSION) => words(text)
                .filter(|identity| identity.to_string() == record)
                .ok_or(BadIdentity::Damaged),
            Ok(newer) if newer > VERSION => Err(BadIdentity::Newer(newer)),
            Ok(_) | Err(_) => Err(BadIdentity::Damaged),
        }
    }
}

/// `<version> <pid> <boot, or -> <inode or start> <number> <crc32 of all before>`
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let boot = self.boot.map_or("-".to_owned(), |boot| boot.to_string());
        let (kind, number) = match self.birth {
            Birth::Inode(number) => ("inode", number),
            Birth::Start(number) => ("start", number),
        };
        let text = format!("{VERSION} {} {boot} {kind} {number}", self.pid);
        writeln!(f, "{text} {}", checksum(&text))
    }
}

fn checksum(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}

fn words(text: &str) -> Option<Identity> {
    let mut words = text.split(' ');
    let pid = words.next()?.parse().ok()?;
    let boot = match words.next()? {
        "-" => None,
        boot => Some(boot.parse().ok()?),
    };
    let (kind, number) = (words.next()?, words.next()?.parse().ok()?);
    let birth = match kind {
        "inode" => Birth::Inode(number),
        "start" => Birth::Start(number),
        _ => return None,
    };
    let identity = Identity { pid, birth, boot };
    words.next().is_none().then_some(identity)
}

impl BootId {
    pub fn current() -> Option<Self> {
        static CURRENT: OnceLock<Option<BootId>> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
            id.trim().parse().ok()
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no boot id: it has 32 hexadecimal digits")]
pub struct BadBootId;

/// With or without the kernel's hyphens.
impl FromStr for BootId {
    type Err = BadBootId;

    fn from_str(text: &str) -> Result<Self, BadBootId> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BadBootId);
        }
        let number = u128::from_str_radix(&digits, 16);
        number.map(Self).map_err(|_no_number| BadBootId)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<BootId> for String {
    fn from(id: BootId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for BootId {
    type Error = BadBootId;

    fn try_from(text: String) -> Result<Self, BadBootId> {
        text.parse()
    }
}

/// `None` before pidfs: all pidfds have one inode in common there.
fn inode(pidfd: &OwnedFd) -> Option<u64> {
    const PIDFS: FsType = FsType(0x5049_4446);
    let is_pidfs = fstatfs(pidfd).is_ok_and(|it| it.filesystem_type() == PIDFS);
    // A narrower number would not be all of it.
    let is_whole = cfg!(target_pointer_width = "64");
    let stat = fstat(pidfd).ok().filter(|_| is_pidfs && is_whole);
    stat.map(|stat| stat.st_ino)
}

/// Of proc_pid_stat(5): fields 3, 4, 6 and 22. The kernel tells -1 for what it does not know any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: u8,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    start: u64,
}

impl Stat {
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Bytes, not text: a process can give itself any name, and must not hide by it.
    pub(crate) fn parse(stat: &[u8]) -> Option<Self> {
        // The name stands in parentheses and may hold some; what follows the last of them holds none.
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let after = str::from_utf8(stat.get(end + 1..)?).ok()?;
        let mut fields = after.trim_ascii().split(' ');
        let [state] = fields.next()?.as_bytes() else {
            return None;
        };
        Some(Self {
            state: *state,
            parent: fields.next()?.parse().ok()?,
            session: fields.nth(1)?.parse().ok()?,
            start: fields.nth(15)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    struct Sleeper(Child);

    fn sleeper() -> (Sleeper, u32) {
        let child = Command::new("sleep").arg("1000").spawn().expect("starts");
        let pid = child.id();
        (Sleeper(child), pid)
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// All that a process can be known by on this kernel.
    fn all_of(pid: u32) -> Vec<Identity> {
        let identity = Identity::of(pid).expect("it is there");
        let birth = Birth::Start(Stat::of(pid).expect("it is there").start);
        vec![identity, Identity { birth, ..identity }]
    }

    fn opens(identity: Identity) -> bool {
        identity.open().expect("can be looked at").is_some()
    }

    #[test]
    fn a_process_is_known_until_it_is_reaped() {
        let (mut sleeper, pid) = sleeper();
        let known = all_of(pid);
        assert!(known.iter().all(|it| opens(*it) && it.lives()));
        sleeper.0.kill().expect("kills");
        let pidfd = sys::pidfd_open(pid).expect("it is there");
        let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut ended, PollTimeout::NONE).expect("ends");
        assert!(known.iter().all(|it| opens(*it) && !it.lives()));
        sleeper.0.wait().expect("reaps");
        assert!(known.iter().all(|it| !opens(*it) && !it.lives()));
    }

    #[test]
    fn a_process_that_has_got_the_number_of_another_is_not_that_one() {
        let (_other, pid) = sleeper();
        for before in all_of(std::process::id()) {
            let identity = Identity { pid, ..before };
            assert!(!opens(identity) || before.birth == all_of(pid)[1].birth);
        }
        let earlier = Birth::Start(Stat::of(pid).expect("it is there").start - 1);
        for birth in [Birth::Inode(1), earlier, Birth::Start(0)] {
            let identity = Identity {
                birth,
                ..all_of(pid)[0]
            };
            assert!(!opens(identity) && !identity.lives());
        }
    }

    #[test]
    fn a_thread_that_has_got_the_number_of_a_process_is_not_that_one() {
        let known = all_of(std::process::id());
        let thread = std::thread::spawn(move || {
            let pid = nix::unistd::gettid().as_raw() as u32;
            known.iter().any(|it| opens(Identity { pid, ..*it }))
        });
        assert!(!thread.join().expect("ends"));
    }

    #[test]
    fn in_another_boot_nobody_is_who_they_were() {
        for now in all_of(std::process::id()) {
            let boot = "0f".repeat(16).parse().ok();
            let before = Identity { boot, ..now };
            assert!(opens(now) && !opens(before) && !before.lives());
            let unknown = Identity { boot: None, ..now };
            assert!(opens(unknown));
        }
    }

    #[test]
    fn the_kernel_tells_inodes_of_pidfds_where_it_has_pidfs() {
        let uname = nix::sys::utsname::uname().expect("a kernel");
        let release = uname.release().to_string_lossy().into_owned();
        let mut numbers = release.split(['.', '-']).map(|n| n.parse().unwrap_or(0));
        let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let this = Identity::of(std::process::id()).expect("it is there");
        let has_inode = matches!(this.birth, Birth::Inode(_));
        assert_eq!(has_inode, version >= (6, 9), "{release}");
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_not_when_a_bit_of_it_is_another() {
        let boot = "6f9d1e2a-0000-4000-8000-00000000abcd".parse().ok();
        for (birth, boot, text) in [
            (
                Birth::Inode(99),
                boot,
                "1 4711 6f9d1e2a00004000800000000000abcd inode 99 ",
            ),
            (Birth::Start(5), None, "1 4711 - start 5 "),
        ] {
            let pid = 4711;
            let identity = Identity { pid, birth, boot };
            let record = identity.to_string();
            assert!(record.starts_with(text), "{record}");
            assert_eq!(Identity::parse(&record), Ok(identity));
            for bit in 0..record.len() * 8 {
                let mut bytes = record.clone().into_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let changed = String::from_utf8_lossy(&bytes);
                assert_eq!(
                    Identity::parse(&changed),
                    Err(BadIdentity::Damaged),
                    "{changed}"
                );
            }
            for length in 0..record.len() {
                assert_eq!(
                    Identity::parse(&record[..length]),
                    Err(BadIdentity::Damaged)
                );
            }
        }
        let newer = "2 and whatever that may say";
        let record = format!("{newer} {}\n", checksum(newer));
        assert_eq!(Identity::parse(&record), Err(BadIdentity::Newer(2)));
    }

    #[test]
    fn what_earlier_programs_kept_in_json_is_understood() {
        let old = r#"{"pid":7,"start":12}"#;
        let identity: Identity = serde_json::from_str(old).expect("reads");
        let (birth, boot) = (Birth::Start(12), None);
        assert_eq!(
            identity,
            Identity {
                pid: 7,
                birth,
                boot
            }
        );
        let now = all_of(std::process::id())[0];
        let json = serde_json::to_string(&now).expect("writes");
        let again: Identity = serde_json::from_str(&json).expect("reads");
        assert_eq!(again, now, "{json}");
    }

    #[test]
    fn whatever_a_process_calls_itself_what_it_is_is_read() {
        let wanted = Some(Stat {
            state: b'R',
            parent: 1,
            session: 3,
            start: 4711,
        });
        for name in [&b"sh"[..], b"a) Z 1 (", b"\xff)", b"", b") ", b"\n"] {
            let stat = [
                b"7 (",
                name,
                b") R 1 2 3",
                &b" 0".repeat(15),
                b" 4711 0 0\n",
            ]
            .concat();
            assert_eq!(Stat::parse(&stat), wanted, "{name:?}");
            for end in 0..stat.len() - 5 {
                assert_ne!(Stat::parse(&stat[..end]), wanted, "{name:?}");
            }
        }
        for bad in [&b""[..], b"7 (sh", b"7 (sh) R 1", b"7 (sh) Running 1"] {
            assert_eq!(Stat::parse(bad), None, "{bad:?}");
        }
    }
}
