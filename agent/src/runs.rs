//! Runs, as the names of directories tell them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::paths::{Paths, Run};

#[derive(Debug, thiserror::Error)]
#[error("cannot list {}", .path.display())]
pub struct ListError {
    path: PathBuf,
    source: io::Error,
}

impl From<ListError> for io::Error {
    fn from(error: ListError) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}

/// Which of the two trees that have the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    Sandboxes,
    Checkpoints,
}

impl Tree {
    fn agents(self, paths: &Paths) -> PathBuf {
        match self {
            Self::Sandboxes => paths.agents(),
            Self::Checkpoints => paths.meta_agents(),
        }
    }

    fn frameworks(self, paths: &Paths, agent: &str) -> PathBuf {
        match self {
            Self::Sandboxes => paths.frameworks(agent),
            Self::Checkpoints => paths.meta_frameworks(agent),
        }
    }

    fn executors(self, paths: &Paths, agent: &str, framework: &str) -> PathBuf {
        match self {
            Self::Sandboxes => paths.executors(agent, framework),
            Self::Checkpoints => paths.meta_executors(agent, framework),
        }
    }

    fn runs(self, paths: &Paths, run: &Run) -> PathBuf {
        match self {
            Self::Sandboxes => paths.runs(run),
            Self::Checkpoints => paths.meta_runs(run),
        }
    }
}

/// Every run of every agent id that ever was here. Blocks.
pub fn runs(paths: &Paths, tree: Tree) -> Result<Vec<Run>, ListError> {
    let mut found = Vec::new();
    for run in executors(paths, tree)? {
        for container in directories(&tree.runs(paths, &run))? {
            found.push(Run {
                container,
                ..run.clone()
            });
        }
    }
    Ok(found)
}

/// Executors that there is no run of. Blocks.
pub fn without_runs(paths: &Paths, tree: Tree) -> Result<Vec<Run>, ListError> {
    let mut found = Vec::new();
    for run in executors(paths, tree)? {
        if directories(&tree.runs(paths, &run))?.is_empty() {
            found.push(run);
        }
    }
    Ok(found)
}

/// Each as a run without a container.
fn executors(paths: &Paths, tree: Tree) -> Result<Vec<Run>, ListError> {
    let mut found = Vec::new();
    for agent in directories(&tree.agents(paths))? {
        for framework in directories(&tree.frameworks(paths, &agent))? {
            for executor in directories(&tree.executors(paths, &agent, &framework))? {
                found.push(Run {
                    agent: agent.clone(),
                    framework: framework.clone(),
                    executor,
                    container: String::new(),
                });
            }
        }
    }
    Ok(found)
}

/// What goes away meanwhile, and what was never there, has none.
fn directories(path: &Path) -> Result<Vec<String>, ListError> {
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
