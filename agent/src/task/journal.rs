//! The checkpoint of one task: what it is (`task.info`) and its updates (`task.updates`).

mod compaction;

use std::fs;
use std::io;
use std::sync::{Mutex, PoisonError};

use failpoint::{Point, reach};
use proto::v1::{self, TaskState, TaskStatus};

use super::killing::Killing;
use crate::checkpoint::{self, CheckpointError, Durability, Journal};
use crate::clock::Clock;
use crate::paths::{Paths, Run, described_by};

/// One record of `task.updates`: an update, an acknowledgement, or a kill that has begun.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    #[prost(message, optional, tag = "1")]
    pub update: Option<TaskStatus>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub acknowledged: Option<Vec<u8>>,
    /// With a terminal update: what is in the files that `described_by` names.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub descriptions: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "4")]
    pub killing: Option<Killing>,
    /// The executor that the framework brought was sent the task.
    #[prost(bool, tag = "5")]
    pub handed_over: bool,
    /// Of a task that waits for such an executor: which one it is, of all that came.
    #[prost(uint64, optional, tag = "6")]
    pub came_as: Option<u64>,
    /// With an update: when, in milliseconds since the kernel started.
    #[prost(uint64, optional, tag = "7")]
    pub since_boot: Option<u64>,
}

/// Bytes that a journal may have before what is told is taken out of it. Few tasks come to that.
const COMPACT: usize = 64 << 10;

/// Appends to a task's `task.updates`. Blocks.
#[derive(Debug)]
pub struct TaskJournal {
    journal: Journal,
    /// The length at which it is to be compacted next.
    due: usize,
}

/// What `task.updates` says: the updates in order, and how many of them are acknowledged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    pub updates: Vec<TaskStatus>,
    pub acknowledged: usize,
    /// The last that has begun.
    pub killing: Option<Killing>,
    /// An executor that the framework brought was sent the task.
    pub handed_over: bool,
    /// Those that wait for one are handed over in this order.
    pub came_as: Option<u64>,
    /// In milliseconds since the kernel started.
    pub running_since: Option<u64>,
}

/// The directory of an executor is made and removed by one at a time: else a task could begin in one that
/// is just being removed.
static EXECUTORS: Mutex<()> = Mutex::new(());

/// Removes what is kept of an executor once nothing is kept of any of its runs. Blocks.
///
/// Cut off anywhere it leaves what recovery takes for no executor.
pub fn forget_executor(paths: &Paths, run: &Run) -> io::Result<()> {
    // There is nothing in it that a panic could leave half done.
    let _only_one = EXECUTORS.lock().unwrap_or_else(PoisonError::into_inner);
    forget_executor_alone(paths, run)
}

/// For who is the only one.
fn forget_executor_alone(paths: &Paths, run: &Run) -> io::Result<()> {
    let runs = paths.meta_runs(run);
    match fs::remove_dir(&runs) {
        // Another run is there.
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(()),
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    reach(Point::ExecutorRunsGone);
    let info = paths.executor_info(run);
    // The second is of an agent that has died while it wrote it.
    for file in [&info, &info.with_extension("tmp")] {
        match fs::remove_file(file) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    reach(Point::ExecutorInfoGone);
    match info.parent().map(fs::remove_dir) {
        Some(Err(e)) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// A task that could not be written down: of its run, too, if there is nothing else of that. What cannot be
/// removed either is for recovery, which takes it for no task.
fn forget_task_alone(paths: &Paths, run: &Run, task: &str) {
    let of_task = paths.meta_task(run, task);
    let empty = [of_task, paths.meta_tasks(run), paths.meta_run(run)].map(fs::remove_dir);
    let forgotten = forget_executor_alone(paths, run);
    tracing::debug!(
        task,
        ?empty,
        ?forgotten,
        "a task that was not written down is forgotten"
    );
}

impl TaskJournal {
    /// Of a task that could not be written down, with what was told of it.
    pub fn forget(paths: &Paths, run: &Run, task: &str) {
        let _only_one = EXECUTORS.lock().unwrap_or_else(PoisonError::into_inner);
        // What cannot be removed is for recovery, as below.
        let _ = fs::remove_dir_all(paths.meta_task(run, task));
        forget_task_alone(paths, run, task);
    }

    /// Writes down a task, and its executor, before anything is done for it. On error nothing is left of it.
    pub fn create(
        paths: &Paths,
        run: &Run,
        executor: &v1::ExecutorInfo,
        task: &v1::TaskInfo,
    ) -> Result<TaskJournal, CheckpointError> {
        let _only_one = EXECUTORS.lock().unwrap_or_else(PoisonError::into_inner);
        let id = &task.task_id.value;
        let written = checkpoint::write(&paths.executor_info(run), executor, Durability::Process)
            .and_then(|()| {
                reach(Point::ExecutorWritten);
                checkpoint::write(&paths.task_info(run, id), task, Durability::Process)
            });
        if let Err(error) = written {
            forget_task_alone(paths, run, id);
            return Err(error);
        }
        reach(Point::TaskWritten);
        let journal = Journal::new(&paths.task_updates(run, id));
        Ok(TaskJournal::of(journal))
    }

    /// Goes on with what an earlier process of this agent has written.
    pub fn of(journal: Journal) -> TaskJournal {
        TaskJournal {
            journal,
            due: COMPACT,
        }
    }

    /// Only a terminal update must outlive the kernel: a reboot ends the task, which supersedes
    /// everything else that was said of it.
    ///
    /// What describes the task was written without waiting for the disk, so that a launch need not: the
    /// update has a copy of it with itself, and one wait is for all.
    pub fn update(&mut self, status: &TaskStatus) -> Result<(), CheckpointError> {
        self.update_of(status, Clock::read().boot_ms())
    }

    /// The same, of that time.
    pub fn update_of(
        &mut self,
        status: &TaskStatus,
        since_boot: u64,
    ) -> Result<(), CheckpointError> {
        let is_terminal = proto::task::is_terminal(status.state());
        if !is_terminal && self.journal.len() >= self.due {
            self.compact();
        }
        let (durability, descriptions) = match is_terminal {
            false => (Durability::Process, vec![]),
            true => {
                let files = described_by(self.journal.path()).into_iter();
                let read = files.map(|file| checkpoint::bytes(&file).unwrap_or_default());
                (Durability::Reboot, read.collect())
            }
        };
        let record = Record {
            update: Some(status.clone()),
            descriptions,
            since_boot: Some(since_boot),
            ..Record::default()
        };
        self.journal.append(&record, durability)
    }

    /// Nothing is lost when this fails: what is there is there, and it is tried again when there is more. It
    /// is for the task's lifetime, so there is no terminal update.
    fn compact(&mut self) {
        if let Err(error) = self.try_compact() {
            let error = proto::error::chain(&error);
            tracing::warn!(error, "the journal of a task grows on");
        }
        // What nobody acknowledges stays, and is not written again and again.
        self.due = COMPACT.max(self.journal.len().saturating_mul(2));
    }

    fn try_compact(&mut self) -> Result<(), CheckpointError> {
        let found = self.journal.read::<Record>()?;
        // A next start tells of what is damaged.
        if found.damage.is_some() {
            return Ok(());
        }
        self.journal
            .rewrite(&compaction::compacted(&history(found.records)))
    }

    /// A lost acknowledgement is only repeated work, so it does not wait for the disk.
    pub fn acknowledged(&mut self, uuid: &[u8]) -> Result<(), CheckpointError> {
        let record = Record {
            acknowledged: Some(uuid.to_vec()),
            ..Record::default()
        };
        self.journal.append(&record, Durability::Process)
    }

    /// Names of directories tell no order.
    pub fn came_as(&mut self, number: u64) -> Result<(), CheckpointError> {
        let record = Record {
            came_as: Some(number),
            ..Record::default()
        };
        self.journal.append(&record, Durability::Process)
    }

    /// Before the executor is sent it: what it does not know of then has been lost on the way.
    pub fn handed_over(&mut self) -> Result<(), CheckpointError> {
        let record = Record {
            handed_over: true,
            ..Record::default()
        };
        self.journal.append(&record, Durability::Process)
    }

    /// What could not be written yet.
    pub fn catch_up(&mut self) -> Result<(), CheckpointError> {
        self.journal.catch_up()
    }

    pub fn is_behind(&self) -> bool {
        self.journal.is_behind()
    }

    /// A reboot ends what is to be killed, so it does not wait for the disk.
    pub fn killing(&mut self, killing: Killing) -> Result<(), CheckpointError> {
        let record = Record {
            killing: Some(killing),
            ..Record::default()
        };
        self.journal.append(&record, Durability::Process)
    }
}

/// What the records of a journal come to. An acknowledgement stands for those before it, too: only the
/// oldest update is ever sent, and one of the records may be lost.
pub fn history(records: Vec<Record>) -> History {
    let mut history = History::default();
    for record in records {
        let is_running = |update: &TaskStatus| update.state() == TaskState::TaskRunning;
        if history.running_since.is_none() && record.update.as_ref().is_some_and(is_running) {
            history.running_since = record.since_boot;
        }
        history.updates.extend(record.update);
        history.handed_over |= record.handed_over;
        history.came_as = record.came_as.or(history.came_as);
        history.killing = record.killing.or(history.killing);
        let Some(uuid) = record.acknowledged else {
            continue;
        };
        let waiting = history.updates.iter().skip(history.acknowledged);
        if let Some(found) = waiting.map(TaskStatus::uuid).position(|sent| sent == uuid) {
            history.acknowledged += found + 1;
        }
    }
    history
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Journalled;

    fn update(uuid: u8, state: TaskState) -> Record {
        Record {
            update: Some(TaskStatus {
                uuid: Some(vec![uuid; 16]),
                state: state as i32,
                ..Default::default()
            }),
            ..Record::default()
        }
    }

    fn acknowledged(uuid: u8) -> Record {
        Record {
            acknowledged: Some(vec![uuid; 16]),
            ..Record::default()
        }
    }

    #[test]
    fn updates_and_acknowledgements_come_back_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, run) = (Paths::new(dir.path()), Run::default());
        let (executor, task) = (v1::ExecutorInfo::default(), v1::TaskInfo::default());
        let mut journal = TaskJournal::create(&paths, &run, &executor, &task).unwrap();
        let running = update(2, TaskState::TaskRunning).update.unwrap();
        let finished = update(3, TaskState::TaskFinished).update.unwrap();
        journal.update(&running).unwrap();
        journal.acknowledged(&[9; 16]).unwrap();
        journal.acknowledged(&[2; 16]).unwrap();
        let killing = Killing {
            grace: 3000,
            ..Killing::default()
        };
        journal.killing(killing.clone()).unwrap();
        journal.update(&finished).unwrap();
        let file = paths.task_updates(&run, "");
        let found = Journalled::<Record>::read(&file).unwrap();
        let history = history(found.records);
        let running_since = history.running_since;
        assert!(running_since.is_some_and(|since| since <= Clock::read().boot_ms()));
        assert_eq!(
            history,
            History {
                updates: vec![running, finished],
                acknowledged: 1,
                killing: Some(killing),
                handed_over: false,
                came_as: None,
                running_since,
            }
        );
    }

    #[test]
    fn an_executor_is_forgotten_with_its_last_run_and_a_cut_in_that_harms_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        let run = Run {
            agent: "S0".into(),
            framework: "F".into(),
            executor: "E".into(),
            container: "C".into(),
        };
        fs::create_dir_all(paths.meta_agents()).unwrap();
        let (link, to) = (paths.latest_agent(), std::path::Path::new("S0"));
        checkpoint::relink(&link, to, Durability::Process).unwrap();
        let info = v1::FrameworkInfo::default();
        checkpoint::write(&paths.framework_info("S0", "F"), &info, Durability::Process).unwrap();
        let (executor, task) = (v1::ExecutorInfo::default(), v1::TaskInfo::default());
        TaskJournal::create(&paths, &run, &executor, &task).unwrap();
        forget_executor(&paths, &run).unwrap();
        assert!(paths.executor_info(&run).exists());
        let losses = |paths: &Paths| {
            let stored = crate::recovery::read(paths, None).unwrap();
            stored
                .losses
                .iter()
                .map(|loss| format!("{loss:?}"))
                .collect::<Vec<_>>()
        };
        let before = losses(&paths);
        fs::remove_dir_all(paths.meta_run(&run)).unwrap();
        // Every state between the first removal and the last.
        assert_eq!(losses(&paths), before);
        fs::remove_dir(paths.meta_runs(&run)).unwrap();
        assert_eq!(losses(&paths), before);
        fs::remove_file(paths.executor_info(&run)).unwrap();
        assert_eq!(losses(&paths), before);
        forget_executor(&paths, &run).unwrap();
        assert_eq!(
            fs::read_dir(paths.meta_executors("S0", "F"))
                .unwrap()
                .count(),
            0
        );
        forget_executor(&paths, &run).unwrap();
    }

    #[test]
    fn the_journal_of_a_task_that_says_something_for_ever_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, run) = (Paths::new(dir.path()), Run::default());
        let (executor, task) = (v1::ExecutorInfo::default(), v1::TaskInfo::default());
        let mut journal = TaskJournal::create(&paths, &run, &executor, &task).unwrap();
        journal.handed_over().unwrap();
        let file = paths.task_updates(&run, "");
        let mut longest = 0;
        for number in 0..5000_u64 {
            let uuid = number.to_le_bytes().repeat(2);
            let mut status = update(0, TaskState::TaskRunning).update.unwrap();
            status.uuid = Some(uuid.clone());
            status.data = Some(vec![7; 500]);
            journal.update(&status).unwrap();
            journal.acknowledged(&uuid).unwrap();
            longest = longest.max(fs::metadata(&file).unwrap().len());
        }
        assert!(longest <= 2 * COMPACT as u64, "{longest}");
        let waits = update(9, TaskState::TaskRunning).update.unwrap();
        journal.update(&waits).unwrap();
        let found = Journalled::<Record>::read(&file).unwrap();
        assert_eq!((found.damage.is_some(), found.torn), (false, 0));
        let history = history(found.records);
        assert!(history.handed_over);
        assert_eq!(history.updates[history.acknowledged..], [waits]);
        let newest = &history.updates[history.acknowledged - 1];
        assert_eq!(newest.uuid(), 4999_u64.to_le_bytes().repeat(2));
    }

    #[test]
    fn what_nobody_acknowledges_is_kept_and_not_written_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, run) = (Paths::new(dir.path()), Run::default());
        let (executor, task) = (v1::ExecutorInfo::default(), v1::TaskInfo::default());
        let mut journal = TaskJournal::create(&paths, &run, &executor, &task).unwrap();
        let file = paths.task_updates(&run, "");
        let mut files = std::collections::BTreeSet::new();
        for number in 0..2000_u64 {
            let mut status = update(0, TaskState::TaskRunning).update.unwrap();
            status.uuid = Some(number.to_le_bytes().repeat(2));
            status.data = Some(vec![7; 500]);
            journal.update(&status).unwrap();
            use std::os::unix::fs::MetadataExt as _;
            files.insert(fs::metadata(&file).unwrap().ino());
        }
        let found = Journalled::<Record>::read(&file).unwrap();
        assert_eq!(history(found.records).updates.len(), 2000);
        assert!(files.len() <= 8, "{}", files.len());
    }

    #[test]
    fn records_that_are_lost_do_not_bring_back_what_was_acknowledged() {
        use TaskState::{TaskFinished, TaskRunning, TaskStarting};
        let all = [
            update(1, TaskStarting),
            acknowledged(1),
            update(2, TaskRunning),
            acknowledged(2),
            update(3, TaskFinished),
        ];
        let without = |lost: &[usize]| {
            let kept = (0..all.len()).filter(|n| !lost.contains(n));
            let history = history(kept.map(|n| all[n].clone()).collect());
            (history.updates.len(), history.acknowledged)
        };
        assert_eq!(without(&[]), (3, 2));
        assert_eq!(without(&[1]), (3, 2));
        assert_eq!(without(&[0]), (2, 1));
        assert_eq!(without(&[2]), (2, 1));
        assert_eq!(without(&[1, 3]), (3, 0));
    }
}
