//! Options of `docker run` that are about the files and the limits of a container of an image. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use isolators::{CpuSet, Priority, Tmpfs};
use nix::sys::signal::Signal;
use proto::v1;

use crate::task::docker::size;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Instead of the image's.
    pub working_dir: Option<PathBuf>,
    /// Instead of the image's, whose CMD then does not count either.
    pub entrypoint: Option<String>,
    pub read_only: bool,
    pub tmpfs: Vec<Tmpfs>,
    pub devices: Vec<Device>,
    pub sysctls: BTreeMap<String, String>,
    /// Lines of hosts(5).
    pub hosts: Vec<String>,
    /// Processes and threads at most.
    pub pids: Option<u64>,
    /// With memory, in bytes; `None` says nothing.
    pub swap: Option<MemorySwap>,
    pub stop_signal: Option<i32>,
    pub cpuset: CpuSet,
    pub priority: Priority,
    /// Beside those of the user: numbers, and names that the image knows.
    pub groups: Vec<String>,
    /// Who tells names, which is for the network where there is an own one.
    pub names: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemorySwap {
    Unlimited,
    Bytes(u64),
}

/// Of the host, and how the container has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub source: PathBuf,
    pub target: PathBuf,
    pub read: bool,
    pub write: bool,
    pub mknod: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the docker parameter {key} is {value:?}: it must be {wanted}")]
pub struct BadOption {
    key: String,
    value: String,
    wanted: &'static str,
}

impl Options {
    /// Those that are left once the others are said in fields of their own.
    pub fn of(parameters: &[v1::Parameter]) -> Result<Options, BadOption> {
        let mut options = Options::default();
        for v1::Parameter { key, value } in parameters {
            options.add(key, value).map_err(|wanted| BadOption {
                key: key.clone(),
                value: value.clone(),
                wanted,
            })?;
        }
        Ok(options)
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        match key {
            "workdir" | "w" => {
                let path = whole(value).ok_or("an absolute path without \"..\"")?;
                self.working_dir = Some(path);
            }
            "entrypoint" => self.entrypoint = Some(value.to_owned()).filter(|it| !it.is_empty()),
            "read-only" => self.read_only = value != "false",
            "tmpfs" => self
                .tmpfs
                .push(tmpfs(value).ok_or("an absolute path, with :options")?),
            "device" => {
                let wanted = "/dev/x, /dev/x:/dev/y or /dev/x:/dev/y:rwm";
                self.devices.push(device(value).ok_or(wanted)?);
            }
            "sysctl" => {
                let (name, value) = value.split_once('=').ok_or("name=value")?;
                self.sysctls.insert(name.to_owned(), value.to_owned());
            }
            "add-host" => self.hosts.push(host(value).ok_or("name:address")?),
            "pids-limit" => {
                let most: i64 = value.parse().map_err(|_why| "a number")?;
                self.pids = u64::try_from(most).ok().filter(|most| *most > 0);
            }
            "memory-swap" => {
                self.swap = Some(match value {
                    "-1" => MemorySwap::Unlimited,
                    text => MemorySwap::Bytes(size(text).ok_or("-1, or a size such as 64m")?),
                });
            }
            "stop-signal" => {
                self.stop_signal = Some(signal(value).ok_or("a signal such as SIGQUIT")?);
            }
            "cpuset-cpus" => self.cpuset.cpus = Some(list(value)?),
            "cpuset-mems" => self.cpuset.mems = Some(list(value)?),
            "cpu-shares" | "c" => {
                self.priority.cpu_shares =
                    within(value, 2..=262_144, "0, or a number from 2 to 262144")?;
            }
            "blkio-weight" => {
                self.priority.io_weight =
                    within(value, 10..=1000, "0, or a number from 10 to 1000")?;
            }
            "oom-score-adj" => {
                const WANTED: &str = "a number from -1000 to 1000";
                let score: i32 = value.parse().map_err(|_why| WANTED)?;
                let known = (-1000..=1000).contains(&score);
                self.priority.oom_score_adj = Some(known.then_some(score).ok_or(WANTED)?);
            }
            "group-add" => self
                .groups
                .push(group(value).ok_or("the name or the number of a group")?),
            // Whoever makes the network reads them.
            "dns" | "dns-search" | "dns-option" | "dns-opt" => self.names = true,
            _ => {}
        }
        Ok(())
    }
}

/// 0 says nothing, as with Docker.
fn within<T>(
    text: &str,
    range: RangeInclusive<T>,
    wanted: &'static str,
) -> Result<Option<T>, &'static str>
where
    T: FromStr + PartialOrd + From<u8>,
{
    let number: T = text.parse().map_err(|_why| wanted)?;
    match number == T::from(0) {
        true => Ok(None),
        false if range.contains(&number) => Ok(Some(number)),
        false => Err(wanted),
    }
}

fn group(text: &str) -> Option<String> {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | ',');
    (!text.is_empty() && !text.contains(is_odd)).then(|| text.to_owned())
}

/// What is on this host the kernel knows best.
fn list(text: &str) -> Result<String, &'static str> {
    const WANTED: &str = "a list such as 0-2,7";
    let number = |text: &str| text.parse::<u16>().is_ok() && !text.starts_with('+');
    let is_range = |text: &str| match text.split_once('-') {
        None => number(text),
        Some((first, last)) => number(first) && number(last),
    };
    match text.split(',').all(is_range) {
        true => Ok(text.to_owned()),
        false => Err(WANTED),
    }
}

fn whole(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let leaves = path.components().any(|part| part == Component::ParentDir);
    (path.is_absolute() && !leaves && !text.contains('\0')).then(|| path.to_owned())
}

fn tmpfs(text: &str) -> Option<Tmpfs> {
    let (target, said) = text.split_once(':').unwrap_or((text, ""));
    // As Docker mounts them, unless it is told otherwise.
    let usual = ["nosuid", "nodev", "noexec"].into_iter();
    let said = said.split(',').filter(|option| !option.is_empty());
    Some(Tmpfs {
        target: whole(target)?,
        options: usual.chain(said).map(str::to_owned).collect(),
    })
}

fn device(text: &str) -> Option<Device> {
    let mut parts = text.split(':');
    let source = parts.next()?;
    let (second, third) = (parts.next(), parts.next());
    let is_access = |it: &&str| !it.is_empty() && it.chars().all(|c| "rwm".contains(c));
    let (target, access) = match (second, third) {
        (None, _) => (source, "rwm"),
        (Some(access), None) if is_access(&access) => (source, access),
        (Some(target), None) => (target, "rwm"),
        (Some(target), Some(access)) => (target, Some(access).filter(is_access)?),
    };
    let (source, target) = (whole(source)?, whole(target)?);
    let is_device = source.starts_with("/dev") && target.starts_with("/dev");
    (is_device && parts.next().is_none()).then(|| Device {
        source,
        target,
        read: access.contains('r'),
        write: access.contains('w'),
        mknod: access.contains('m'),
    })
}

fn host(text: &str) -> Option<String> {
    let (name, address) = text.split_once([':', '='])?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let address: IpAddr = address.parse().ok()?;
    let is_odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    (!name.is_empty() && !name.contains(is_odd)).then(|| format!("{address}\t{name}"))
}

/// By its name or number; those of real time count from the first that programs may use.
pub fn signal(text: &str) -> Option<i32> {
    const REAL_TIME: (i32, i32) = (34, 64);
    let known = |number: &i32| (1..=REAL_TIME.1).contains(number);
    if let Ok(number) = text.parse() {
        return Some(number).filter(known);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let real_time = |start: &str| name.strip_prefix(start);
    let number = match (real_time("RTMIN"), real_time("RTMAX")) {
        (Some(""), _) => Some(REAL_TIME.0),
        (_, Some("")) => Some(REAL_TIME.1),
        (Some(more), _) => more
            .strip_prefix('+')?
            .parse()
            .ok()
            .map(|it: i32| REAL_TIME.0 + it),
        (_, Some(less)) => less
            .strip_prefix('-')?
            .parse()
            .ok()
            .map(|it: i32| REAL_TIME.1 - it),
        (None, None) => format!("SIG{name}")
            .parse::<Signal>()
            .ok()
            .map(|it| it as i32),
    };
    number.filter(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(parameters: &[(&str, &str)]) -> Result<Options, BadOption> {
        let parameter = |(key, value): &(&str, &str)| v1::Parameter {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        Options::of(&parameters.iter().map(parameter).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_as_docker_reads_them() {
        let found = options(&[
            ("tmpfs", "/run"),
            ("tmpfs", "/tmp:rw,exec,size=1m"),
            ("device", "/dev/fuse"),
            ("device", "/dev/sda:/dev/x:r"),
            ("device", "/dev/kvm:rw"),
            ("sysctl", "net.core.somaxconn=10"),
            ("add-host", "db:10.0.0.1"),
            ("add-host", "six:[fd00::1]"),
            ("pids-limit", "100"),
            ("memory-swap", "64m"),
            ("stop-signal", "SIGQUIT"),
            ("cpuset-cpus", "0-2,7"),
            ("cpuset-mems", "0"),
            ("group-add", "44"),
            ("group-add", "video"),
            ("cpu-shares", "512"),
            ("blkio-weight", "300"),
            ("oom-score-adj", "-500"),
            ("read-only", "true"),
            ("workdir", "/w"),
            ("entrypoint", ""),
        ]);
        let found = found.unwrap();
        let tmpfs: Vec<_> = found.tmpfs.iter().map(|it| it.options.join(",")).collect();
        assert_eq!(
            tmpfs,
            ["nosuid,nodev,noexec", "nosuid,nodev,noexec,rw,exec,size=1m"]
        );
        let device = |it: &Device| (it.target.display().to_string(), it.read, it.write, it.mknod);
        assert_eq!(
            found.devices.iter().map(device).collect::<Vec<_>>(),
            [
                ("/dev/fuse".to_owned(), true, true, true),
                ("/dev/x".to_owned(), true, false, false),
                ("/dev/kvm".to_owned(), true, true, false),
            ]
        );
        assert_eq!(found.hosts, ["10.0.0.1\tdb", "fd00::1\tsix"]);
        assert_eq!((found.pids, found.stop_signal), (Some(100), Some(3)));
        assert_eq!(found.swap, Some(MemorySwap::Bytes(64 << 20)));
        let (cpus, mems) = (found.cpuset.cpus.as_deref(), found.cpuset.mems.as_deref());
        assert_eq!((cpus, mems), (Some("0-2,7"), Some("0")));
        assert_eq!(found.groups, ["44", "video"]);
        let wanted = Priority {
            cpu_shares: Some(512),
            io_weight: Some(300),
            oom_score_adj: Some(-500),
        };
        assert_eq!(found.priority, wanted);
        let unsaid = options(&[("cpu-shares", "0"), ("blkio-weight", "0")]).unwrap();
        assert_eq!(unsaid.priority, Priority::default());
        assert!(found.read_only && found.entrypoint.is_none());
        assert_eq!(options(&[("pids-limit", "-1")]).unwrap().pids, None);
    }

    #[test]
    fn what_is_no_value_is_refused_by_its_key() {
        for (key, value) in [
            ("tmpfs", "run"),
            ("tmpfs", "/a/../b"),
            ("device", "/etc/passwd"),
            ("device", "/dev/x:/etc/y"),
            ("device", "/dev/x:/dev/y:z"),
            ("device", "/dev/x:/dev/y:r:w"),
            ("device", "/dev/../etc/x"),
            ("sysctl", "a"),
            ("add-host", "a"),
            ("add-host", "a b:10.0.0.1"),
            ("add-host", "a:host-gateway"),
            ("add-host", "a\n10.0.0.2 b:10.0.0.1"),
            ("pids-limit", "many"),
            ("memory-swap", "much"),
            ("cpuset-cpus", ""),
            ("cpuset-cpus", "0-"),
            ("cpuset-mems", "0\n1"),
            ("group-add", ""),
            ("group-add", "a:b"),
            ("cpu-shares", "1"),
            ("cpu-shares", "262145"),
            ("blkio-weight", "9"),
            ("blkio-weight", "-10"),
            ("oom-score-adj", "1001"),
            ("oom-score-adj", "never"),
            ("stop-signal", "SIGNONE"),
            ("stop-signal", "65"),
            ("workdir", "w"),
        ] {
            let error = options(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(&format!("parameter {key} is")), "{error}");
        }
    }

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (text, number) in [
            ("SIGTERM", Some(15)),
            ("quit", Some(3)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("SIGRTMIN+99", None),
            ("0", None),
            ("SIGSIGTERM", None),
            ("", None),
        ] {
            assert_eq!(signal(text), number, "{text}");
        }
    }
}
