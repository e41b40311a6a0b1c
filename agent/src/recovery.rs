//! What an earlier process of this agent left behind: read as plain data first, then decided upon.
//!
//! Source: spec/mesos-agent.md section 14.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use proto::task::is_terminal;
use proto::v1::task_status::Reason;
use proto::v1::{self, TaskState};

use crate::checkpoint::{self, CheckpointError};
use crate::config::Config;
use crate::paths::{Paths, Run};
use crate::task::command_executor::policy;
use crate::task::ending::{self, Report};
use crate::task::journal::{History, TaskJournal};
use crate::task::machine::{Cause, Phase};

/// Everything below `meta`, as far as it is about this agent.
#[derive(Debug, Default)]
pub struct Stored {
    pub info: Option<v1::AgentInfo>,
    /// The kernel is another one than when this was written: no process of then is alive.
    pub rebooted: bool,
    pub frameworks: Vec<StoredFramework>,
    /// What could not be read, each as a sentence; it is left where it is.
    pub errors: Vec<String>,
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
    #[error(
        "the agent's {what} was {old} when it last ran and is {new} now: restore the flag, or \
         remove {} to start as a new agent (its tasks are then lost)", .latest.display()
    )]
    Changed {
        what: &'static str,
        old: String,
        new: String,
        latest: PathBuf,
    },
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
        match read_framework(paths, &agent, &framework, &mut stored.errors) {
            Ok(framework) => stored.frameworks.extend(framework),
            Err(error) => stored.errors.push(crate::task::launch::chain(&error)),
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
    errors: &mut Vec<String>,
) -> Result<Option<StoredFramework>, RecoveryError> {
    let Some(info) = checkpoint::read(&paths.framework_info(agent, id))? else {
        return Ok(None);
    };
    let mut runs = Vec::new();
    for executor in entries(&paths.meta_frameworks(agent).join(id).join("executors"))? {
        let mut run = Run {
            agent: agent.to_owned(),
            framework: id.to_owned(),
            executor,
            container: String::new(),
        };
        // Only the latest run of an executor is of interest.
        let Some(latest) = read_link(&paths.latest_sandbox(&run))? else {
            continue;
        };
        run.container = latest.to_string_lossy().into_owned();
        match read_run(paths, run) {
            Ok(run) => runs.extend(run),
            Err(error) => errors.push(crate::task::launch::chain(&error)),
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

/// Refuses to go on as the same agent with another shape: frameworks rely on it. `port` is `None`
/// when any would do.
pub fn check_unchanged(
    old: &v1::AgentInfo,
    config: &Config,
    port: Option<u16>,
    latest: &Path,
) -> Result<(), RecoveryError> {
    let old_resources = crate::book::total(&old.resources);
    let attributes = |attributes: &[v1::Attribute]| {
        let flat = proto::attributes::flat_json(attributes);
        serde_json::Value::Object(flat).to_string()
    };
    let old_port = old.port().to_string();
    let table = [
        (
            "--resources",
            old_resources.to_string(),
            config.resources.to_string(),
        ),
        (
            "--attributes",
            attributes(&old.attributes),
            attributes(&config.attributes),
        ),
        ("--hostname", old.hostname.clone(), config.hostname.clone()),
        (
            "--port",
            old_port.clone(),
            port.map_or(old_port, |port| port.to_string()),
        ),
    ];
    for (what, old, new) in table {
        if old != new {
            return Err(RecoveryError::Changed {
                what,
                old,
                new,
                latest: latest.to_owned(),
            });
        }
    }
    Ok(())
}

/// What is to be done about one stored task.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// Its story has been told to the end.
    Done,
    /// It has ended; updates about it are still to be acknowledged.
    Deliver,
    /// It goes on, in this phase.
    Adopt(Phase),
    /// It is no more, and this is what to say about it.
    Lost(Report),
}

/// Pure. `is_alive`: the containerizer knows its container, be it that it has just ended.
pub fn decide(
    framework: &v1::FrameworkInfo,
    task: &v1::TaskInfo,
    history: &History,
    is_alive: bool,
    rebooted: bool,
    now: Instant,
    wall: SystemTime,
) -> Fate {
    let last = history.updates.last().map(v1::TaskStatus::state);
    if last.is_some_and(is_terminal) {
        let all = history.acknowledged == history.updates.len();
        return if all { Fate::Done } else { Fate::Deliver };
    }
    let was_running = last.is_some_and(|state| state != TaskState::TaskStarting);
    if is_alive {
        let policy = policy(framework, task);
        return Fate::Adopt(match last {
            Some(TaskState::TaskKilling) => Phase::Killing {
                cause: Cause::Asked,
                deadline: Some(now + policy.grace),
            },
            _ if was_running => Phase::Running {
                time_up: policy
                    .max_completion_time
                    .map(|limit| now + limit.saturating_sub(age(history, wall))),
            },
            _ => Phase::Launching,
        });
    }
    Fate::Lost(match (rebooted, was_running) {
        (_, false) => ending::dropped(
            framework,
            Reason::AgentRestarted,
            "Task launched during agent restart",
        ),
        (true, true) => Report::agent(
            TaskState::TaskFailed,
            Reason::ExecutorTerminated,
            "Abnormal executor termination: the host was rebooted",
        ),
        (false, true) => ending::gone(
            framework,
            Reason::ExecutorReregistrationTimeout,
            "The task's container was gone when the agent came back",
        ),
    })
}

/// How long ago the task said that it was running.
fn age(history: &History, wall: SystemTime) -> Duration {
    let running = history
        .updates
        .iter()
        .find(|s| s.state() == TaskState::TaskRunning);
    let since = running.and_then(|status| status.timestamp).unwrap_or(0.0);
    let now = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    Duration::try_from_secs_f64(now - since).unwrap_or_default()
}

/// The book's entry of a stored task: its newest status and those before it.
pub fn record(task: &StoredTask, framework: &v1::FrameworkInfo) -> v1::Task {
    let id = framework.id.clone().unwrap_or_default();
    let mut record = proto::task::new(&task.info, &id, TaskState::TaskStaging);
    for status in &task.history.updates {
        record.state = status.state;
        record.statuses.push(status.clone());
    }
    record
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

    fn history(states: &[TaskState], acknowledged: usize) -> History {
        let update = |state: &TaskState| v1::TaskStatus {
            state: *state as i32,
            timestamp: Some(1000.0),
            ..Default::default()
        };
        History {
            updates: states.iter().map(update).collect(),
            acknowledged,
        }
    }

    fn fate(history: &History, is_alive: bool, rebooted: bool) -> Fate {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1010);
        let (framework, task) = (v1::FrameworkInfo::default(), v1::TaskInfo::default());
        decide(
            &framework,
            &task,
            history,
            is_alive,
            rebooted,
            Instant::now(),
            wall,
        )
    }

    const RUNNING: &[TaskState] = &[TaskState::TaskStarting, TaskState::TaskRunning];
    const FINISHED: &[TaskState] = &[TaskState::TaskStarting, TaskState::TaskFinished];

    #[test]
    fn a_story_that_was_told_is_not_told_again() {
        assert_eq!(fate(&history(FINISHED, 2), false, false), Fate::Done);
        assert_eq!(fate(&history(FINISHED, 1), false, true), Fate::Deliver);
    }

    #[test]
    fn a_live_container_goes_on_where_it_was() {
        let running = fate(&history(RUNNING, 2), true, false);
        assert_eq!(running, Fate::Adopt(Phase::Running { time_up: None }));
        let starting = fate(&history(&RUNNING[..1], 0), true, false);
        assert_eq!(starting, Fate::Adopt(Phase::Launching));
        assert_eq!(
            fate(&history(&[], 0), true, false),
            Fate::Adopt(Phase::Launching)
        );
    }

    #[test]
    fn the_completion_time_counts_from_when_the_task_began_to_run() {
        let task = v1::TaskInfo {
            max_completion_time: Some(v1::DurationInfo {
                nanoseconds: 30_000_000_000,
            }),
            ..Default::default()
        };
        let now = Instant::now();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1010);
        let framework = v1::FrameworkInfo::default();
        let fate = decide(
            &framework,
            &task,
            &history(RUNNING, 2),
            true,
            false,
            now,
            wall,
        );
        let time_up = Some(now + Duration::from_secs(20));
        assert_eq!(fate, Fate::Adopt(Phase::Running { time_up }));
    }

    #[test]
    fn a_task_without_a_container_gets_an_end_that_says_why() {
        let end = |states, rebooted| match fate(&history(states, 0), false, rebooted) {
            Fate::Lost(report) => (report.state, report.reason),
            other => panic!("{other:?}"),
        };
        let restarted = (TaskState::TaskLost, Some(Reason::AgentRestarted));
        assert_eq!(end(&RUNNING[..1], false), restarted);
        let vanished = (
            TaskState::TaskLost,
            Some(Reason::ExecutorReregistrationTimeout),
        );
        assert_eq!(end(RUNNING, false), vanished);
        let rebooted = (TaskState::TaskFailed, Some(Reason::ExecutorTerminated));
        assert_eq!(end(RUNNING, true), rebooted);
    }

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
