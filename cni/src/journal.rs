//! What containers have in networks, in files: one directory for each container, which holds what it is shown of
//! its network, too.
//!
//! ```text
//! <directory>/<container>
//! ├── attachments.json            networks and what was said of them, from before it has any: see `state`
//! ├── attachments.json.copy       the same, in case that is damaged: only who knows it can undo it
//! ├── ns                          its network namespace, mounted
//! ├── told                        what a plugin was told of it last; locked while one runs
//! └── hosts, hostname, resolv.conf
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use failpoint::{Point, reach};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use state::BadRecord;

use crate::network::Network;
use crate::outcome::{Outcome, understood};
use crate::plan::Runtime;

/// Of one container. One without any network has none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// In the order in which they were asked for.
    pub attachments: Vec<Attachment>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// As the operator described it then.
    #[serde(with = "text")]
    pub network: Network,
    pub interface: String,
    pub runtime: Runtime,
    pub arguments: Map<String, Value>,
    /// `None` until its plugins have said it.
    pub result: Option<Value>,
}

impl Record {
    /// Whether the network of that name is one of them.
    pub fn is_in(&self, network: &str) -> bool {
        self.attachments.iter().any(|it| it.network.name == network)
    }
}

impl Attachment {
    /// What its plugins have said.
    pub fn outcome(&self) -> Option<Outcome> {
        understood(self.result.as_ref()?, self.network.version).ok()
    }
}

mod text {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::network::Network;

    pub fn serialize<S: Serializer>(network: &Network, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&network.text)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Network, D::Error> {
        Network::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {attempt} {}", .path.display())]
    File {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot tell which networks a container is in")]
    Newer(#[source] BadRecord),
}

/// What is written down of one container.
#[derive(Debug, Default)]
pub struct Read {
    /// `None` when nothing of it can be read: then nobody knows what the container had.
    pub record: Option<Record>,
    /// Each file that is there and cannot be read.
    pub damaged: Vec<BadRecord>,
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::File {
        attempt,
        path,
        source,
    }
}

#[derive(Debug, Clone)]
pub struct Journal(PathBuf);

impl Journal {
    pub fn new(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    pub fn place(&self, container: &str) -> PathBuf {
        self.0.join(container)
    }

    /// Of a container's namespace.
    pub fn namespace(&self, container: &str) -> PathBuf {
        self.place(container).join("ns")
    }

    /// What plugins are told of a container.
    pub fn told(&self, container: &str) -> PathBuf {
        self.place(container).join("told")
    }

    pub fn write(&self, container: &str, record: &Record) -> Result<(), JournalError> {
        let place = self.place(container);
        fs::create_dir_all(&place).map_err(failed("make", &place))?;
        reach(Point::NetworksPlaced);
        let file = place.join(FILE);
        let new = place.join("attachments.json.new");
        let bytes = state::encode(record).map_err(failed("write", &new))?;
        fs::write(&new, &bytes).map_err(failed("write", &new))?;
        reach(Point::NetworksWritten);
        fs::rename(&new, &file).map_err(failed("write", &file))?;
        reach(Point::NetworksKnown);
        // Not to its end, it is worth no less than none.
        let copy = place.join(COPY);
        fs::write(&copy, &bytes).map_err(failed("write", &copy))?;
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

    pub fn containers(&self) -> Result<Vec<String>, JournalError> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(failed("read", &self.0))?,
        };
        let names = entries.flatten().map(|it| it.file_name().into_string());
        Ok(names.flatten().collect())
    }

    /// The copy counts where the record itself is damaged. Errors: `Newer`, for what that says is known, and not to
    /// us.
    pub fn read(&self, container: &str) -> Result<Read, JournalError> {
        let place = self.place(container);
        let mut read = Read::default();
        for name in [FILE, COPY] {
            match state::read_record(&place.join(name)) {
                Ok(record) => read.record = record,
                Err(newer @ BadRecord::Newer { .. }) => return Err(JournalError::Newer(newer)),
                Err(damaged) => read.damaged.push(damaged),
            }
            if read.record.is_some() {
                break;
            }
        }
        Ok(read)
    }
}

const FILE: &str = "attachments.json";
const COPY: &str = "attachments.json.copy";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_damaged_one_from_its_copy() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::new(&directory.path().join("cni"));
        assert_eq!(journal.containers().unwrap(), [] as [&str; 0]);
        let text = r#"{"name": "blue", "cniVersion": "1.0.0", "type": "t"}"#;
        let record = Record {
            attachments: vec![Attachment {
                network: Network::parse(text).unwrap(),
                interface: "eth0".to_owned(),
                runtime: Runtime {
                    ips: vec!["10.0.0.1".to_owned()],
                    ..Runtime::default()
                },
                arguments: Map::new(),
                result: Some(serde_json::json!({"ips": []})),
            }],
        };
        journal.write("c1", &record).unwrap();
        journal.write("c2", &Record::default()).unwrap();
        let read = |container| {
            let Read { record, damaged } = journal.read(container).unwrap();
            (record, damaged.len())
        };
        assert_eq!(read("c1"), (Some(record.clone()), 0));
        assert_eq!(read("c2"), (Some(Record::default()), 0));
        let file = |name| journal.place("c1").join(name);
        let whole = fs::read(file(FILE)).unwrap();
        let old = serde_json::to_vec(&record).unwrap();
        for (main, copy, found) in [
            (&whole[..9], &whole[..], (Some(record.clone()), 1)),
            (&whole[..9], &whole[..9], (None, 2)),
            (&whole[..], &whole[..9], (Some(record.clone()), 0)),
            (&old[..], &old[..], (Some(record.clone()), 0)),
        ] {
            fs::write(file(FILE), main).unwrap();
            fs::write(file(COPY), copy).unwrap();
            assert_eq!(read("c1"), found);
        }
        // Set aside.
        fs::rename(file(FILE), file("attachments.json.damaged-0")).unwrap();
        assert_eq!(read("c1"), (Some(record), 0));
        fs::remove_file(file(COPY)).unwrap();
        assert_eq!(read("c1"), (None, 0));
        let mut containers = journal.containers().unwrap();
        containers.sort();
        assert_eq!(containers, ["c1", "c2"]);
        for container in ["c1", "c2", "c2", "never"] {
            journal.remove(container).unwrap();
        }
        assert_eq!(journal.containers().unwrap(), [] as [&str; 0]);
    }
}
