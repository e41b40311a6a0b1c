//! A task that nothing is written down of, because its framework does not checkpoint: it ends with the
//! agent. To be handed over to another process it is written down after all, and lasts from then on.

use proto::v1::{TaskState, TaskStatus};

use super::journal::{History, TaskJournal};
use super::killing::Killing;
use super::launch::Job;
use crate::checkpoint::{self, CheckpointError, Durability, Journal};
use crate::clock::Clock;
use crate::paths::Paths;

#[derive(Debug, Clone)]
pub struct Unwritten {
    job: Job,
    history: History,
}

impl Unwritten {
    pub fn new(job: Job) -> Unwritten {
        Unwritten {
            job,
            history: History::default(),
        }
    }

    pub fn updated(&mut self, status: &TaskStatus) {
        if status.state() == TaskState::TaskRunning {
            let since = self.history.running_since;
            self.history.running_since = since.or(Some(Clock::read().boot_ms()));
        }
        self.history.updates.push(status.clone());
    }

    /// The next that was not.
    pub fn acknowledged(&mut self) {
        self.history.acknowledged += 1;
    }

    pub fn killing(&mut self, killing: &Killing) {
        self.history.killing = Some(killing.clone());
    }

    /// What would have been written since the task began. Blocks.
    pub fn write(&self, paths: &Paths) -> Result<(), CheckpointError> {
        let Job {
            run,
            framework,
            executor,
            task,
            ..
        } = &self.job;
        let file = paths.framework_info(&run.agent, &run.framework);
        checkpoint::write(&file, framework, Durability::Process)?;
        let id = &task.task_id.value;
        let directory = paths.meta_task(run, id);
        checkpoint::make_directory(&directory)?;
        let mut journal = TaskJournal::of(Journal::new(&paths.task_updates(run, id)));
        for (number, status) in self.history.updates.iter().enumerate() {
            journal.update_of(status, self.history.running_since.unwrap_or_default())?;
            if number < self.history.acknowledged {
                journal.acknowledged(status.uuid())?;
            }
        }
        if let Some(killing) = &self.history.killing {
            journal.killing(killing.clone())?;
        }
        // Last: who finds the task finds all that was said of it, and says nothing of it anew.
        TaskJournal::create(paths, run, executor, task)?;
        Ok(())
    }
}
