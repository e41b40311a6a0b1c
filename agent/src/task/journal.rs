//! The checkpoint of one task: what it is (`task.info`) and its updates (`task.updates`).

use std::path::Path;

use proto::v1::{self, TaskStatus};

use crate::checkpoint::{self, CheckpointError, Durability, Journal};
use crate::paths::{Paths, Run};

/// One line of `task.updates`: exactly one of the two is set.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    #[prost(message, optional, tag = "1")]
    pub update: Option<TaskStatus>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub acknowledged: Option<Vec<u8>>,
}

/// Appends to a task's `task.updates`. Blocks.
#[derive(Debug)]
pub struct TaskJournal(Journal);

/// What `task.updates` says: the updates in order, and how many of them are acknowledged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    pub updates: Vec<TaskStatus>,
    pub acknowledged: usize,
}

impl TaskJournal {
    /// Writes down a task, and its executor, before anything is done for it.
    pub fn create(
        paths: &Paths,
        run: &Run,
        executor: &v1::ExecutorInfo,
        task: &v1::TaskInfo,
    ) -> Result<TaskJournal, CheckpointError> {
        checkpoint::write(&paths.executor_info(run), executor, Durability::Process)?;
        let id = &task.task_id.value;
        checkpoint::write(&paths.task_info(run, id), task, Durability::Process)?;
        Ok(TaskJournal::open(&paths.task_updates(run, id))?.0)
    }

    pub fn open(file: &Path) -> Result<(TaskJournal, History), CheckpointError> {
        let (journal, records) = Journal::open::<Record>(file)?;
        Ok((TaskJournal(journal), history(records)))
    }

    /// Only a terminal update must outlive the kernel: a reboot ends the task, which supersedes
    /// everything else that was said of it.
    pub fn update(&mut self, status: &TaskStatus) -> Result<(), CheckpointError> {
        let durability = if proto::task::is_terminal(status.state()) {
            Durability::Reboot
        } else {
            Durability::Process
        };
        self.0.append(
            &Record {
                update: Some(status.clone()),
                acknowledged: None,
            },
            durability,
        )
    }

    /// A lost acknowledgement is only repeated work, so it does not wait for the disk.
    pub fn acknowledged(&mut self, uuid: &[u8]) -> Result<(), CheckpointError> {
        let record = Record {
            update: None,
            acknowledged: Some(uuid.to_vec()),
        };
        self.0.append(&record, Durability::Process)
    }
}

fn history(records: Vec<Record>) -> History {
    let mut history = History::default();
    for record in records {
        history.updates.extend(record.update);
        let next = history.updates.get(history.acknowledged);
        if record
            .acknowledged
            .is_some_and(|uuid| next.is_some_and(|s| s.uuid() == uuid))
        {
            history.acknowledged += 1;
        }
    }
    history
}

#[cfg(test)]
mod tests {
    use proto::v1::TaskState;

    use super::*;

    #[test]
    fn updates_and_acknowledgements_come_back_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("task.updates");
        let update = |uuid, state: TaskState| TaskStatus {
            uuid: Some(vec![uuid; 16]),
            state: state as i32,
            ..Default::default()
        };
        let (starting, running) = (
            update(1, TaskState::TaskStarting),
            update(2, TaskState::TaskRunning),
        );
        let (mut journal, history) = TaskJournal::open(&file).unwrap();
        assert_eq!(history, History::default());
        journal.update(&starting).unwrap();
        journal.acknowledged(&[9; 16]).unwrap();
        journal.acknowledged(&[1; 16]).unwrap();
        journal.update(&running).unwrap();
        let (_, history) = TaskJournal::open(&file).unwrap();
        assert_eq!(
            history,
            History {
                updates: vec![starting, running],
                acknowledged: 1
            }
        );
    }
}
