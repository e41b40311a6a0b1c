//! What is left of an executor that has no run: an agent has died before it made the first, or over the removal
//! of the last.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use proto::error::chain;

use super::{CollectError, remove_executor};
use crate::paths::{Paths, Run};
use crate::runs::{Tree, without_runs};

/// Executors of which there was no run at some moment.
#[derive(Debug, Default)]
pub struct Remains(BTreeSet<Run>);

impl Remains {
    /// Blocks.
    pub fn find(paths: &Paths) -> io::Result<Remains> {
        let mut found = BTreeSet::new();
        for tree in [Tree::Sandboxes, Tree::Checkpoints] {
            found.extend(without_runs(paths, tree)?);
        }
        Ok(Remains(found))
    }

    /// Those that have begun no run since: `live` is of a later moment than the look. Blocks.
    pub fn remove(self, paths: &Paths, live: &BTreeSet<Run>) {
        let of = |run: &Run| {
            (
                run.agent.clone(),
                run.framework.clone(),
                run.executor.clone(),
            )
        };
        let live: BTreeSet<_> = live.iter().map(of).collect();
        for executor in self.0.iter().filter(|it| !live.contains(&of(it))) {
            if let Err(error) = remove(paths, executor) {
                let error = chain(&error);
                let (framework, executor) = (&executor.framework, &executor.executor);
                tracing::warn!(
                    framework,
                    executor,
                    error,
                    "cannot remove what is left of an executor"
                );
            }
        }
    }
}

fn remove(paths: &Paths, executor: &Run) -> Result<(), CollectError> {
    let latest = paths.latest_sandbox(executor);
    for link in [latest.with_extension("tmp"), latest] {
        // One that leads to a sandbox belongs to a run that is there after all.
        if fs::metadata(&link).is_ok() {
            return Ok(());
        }
        match fs::remove_file(&link) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(CollectError::Link { link, source });
            }
            _ => {}
        }
    }
    remove_executor(paths, executor)
}
