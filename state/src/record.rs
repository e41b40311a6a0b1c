//! One record in a file of its own: a JSON object with its version, and a checksum of all that.
//!
//! ```text
//! {"version":1,…,"crc32":"1c291ca3"}
//! ```
//!
//! A program from before records had these reads it, and leaves them out; what such a program wrote is read, too,
//! when it is a record and nothing but that.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::sealed;
use crate::source::{self, Unreadable};

/// What this program writes, and the newest that it understands.
pub const VERSION: u32 = 1;

/// More than any record of ours, in bytes.
const MOST: u64 = 16 << 20;

/// Something is there that is no record.
#[derive(Debug, thiserror::Error)]
pub enum BadRecord {
    #[error("cannot read {}", .file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{} is damaged at byte {at}: {fault}", .file.display())]
    Damaged {
        file: PathBuf,
        at: usize,
        fault: Fault,
    },
    #[error(
        "{} is of version {found}, and this program understands versions up to {VERSION}: start the program \
         that wrote it, or a newer one", .file.display()
    )]
    Newer { file: PathBuf, found: u32 },
}

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    NoFile(Unreadable),
    #[error("bytes have changed, the checksum is that of others")]
    Changed,
    #[error("it is no such record, or cut short ({0})")]
    Form(serde_json::Error),
    #[error("it has no checksum, and a member {0:?} that no record without one has")]
    Member(String),
}

impl BadRecord {
    pub fn file(&self) -> &Path {
        match self {
            Self::Read { file, .. } | Self::Damaged { file, .. } | Self::Newer { file, .. } => file,
        }
    }
}

#[derive(Serialize)]
struct Versioned<'a, T> {
    version: u32,
    #[serde(flatten)]
    record: &'a T,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// The bytes of a record, which is an object.
pub fn encode<T: Serialize>(record: &T) -> io::Result<Vec<u8>> {
    let version = VERSION;
    let object = serde_json::to_vec(&Versioned { version, record })?;
    Ok(sealed::seal(object))
}

/// The record in `file`; `None` when there is nothing of that name.
pub fn read<T: Serialize + DeserializeOwned>(file: &Path) -> Result<Option<T>, BadRecord> {
    let damaged = |at, fault| BadRecord::Damaged {
        file: file.to_owned(),
        at,
        fault,
    };
    let bytes = source::read(file, MOST).map_err(|why| match why {
        Unreadable::Io(source) => BadRecord::Read {
            file: file.to_owned(),
            source,
        },
        why => damaged(0, Fault::NoFile(why)),
    })?;
    let Some(bytes) = bytes else {
        return Ok(None);
    };
    let form = |error: serde_json::Error| {
        let at = match error.is_eof() {
            true => bytes.len(),
            false => error.column().saturating_sub(1),
        };
        damaged(at, Fault::Form(error))
    };
    if !sealed::is_sealed(&bytes) {
        return unsealed(&bytes).map(Some).map_err(|fault| match fault {
            Fault::Form(error) => form(error),
            fault => damaged(0, fault),
        });
    }
    if !sealed::is_whole(&bytes) {
        return Err(damaged(0, Fault::Changed));
    }
    match serde_json::from_slice(&bytes).map_err(form)? {
        Version { version } if version > VERSION => Err(BadRecord::Newer {
            file: file.to_owned(),
            found: version,
        }),
        Version { .. } => serde_json::from_slice(&bytes).map(Some).map_err(form),
    }
}

/// Of a program from before records had checksums.
fn unsealed<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let object: Map<String, Value> = serde_json::from_slice(bytes).map_err(Fault::Form)?;
    let record: T = serde_json::from_slice(bytes).map_err(Fault::Form)?;
    let known = serde_json::to_value(&record).map_err(Fault::Form)?;
    // A checksum whose name has changed is one.
    match object.keys().find(|name| known.get(name).is_none()) {
        Some(name) => Err(Fault::Member(name.clone())),
        None => Ok(record),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Lease {
        number: u64,
        names: Vec<String>,
        #[serde(default)]
        policy: Option<String>,
    }

    fn lease() -> Lease {
        Lease {
            number: 5,
            names: vec!["one".to_owned()],
            policy: Some("dns".to_owned()),
        }
    }

    /// What is read of a file with these bytes.
    fn read_of(bytes: &[u8]) -> Result<Option<Lease>, BadRecord> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("lease.json"), bytes).unwrap();
        read(&dir.path().join("lease.json"))
    }

    #[test]
    fn what_is_written_is_read_and_its_form_is_as_it_was() {
        let bytes = encode(&lease()).unwrap();
        let text = r#"{"version":1,"number":5,"names":["one"],"policy":"dns","crc32":"2458db99"}"#;
        assert_eq!(String::from_utf8_lossy(&bytes), text);
        assert_eq!(read_of(&bytes).unwrap(), Some(lease()));
        // An earlier program leaves out what it does not know.
        assert_eq!(serde_json::from_slice::<Lease>(&bytes).unwrap(), lease());
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read::<Lease>(&dir.path().join("lease.json")).unwrap(), None);
    }

    #[test]
    fn what_was_written_before_there_were_checksums_is_read() {
        let bytes = serde_json::to_vec(&lease()).unwrap();
        assert_eq!(read_of(&bytes).unwrap(), Some(lease()));
        let shorter = read_of(br#"{"number": 5, "names": []}"#).unwrap().unwrap();
        assert_eq!((shorter.number, shorter.policy), (5, None));
        for length in 0..bytes.len() {
            read_of(&bytes[..length]).unwrap_err();
        }
        let error = read_of(br#"{"number": 5, "names": [], "polizy": "dns"}"#).unwrap_err();
        let why = r#"damaged at byte 0: it has no checksum, and a member "polizy" that no record without one has"#;
        assert!(error.to_string().ends_with(why), "{error}");
    }

    #[test]
    fn every_bit_that_flips_and_every_cut_is_seen() {
        let bytes = encode(&lease()).unwrap();
        for length in 0..bytes.len() {
            read_of(&bytes[..length]).unwrap_err();
        }
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = read_of(&bytes);
            assert!(read.is_err(), "bit {bit}: {read:?}");
        }
    }

    #[test]
    fn a_newer_version_is_refused_with_what_to_do() {
        let bytes = sealed::seal(br#"{"version":2,"other":"form"}"#.to_vec());
        let error = read_of(&bytes).unwrap_err().to_string();
        let why = "is of version 2, and this program understands versions up to 1: start the program that wrote \
                   it, or a newer one";
        assert!(error.ends_with(why), "{error}");
    }
}
