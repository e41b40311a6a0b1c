//! A machine that stops takes files with it that nobody waited for. Those that tell whose a terminal update
//! is are put back from the copies that the update keeps: it must be told.

use std::path::Path;

use crate::checkpoint::{self, CheckpointError, Durability, Journalled, directories};
use crate::paths::{Paths, Run, described_by};
use crate::task::journal::Record;

/// After a reboot. What cannot be listed or read is for `read` to find.
pub fn restore(paths: &Paths, agent: &str) -> Result<(), CheckpointError> {
    for framework in names(&paths.meta_frameworks(agent)) {
        for executor in names(&paths.meta_executors(agent, &framework)) {
            let run = Run {
                agent: agent.to_owned(),
                framework: framework.clone(),
                executor,
                container: String::new(),
            };
            for container in names(&paths.meta_runs(&run)) {
                let run = Run {
                    container,
                    ..run.clone()
                };
                if paths.sentinel(&run).exists() {
                    continue;
                }
                for task in names(&paths.meta_tasks(&run)) {
                    restore_task(paths, &run, &task)?;
                }
            }
        }
    }
    Ok(())
}

fn restore_task(paths: &Paths, run: &Run, task: &str) -> Result<(), CheckpointError> {
    let updates = paths.task_updates(run, task);
    let Ok(journal) = Journalled::<Record>::read(&updates) else {
        return Ok(());
    };
    let Some(copies) = (journal.records.into_iter())
        .map(|record| record.descriptions)
        .rfind(|copies| !copies.is_empty())
    else {
        return Ok(());
    };
    for (file, copy) in described_by(&updates).iter().zip(copies) {
        if !copy.is_empty() && checkpoint::is_missing_or_cut_short(file) {
            tracing::warn!(file = %file.display(), "put back what the stop of the machine took");
            checkpoint::replace(file, &copy, Durability::Reboot)?;
        }
    }
    Ok(())
}

fn names(directory: &Path) -> Vec<String> {
    directories(directory).unwrap_or_default().names
}
