//! What a container has of the node's network, written down before any of it is there.
//!
//! ```text
//! <directory>/<container>/
//! ├── lease.json     its addresses and ports
//! └── hosts, hostname, resolv.conf    of that container
//! ```
//!
//! It dies with the kernel whose links and rules are told of, so nothing is synced.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use failpoint::{Point, reach};
use serde::{Deserialize, Serialize};

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
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {attempt} {}", .path.display())]
    File {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
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
        }
    }

    pub fn elements(&self) -> impl Iterator<Item = Element> {
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
        let (file, new) = (place.join("lease.json"), place.join("lease.json.new"));
        let text = serde_json::to_vec(lease).map_err(io::Error::from);
        let written = text.and_then(|text| fs::write(&new, text));
        written.map_err(failed("write", &new))?;
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

    /// Of all containers. One that cannot be read has no lease.
    pub fn read(&self) -> Result<Vec<(String, Option<Lease>)>, JournalError> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(failed("read", &self.0))?,
        };
        let names = entries
            .flatten()
            .filter_map(|it| it.file_name().into_string().ok());
        let lease = |name: &String| {
            let text = fs::read(self.place(name).join("lease.json")).ok()?;
            serde_json::from_slice(&text).ok()
        };
        Ok(names
            .map(|name| {
                let lease = lease(&name);
                (name, lease)
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Protocol;

    #[test]
    fn a_lease_is_read_as_it_was_written_and_a_damaged_one_is_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let journal = Journal::new(&directory.path().join("network"));
        assert_eq!(journal.read().expect("reads"), []);
        let lease = Lease {
            number: 5,
            addresses: vec!["10.0.0.7".parse().expect("an address")],
            ports: vec![Port {
                protocol: Protocol::Udp,
                host: 31000,
                container: 53,
            }],
            egress: Some("10.0.0.0/8:443/tcp dns".parse().expect("a policy")),
        };
        journal.write("c1", &lease).expect("writes");
        journal.write("c2", &lease).expect("writes");
        fs::write(journal.place("c2").join("lease.json"), "{").expect("writes");
        let mut read = journal.read().expect("reads");
        read.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(
            read,
            [("c1".to_owned(), Some(lease)), ("c2".to_owned(), None)]
        );
        for container in ["c1", "c2", "c2", "never"] {
            journal.remove(container).expect("removes");
        }
        assert_eq!(journal.read().expect("reads"), []);
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
        }
    }
}
