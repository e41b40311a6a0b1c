//! Runs, as the names of directories tell them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::paths::Run;

#[derive(Debug, thiserror::Error)]
#[error("cannot list {}", .path.display())]
pub struct ListError {
    path: PathBuf,
    source: io::Error,
}

/// All below a directory of agents: the tree of sandboxes and that of checkpoints have the same names. Blocks.
pub fn runs(agents: &Path) -> Result<Vec<Run>, ListError> {
    let mut found = Vec::new();
    for agent in directories(agents)? {
        let frameworks = agents.join(&agent).join("frameworks");
        for framework in directories(&frameworks)? {
            let executors = frameworks.join(&framework).join("executors");
            for executor in directories(&executors)? {
                for container in directories(&executors.join(&executor).join("runs"))? {
                    found.push(Run {
                        agent: agent.clone(),
                        framework: framework.clone(),
                        executor: executor.clone(),
                        container,
                    });
                }
            }
        }
    }
    Ok(found)
}

/// What goes away meanwhile, and what was never there, has none.
pub fn directories(path: &Path) -> Result<Vec<String>, ListError> {
    let fail = |source| ListError {
        path: path.to_owned(),
        source,
    };
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.map_err(fail)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(fail)?;
        if entry.file_type().map_err(fail)?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

impl From<ListError> for io::Error {
    fn from(error: ListError) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}
