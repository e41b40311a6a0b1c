//! A task that nothing is written down of, because its framework does not checkpoint: it ends with the
//! agent. To be handed over to another process it is written down after all, and lasts from then on.

use std::sync::{Arc, Mutex, PoisonError};

use proto::error::chain;
use proto::v1::{TaskState, TaskStatus};

use super::delivery::Delivery;
use super::journal::{History, TaskJournal};
use super::killing::Killing;
use super::launch::{Host, Job};
use crate::checkpoint::{self, CheckpointError, Durability, Journal};
use crate::clock::Clock;
use crate::paths::Paths;

/// All tasks are handed over at once, and of two that replace the file of one framework at the same time one fails.
static FRAMEWORKS: Mutex<()> = Mutex::new(());

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

    /// What would have been written since the task began, to go on with. On error nothing is left of it: an
    /// agent that dies then must not find half a task. Blocks.
    pub fn write(&self, paths: &Paths) -> Result<TaskJournal, CheckpointError> {
        let (run, task) = (&self.job.run, &self.job.task.task_id.value);
        self.try_to_write(paths)
            .inspect_err(|_told| TaskJournal::forget(paths, run, task))
    }

    fn try_to_write(&self, paths: &Paths) -> Result<TaskJournal, CheckpointError> {
        let Job {
            run,
            framework,
            executor,
            task,
            ..
        } = &self.job;
        let file = paths.framework_info(&run.agent, &run.framework);
        {
            // There is nothing in it that a panic could leave half done.
            let _only_one = FRAMEWORKS.lock().unwrap_or_else(PoisonError::into_inner);
            checkpoint::write(&file, framework, Durability::Process)?;
        }
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
        Ok(journal)
    }
}

/// All that is known of a task is on the disk from here on, or it is said why it cannot be.
pub async fn write_down(
    unwritten: &mut Option<Box<Unwritten>>,
    delivery: &mut Delivery,
    host: &Arc<Host>,
) -> Result<(), String> {
    if delivery.abandoned {
        return Ok(());
    }
    let Some(all) = unwritten.take() else {
        return delivery.catch_up().await;
    };
    let host = Arc::clone(host);
    let written = tokio::task::spawn_blocking(move || {
        let journal = all.write(&host.paths);
        (all, journal)
    });
    let why = match written.await {
        Ok((_, Ok(journal))) => {
            delivery.go_on_in(journal);
            return Ok(());
        }
        Ok((all, Err(error))) => {
            *unwritten = Some(all);
            chain(&error)
        }
        // The runtime shuts down.
        Err(error) => chain(&error),
    };
    delivery.complain(&why);
    Err(delivery.unhanded(&why))
}
