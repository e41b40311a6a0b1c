//! What a container has of the node's network, written down before any of it is there.
//!
//! ```text
//! <directory>/<container>/
//! ├── lease.json     its addresses and ports: see `state`
//! ├── link           leads nowhere: a symbolic link that says what its link is called, in case that is damaged
//! └── hosts, hostname, resolv.conf    of that container
//! ```
//!
//! It dies with the kernel whose links and rules are told of, so nothing is synced.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use failpoint::{Point, reach};
use serde::{Deserialize, Serialize};
use state::BadRecord;

use crate::egress::Policy;
use crate::nftables::Element;
use crate::port::Port;
use crate::ruleset::{Hardware, sets};
use crate::settings::Settings;

/// What a container asks for, beside an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    pub ports: Vec<Port>,
    pub egress: Option<Policy>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Of all that there are in the subnets.
    pub number: u64,
    /// IPv4 first.
    pub addresses: Vec<IpAddr>,
    pub ports: Vec<Port>,
    /// Whom it may talk to, when that is not everyone.
    #[serde(default)]
    pub egress: Option<Policy>,
    /// What the kernel has for it, when nothing else tells that any more. Never written down.
    #[serde(skip)]
    pub seen: Vec<Element>,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {attempt} {}", .path.display())]
    File {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot tell which addresses a container has")]
    Newer(#[source] BadRecord),
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::File {
        attempt,
        path,
        source,
    }
}

impl Lease {
    pub fn of(number: u64, wants: &Wants, settings: &Settings) -> Self {
        Self {
            number,
            addresses: settings
                .subnets()
                .map(|it| it.of_container(number))
                .collect(),
            ports: wants.ports.clone(),
            egress: wants.egress.clone(),
            seen: Vec::new(),
        }
    }

    pub fn elements(&self) -> impl Iterator<Item = Element> {
        let seen = self.seen.iter().cloned();
        let told = self.seen.is_empty().then(|| self.told()).into_iter();
        seen.chain(told.flatten())
    }

    /// All that follows from what is written down.
    pub fn told(&self) -> impl Iterator<Item = Element> {
        let hardware = self.hardware();
        let of_address = move |ip: &IpAddr| {
            let ports = self.ports.iter().map(|port| sets::port(*ip, port));
            let ports: Vec<_> = ports.collect();
            ports.into_iter().chain([sets::sender(*ip, hardware)])
        };
        let held = self.egress.iter();
        let held = held.flat_map(move |policy| sets::held(hardware, policy));
        let all = self.addresses.iter().flat_map(of_address);
        let place = sets::place(&self.link(), hardware);
        all.chain(held).chain(place).chain(sets::denied(hardware))
    }

    /// The address of its end of its link: locally administered, and the same each time, for neighbours
    /// remember it.
    pub fn hardware(&self) -> Hardware {
        hardware_of(self.addresses.first().copied())
    }

    /// Of the container's link on the host.
    pub fn link(&self) -> String {
        link_of(self.hardware())
    }
}

pub fn hardware_of(ip: Option<IpAddr>) -> Hardware {
    let [a, b, c, d] = match ip {
        Some(IpAddr::V4(ip)) => ip.octets(),
        Some(IpAddr::V6(_)) | None => [0; 4],
    };
    [0x0a, 0x58, a, b, c, d]
}

const LINK: &str = "lshore";

/// A link's name tells whose it is also when nothing else does, and agents of one host with a bridge each have
/// no name in common, for they have no address in common.
fn link_of([_, _, ip @ ..]: Hardware) -> String {
    format!("{LINK}{:08x}", u32::from_be_bytes(ip))
}

/// Whether a link has a name that a container's could have.
pub fn is_link(name: &str) -> bool {
    let ip = name.strip_prefix(LINK);
    let is_digit = |c: char| c.is_ascii_hexdigit() && !c.is_ascii_uppercase();
    ip.is_some_and(|ip| ip.len() == 8 && ip.chars().all(is_digit))
}

/// The address that a link's name tells.
pub fn ip_of(link: &str) -> Option<Ipv4Addr> {
    let ip = link.strip_prefix(LINK).filter(|_| is_link(link))?;
    u32::from_str_radix(ip, 16).ok().map(Ipv4Addr::from_bits)
}

/// What is written down of one container.
#[derive(Debug)]
pub enum Entry {
    Lease(Lease),
    /// Whoever was to write it down has died before that: there is nothing else of it.
    Begun,
    /// It cannot be read, or could not when that was set aside.
    Unread(Unread),
}

#[derive(Debug)]
pub struct Unread {
    /// What its link is called, when that is known.
    pub link: Option<String>,
    /// `None` when what is damaged has been set aside.
    pub why: Option<BadRecord>,
}

#[derive(Debug, Clone)]
pub struct Journal(PathBuf);

impl Journal {
    pub fn new(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// Of one container.
    pub fn place(&self, container: &str) -> PathBuf {
        self.0.join(container)
    }

    pub fn write(&self, container: &str, lease: &Lease) -> Result<(), JournalError> {
        let place = self.place(container);
        fs::create_dir_all(&place).map_err(failed("make", &place))?;
        reach(Point::LeasePlaced);
        let (file, new) = (place.join(FILE), place.join("lease.json.new"));
        let written = state::encode(lease).and_then(|bytes| fs::write(&new, bytes));
        written.map_err(failed("write", &new))?;
        let link = place.join(NAME);
        match symlink(lease.link(), &link) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("make", &link)(error));
            }
            _ => {}
        }
        reach(Point::LeaseWritten);
        fs::rename(&new, &file).map_err(failed("write", &file))?;
        reach(Point::Leased);
        Ok(())
    }

    /// Once nothing of it is there any more.
    pub fn remove(&self, container: &str) -> Result<(), JournalError> {
        let place = self.place(container);
        match fs::remove_dir_all(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &place)(error))
            }
            _ => Ok(()),
        }
    }

    /// Of all containers. Errors: `Newer`, for what it says is known, and not to us.
    pub fn read(&self) -> Result<Vec<(String, Entry)>, JournalError> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(failed("read", &self.0))?,
        };
        let names = entries
            .flatten()
            .filter_map(|it| it.file_name().into_string().ok());
        names
            .map(|name| self.entry(&name).map(|entry| (name, entry)))
            .collect()
    }

    fn entry(&self, container: &str) -> Result<Entry, JournalError> {
        let place = self.place(container);
        let why = match state::read_record(&place.join(FILE)) {
            Ok(Some(lease)) => return Ok(Entry::Lease(lease)),
            Ok(None) if !was_set_aside(&place) => return Ok(Entry::Begun),
            Ok(None) => None,
            Err(newer @ BadRecord::Newer { .. }) => return Err(JournalError::Newer(newer)),
            Err(why) => Some(why),
        };
        let link = fs::read_link(place.join(NAME)).ok();
        let link = link.and_then(|link| link.into_os_string().into_string().ok());
        Ok(Entry::Unread(Unread { link, why }))
    }
}

const FILE: &str = "lease.json";
const NAME: &str = "link";

/// By an earlier agent: it keeps its name, and what follows it is anything.
fn was_set_aside(place: &Path) -> bool {
    let prefix = format!("{FILE}.damaged-");
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name());
    names.any(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Protocol;

    #[test]
    fn a_lease_is_read_as_it_was_written_and_one_that_cannot_be_read_is_told_of() {
        let directory = tempfile::tempdir().expect("a directory");
        let journal = Journal::new(&directory.path().join("network"));
        assert!(journal.read().expect("reads").is_empty());
        let lease = Lease {
            number: 5,
            addresses: vec!["10.0.0.7".parse().expect("an address")],
            ports: vec![Port {
                protocol: Protocol::Udp,
                host: 31000,
                container: 53,
            }],
            egress: Some("10.0.0.0/8:443/tcp dns".parse().expect("a policy")),
            seen: Vec::new(),
        };
        for container in ["c1", "c2", "c3", "c4", "c5"] {
            journal.write(container, &lease).expect("writes");
        }
        let file = |container: &str| journal.place(container).join(FILE);
        fs::write(file("c2"), "{").expect("writes");
        fs::rename(file("c3"), file("c3").with_extension("json.damaged-0")).expect("sets aside");
        fs::remove_file(file("c4")).expect("removes");
        let old = serde_json::to_vec(&lease).expect("JSON");
        fs::write(file("c5"), old).expect("writes");
        let mut read = journal.read().expect("reads");
        read.sort_by(|one, other| one.0.cmp(&other.0));
        let mut read = read.into_iter().map(|(_, entry)| entry);
        assert!(matches!(read.next(), Some(Entry::Lease(it)) if it == lease));
        let unread = |entry| match entry {
            Some(Entry::Unread(Unread { link, why })) => (link, why.map(|it| it.to_string())),
            other => panic!("{other:?}"),
        };
        let (link, why) = unread(read.next());
        assert_eq!(link, Some(lease.link()));
        let wanted = format!("{} is damaged at byte 1: ", file("c2").display());
        assert!(why.is_some_and(|why| why.starts_with(&wanted)));
        assert_eq!(unread(read.next()), (Some(lease.link()), None));
        assert!(matches!(read.next(), Some(Entry::Begun)));
        assert!(matches!(read.next(), Some(Entry::Lease(it)) if it == lease));
        for container in ["c1", "c2", "c2", "c3", "c4", "c5", "never"] {
            journal.remove(container).expect("removes");
        }
        assert!(journal.read().expect("reads").is_empty());
    }

    #[test]
    fn a_lease_of_a_newer_program_is_not_for_us_to_judge() {
        let directory = tempfile::tempdir().expect("a directory");
        let journal = Journal::new(directory.path());
        fs::create_dir(journal.place("c1")).expect("makes");
        let newer = state::sealed::seal(br#"{"version":2}"#.to_vec());
        fs::write(journal.place("c1").join(FILE), newer).expect("writes");
        let error = journal.read().expect_err("is newer");
        assert!(matches!(error, JournalError::Newer(_)), "{error}");
    }

    #[test]
    fn a_lease_that_was_written_before_there_were_policies_is_read() {
        let text = r#"{"number": 5, "addresses": ["10.0.0.7"], "ports": []}"#;
        let lease: Lease = serde_json::from_str(text).expect("a lease");
        assert_eq!(lease.egress, None);
        assert_eq!(lease.hardware(), [0x0a, 0x58, 10, 0, 0, 7]);
    }

    #[test]
    fn a_links_name_is_its_address() {
        let link = link_of([0x0a, 0x58, 10, 0, 0, 7]);
        assert_eq!(link, "lshore0a000007");
        assert_eq!(ip_of(&link), Some(Ipv4Addr::new(10, 0, 0, 7)));
        assert!(is_link(&link));
        for other in [
            "lshore",
            "lshore01",
            "lshore0a00000g",
            "lshore0A000007",
            "longshore0",
            "eth0",
        ] {
            assert!(!is_link(other), "{other}");
            assert_eq!(ip_of(other), None, "{other}");
        }
    }
}
