//! Beside the agent's lock stands how its upgrades went, for whoever asked for one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, CheckpointError, Durability};
use crate::flags::Flags;

/// Of a record, and the newest that this program understands.
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    version: u32,
    /// The process that can be asked for an upgrade.
    pub agent: u32,
    /// How many were tried since this node has been up.
    pub tried: u64,
    #[serde(flatten)]
    pub state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// None was asked for.
    Able,
    Underway,
    Upgraded {
        from: u32,
    },
    Kept {
        why: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum OutcomeError {
    #[error("cannot read how upgrades of this agent went from {}", .file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{} does not tell how upgrades of this agent went", .file.display())]
    Damaged {
        file: PathBuf,
        source: serde_json::Error,
    },
    #[error(
        "{} is of version {version}, and this program understands version {VERSION}: use the program of \
         the agent",
        .file.display()
    )]
    Newer { file: PathBuf, version: u32 },
    #[error(transparent)]
    Write(#[from] CheckpointError),
    #[error("cannot tell how an upgrade went")]
    Encode(#[source] serde_json::Error),
}

impl Outcome {
    /// `None` when no agent that can be upgraded has been here. Blocks.
    pub fn read(runtime_dir: &Path) -> Result<Option<Outcome>, OutcomeError> {
        let file = containerizer::runtime_dir::upgrade(runtime_dir);
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(OutcomeError::Read { file, source }),
        };
        let outcome: Outcome = match serde_json::from_slice(&bytes) {
            Ok(outcome) => outcome,
            Err(source) => return Err(OutcomeError::Damaged { file, source }),
        };
        match outcome.version {
            VERSION => Ok(Some(outcome)),
            version => Err(OutcomeError::Newer { file, version }),
        }
    }

    /// This process says how it is. Blocks.
    pub fn write(runtime_dir: &Path, tried: u64, state: State) -> Result<(), OutcomeError> {
        let outcome = Outcome {
            version: VERSION,
            agent: std::process::id(),
            tried,
            state,
        };
        let file = containerizer::runtime_dir::upgrade(runtime_dir);
        let text = serde_json::to_vec(&outcome).map_err(OutcomeError::Encode)?;
        Ok(checkpoint::replace(&file, &text, Durability::Process)?)
    }

    /// How many were tried, as far as that can be read. Blocks.
    pub fn tried(runtime_dir: &Path) -> u64 {
        Outcome::read(runtime_dir)
            .ok()
            .flatten()
            .map_or(0, |it| it.tried)
    }
}

/// Says that this process, an agent of its own, can be asked for an upgrade. Blocks, but not for long.
pub fn announce(flags: &Flags) -> Result<(), OutcomeError> {
    let runtime_dir = &flags.runtime_dir;
    Outcome::write(runtime_dir, Outcome::tried(runtime_dir), State::Able)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_not_understood_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Outcome::read(dir.path()).unwrap(), None);
        assert_eq!(Outcome::tried(dir.path()), 0);
        let why = "no".to_owned();
        let states = [
            State::Able,
            State::Underway,
            State::Upgraded { from: 7 },
            State::Kept { why },
        ];
        for state in states {
            Outcome::write(dir.path(), 3, state.clone()).unwrap();
            let read = Outcome::read(dir.path()).unwrap().unwrap();
            assert_eq!((read.tried, read.state), (3, state));
            assert_eq!(read.agent, std::process::id());
        }
        let file = containerizer::runtime_dir::upgrade(dir.path());
        std::fs::write(&file, r#"{"version":2,"agent":1,"tried":0,"state":"able"}"#).unwrap();
        let error = Outcome::read(dir.path()).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
        std::fs::write(&file, "{").unwrap();
        assert!(matches!(
            Outcome::read(dir.path()),
            Err(OutcomeError::Damaged { .. })
        ));
        assert_eq!(Outcome::tried(dir.path()), 0);
    }
}
