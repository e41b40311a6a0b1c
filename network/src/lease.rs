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

use serde::{Deserialize, Serialize};

use crate::nftables::Element;
use crate::port::Port;
use crate::settings::Settings;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Of all that there are in the subnets.
    pub number: u64,
    /// IPv4 first.
    pub addresses: Vec<IpAddr>,
    pub ports: Vec<Port>,
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
    pub fn of(number: u64, ports: &[Port], settings: &Settings) -> Self {
        Self {
            number,
            addresses: settings
                .subnets()
                .map(|it| it.of_container(number))
                .collect(),
            ports: ports.to_vec(),
        }
    }

    pub fn elements(&self) -> impl Iterator<Item = Element> {
        self.addresses.iter().flat_map(|ip| {
            self.ports.iter().map(|port| Element {
                protocol: port.protocol,
                port: port.host,
                to: (*ip, port.container),
            })
        })
    }

    /// Of the container's link on the host.
    pub fn link(&self) -> String {
        link_of(self.number)
    }
}

const LINK: &str = "lshore";

/// A link's name tells whose it is also when nothing else does.
pub fn link_of(number: u64) -> String {
    format!("{LINK}{number:x}")
}

/// The opposite of `link_of`.
pub fn number_of(link: &str) -> Option<u64> {
    let number = u64::from_str_radix(link.strip_prefix(LINK)?, 16).ok()?;
    (link_of(number) == link).then_some(number)
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
        let (file, new) = (place.join("lease.json"), place.join("lease.json.new"));
        let text = serde_json::to_vec(lease).map_err(io::Error::from);
        let written = text.and_then(|text| fs::write(&new, text));
        written.map_err(failed("write", &new))?;
        fs::rename(&new, &file).map_err(failed("write", &file))
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
    fn a_links_name_is_its_number() {
        for number in [0, 1, 255, 0xffff_ffff] {
            assert_eq!(number_of(&link_of(number)), Some(number));
            assert!(link_of(number).len() <= 15);
        }
        for other in ["lshore", "lshore01", "lshorex", "longshore0", "eth0"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
