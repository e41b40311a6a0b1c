//! What an earlier process of this agent left behind: read as plain data first, then decided upon.
//!
//! Source: spec/mesos-agent.md section 14.

mod changed;
mod fate;
mod unread;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proto::v1;

use crate::checkpoint::{self, CheckpointError};
use crate::paths::{Paths, Run};
use crate::task::journal::{History, TaskJournal};
pub use changed::{Changed, Reconfiguration, check_unchanged};
pub use fate::{Fate, decide, record};
pub use unread::Unread;

/// Everything below `meta`, as far as it is about this agent.
#[derive(Debug, Default)]
pub struct Stored {
    pub info: Option<v1::AgentInfo>,
    /// The kernel is another one than when this was written: no process of then is alive.
    pub rebooted: bool,
    pub frameworks: Vec<StoredFramework>,
    /// What could not be read, each as a sentence; it is left where it is.
    pub errors: Vec<String>,
    pub unread: Unread,
}

#[derive(Debug)]
pub struct StoredFramework {
    pub info: v1::FrameworkInfo,
    pub runs: Vec<StoredRun>,
}

#[derive(Debug)]
pub struct StoredRun {
    pub run: Run,
    pub executor: v1::ExecutorInfo,
    /// Over, and everything about it acknowledged.
    pub completed: bool,
    pub tasks: Vec<StoredTask>,
}

#[derive(Debug)]
pub struct StoredTask {
    pub info: v1::TaskInfo,
    pub journal: TaskJournal,
    pub history: History,
}

#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Changed(#[from] Changed),
}

/// Reads the agent that `latest` names. Blocks.
pub fn read(paths: &Paths, boot_id: Option<&str>) -> Result<Stored, RecoveryError> {
    let Some(agent) = read_link(&paths.latest_agent())? else {
        return Ok(Stored::default());
    };
    let agent = agent.to_string_lossy().into_owned();
    let mut stored = Stored {
        info: checkpoint::read(&paths.agent_info(&agent))?,
        rebooted: rebooted(paths, boot_id),
        ..Stored::default()
    };
    for framework in entries(&paths.meta_frameworks(&agent))? {
        match read_framework(paths, &agent, &framework, &mut stored) {
            Ok(framework) => stored.frameworks.extend(framework),
            Err(error) => {
                stored.errors.push(proto::error::chain(&error));
                stored.unread.add_framework(paths, &agent, &framework);
            }
        }
    }
    Ok(stored)
}

fn rebooted(paths: &Paths, boot_id: Option<&str>) -> bool {
    let before = fs::read_to_string(paths.boot_id()).ok();
    matches!((before, boot_id), (Some(before), Some(now)) if before.trim() != now)
}

fn read_framework(
    paths: &Paths,
    agent: &str,
    id: &str,
    stored: &mut Stored,
) -> Result<Option<StoredFramework>, RecoveryError> {
    let Some(info) = checkpoint::read(&paths.framework_info(agent, id))? else {
        return Ok(None);
    };
    let mut runs = Vec::new();
    for executor in entries(&paths.meta_executors(agent, id))? {
        let run = Run {
            agent: agent.to_owned(),
            framework: id.to_owned(),
            executor,
            container: String::new(),
        };
        // Only the latest run of an executor is of interest.
        let read = match read_link(&paths.latest_sandbox(&run)) {
            Ok(None) => continue,
            Ok(Some(latest)) => {
                let mut run = run.clone();
                run.container = latest.to_string_lossy().into_owned();
                read_run(paths, run)
            }
            Err(error) => Err(error),
        };
        match read {
            Ok(run) => runs.extend(run),
            Err(error) => {
                stored.errors.push(proto::error::chain(&error));
                stored.unread.add_executor(paths, &run);
            }
        }
    }
    Ok(Some(StoredFramework { info, runs }))
}

fn read_run(paths: &Paths, run: Run) -> Result<Option<StoredRun>, RecoveryError> {
    let Some(executor) = checkpoint::read(&paths.executor_info(&run))? else {
        return Ok(None);
    };
    let mut tasks = Vec::new();
    for task in entries(&paths.meta_tasks(&run))? {
        // Without `task.info` nothing was begun for the task.
        let Some(info) = checkpoint::read(&paths.task_info(&run, &task))? else {
            continue;
        };
        let (journal, history) = TaskJournal::open(&paths.task_updates(&run, &task))?;
        tasks.push(StoredTask {
            info,
            journal,
            history,
        });
    }
    let completed = paths.sentinel(&run).exists();
    Ok(Some(StoredRun {
        run,
        executor,
        completed,
        tasks,
    }))
}

fn read_link(link: &Path) -> Result<Option<OsString>, RecoveryError> {
    match fs::read_link(link) {
        Ok(target) => Ok(target.file_name().map(OsString::from)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RecoveryError::Read {
            path: link.to_owned(),
            source,
        }),
    }
}

/// Names in a directory, sorted; none when there is no such directory.
fn entries(directory: &Path) -> Result<Vec<String>, RecoveryError> {
    let fail = |source| RecoveryError::Read {
        path: directory.to_owned(),
        source,
    };
    let found = match fs::read_dir(directory) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(source) => return Err(fail(source)),
    };
    let mut names = BTreeSet::new();
    for entry in found {
        let entry = entry.map_err(fail)?;
        if entry.file_type().map_err(fail)?.is_dir() {
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        assert!(read(&paths, Some("boot")).unwrap().info.is_none());

        let info = v1::AgentInfo {
            hostname: "n5".into(),
            ..Default::default()
        };
        let durable = checkpoint::Durability::Process;
        checkpoint::write(&paths.agent_info("S0"), &info, durable).unwrap();
        checkpoint::relink(&paths.latest_agent(), Path::new("S0")).unwrap();
        checkpoint::replace(&paths.boot_id(), b"before", durable).unwrap();
        let framework = v1::FrameworkInfo {
            name: "marathon".into(),
            ..Default::default()
        };
        checkpoint::write(&paths.framework_info("S0", "F"), &framework, durable).unwrap();
        let run = Run {
            agent: "S0".into(),
            framework: "F".into(),
            executor: "T".into(),
            container: "C".into(),
        };
        crate::sandbox::create(&paths, &run, None).unwrap();
        let task = v1::TaskInfo {
            task_id: v1::TaskId { value: "T".into() },
            ..Default::default()
        };
        let executor = v1::ExecutorInfo::default();
        TaskJournal::create(&paths, &run, &executor, &task).unwrap();

        let stored = read(&paths, Some("after")).unwrap();
        assert_eq!((stored.info, stored.rebooted), (Some(info), true));
        let found = &stored.frameworks[0].runs[0];
        assert_eq!((&found.run, found.completed), (&run, false));
        assert_eq!(found.tasks[0].info, task);
        assert!(stored.errors.is_empty());
    }

    #[test]
    fn one_damaged_run_does_not_hide_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        fs::create_dir_all(paths.meta_agents()).unwrap();
        checkpoint::relink(&paths.latest_agent(), Path::new("S0")).unwrap();
        for id in ["F", "G"] {
            let file = paths.framework_info("S0", id);
            let info = v1::FrameworkInfo::default();
            checkpoint::write(&file, &info, checkpoint::Durability::Process).unwrap();
        }
        fs::write(paths.framework_info("S0", "F"), "x").unwrap();
        let stored = read(&paths, None).unwrap();
        assert_eq!((stored.frameworks.len(), stored.errors.len()), (1, 1));
    }
}
