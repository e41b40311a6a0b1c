//! Garbage collection: sandboxes of ended runs go when they are old, sooner on a full disk.
//!
//! Source: spec/mesos-agent.md section 15.

mod ages;
mod remains;
mod unbegun;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use failpoint::{Point, reach};
use proto::error::chain;

use crate::host::disk_usage;
use crate::paths::{Paths, Run};
use crate::removal::{RemoveError, remove_tree};
use crate::runs::{Tree, runs};
use crate::task::journal;
pub use ages::Ages;
use remains::Remains;
use unbegun::is_unbegun;

#[derive(Debug, Clone)]
pub struct Policy {
    pub delay: Duration,
    /// Fraction of the disk to keep free.
    pub headroom: f64,
}

/// A run on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub run: Run,
    pub age: Duration,
}

impl Candidate {
    /// `modified`: in the future of a clock that was set back, it is as young as can be.
    fn new(run: Run, modified: SystemTime, now: SystemTime) -> Candidate {
        let age = now.duration_since(modified).unwrap_or_default();
        let is_rest = modified == SystemTime::UNIX_EPOCH;
        let age = if is_rest { Duration::MAX } else { age };
        Candidate { run, age }
    }

    /// A removal has begun, and has not come to its end; or a launch has not come to its beginning.
    fn is_rest(&self) -> bool {
        self.age == Duration::MAX
    }
}

/// What may be removed, as a look has found it.
#[derive(Debug)]
pub struct Candidates {
    pub runs: Vec<Candidate>,
    remains: Remains,
}

/// What a round of collection did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Collected {
    pub removed: u64,
    pub failed: u64,
    /// Sandboxes of ended runs that are not old enough yet.
    pub pending: u64,
    /// How old is old enough.
    pub max_age: Duration,
}

/// How old an ended sandbox may get while `usage` (0 to 1) of the disk is in use.
pub fn max_age(policy: &Policy, usage: f64) -> Duration {
    policy
        .delay
        .mul_f64((1.0 - policy.headroom - usage).clamp(0.0, 1.0))
}

/// Pure: the runs to remove.
pub fn due(candidates: Vec<Candidate>, live: &BTreeSet<Run>, max_age: Duration) -> Vec<Run> {
    let is_old = |c: &Candidate| c.age >= max_age;
    let due = candidates
        .into_iter()
        .filter(|c| !live.contains(&c.run) && is_old(c));
    due.map(|c| c.run).collect()
}

/// Removes what is due of `candidates`, which were listed before `live` was asked for: a run that
/// began in between is in neither. Blocks.
pub fn collect(
    paths: &Paths,
    policy: &Policy,
    candidates: Candidates,
    live: &BTreeSet<Run>,
) -> io::Result<Collected> {
    let Candidates {
        runs: candidates,
        remains,
    } = candidates;
    let max_age = max_age(policy, disk_usage(paths.work_dir())?);
    let ended = candidates.iter().filter(|c| !live.contains(&c.run)).count() as u64;
    let mut collected = Collected {
        max_age,
        ..Collected::default()
    };
    for run in due(candidates, live, max_age) {
        match remove(paths, &run) {
            Ok(()) => collected.removed += 1,
            Err(error) => {
                collected.failed += 1;
                let error = chain(&error);
                tracing::warn!(sandbox = %paths.sandbox(&run).display(), error, "cannot remove a sandbox");
            }
        }
    }
    remains.remove(paths, live);
    collected.pending = ended.saturating_sub(collected.removed + collected.failed);
    Ok(collected)
}

/// Every run of every agent id that ever was here and has a sandbox, and those that are over without one:
/// their tasks were killed before it was made, or somebody removed it; or an agent has died before it had
/// written down whose they are, and so had begun nothing for them. Blocks.
pub fn candidates(paths: &Paths) -> io::Result<Candidates> {
    let remains = Remains::find(paths)?;
    let (mut found, now) = (Vec::new(), SystemTime::now());
    for run in runs(paths, Tree::Sandboxes)? {
        let modified = match is_unbegun(paths, &run) {
            true => SystemTime::UNIX_EPOCH,
            false => fs::symlink_metadata(paths.sandbox(&run))?.modified()?,
        };
        found.push(Candidate::new(run, modified, now));
    }
    for run in runs(paths, Tree::Checkpoints)? {
        let over = match paths.executor_info(&run).exists() {
            true => paths.sentinel(&run),
            false => paths.meta_run(&run),
        };
        let over = fs::symlink_metadata(over);
        if let (Ok(over), false) = (over, paths.sandbox(&run).exists()) {
            let modified = over.modified()?;
            found.push(Candidate::new(run, modified, now));
        }
    }
    Ok(Candidates {
        runs: found,
        remains,
    })
}

#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    #[error(transparent)]
    Tree(#[from] RemoveError),
    #[error("cannot remove the link {}", .link.display())]
    Link { link: PathBuf, source: io::Error },
    #[error("cannot remove what is kept of the executor of {}", .run.display())]
    Executor { run: PathBuf, source: io::Error },
}

/// Removes all that is kept of a run. Blocks. Nobody may use it any more.
///
/// The checkpoint first: one without its sandbox would be recovered. Of that the tasks, as long as it says
/// that they are over: one whose updates are gone would be told to be lost.
pub fn remove(paths: &Paths, run: &Run) -> Result<(), CollectError> {
    remove_tree(&paths.meta_tasks(run))?;
    reach(Point::TasksCollected);
    remove_tree(&paths.meta_run(run))?;
    reach(Point::CheckpointCollected);
    remove_tree(&paths.sandbox(run))?;
    reach(Point::SandboxCollected);
    let link = paths.latest_sandbox(run);
    if fs::read_link(&link).is_ok_and(|target| target == Path::new(&run.container)) {
        match fs::remove_file(&link) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(CollectError::Link { link, source });
            }
            _ => {}
        }
    }
    remove_executor(paths, run)
}

fn remove_executor(paths: &Paths, run: &Run) -> Result<(), CollectError> {
    // `runs` and the executor go with the last run; while another is there they are not empty and
    // stay. The framework stays in any case: a launch may be about to make an executor in it.
    reach(Point::LatestCollected);
    for directory in paths.runs(run).ancestors().take(2) {
        let _ = fs::remove_dir(directory);
    }
    reach(Point::RunsCollected);
    journal::forget_executor(paths, run).map_err(|source| CollectError::Executor {
        run: paths.meta_run(run),
        source,
    })
}

#[cfg(test)]
mod tests {
    use proto::v1;

    use super::*;
    use crate::task::journal::TaskJournal;

    const WEEK: Policy = Policy {
        delay: Duration::from_secs(7 * 86_400),
        headroom: 0.1,
    };

    fn run(executor: &str) -> Run {
        Run {
            agent: "S0".into(),
            framework: "F".into(),
            executor: executor.into(),
            container: format!("c-{executor}"),
        }
    }

    #[test]
    fn the_fuller_the_disk_the_younger_a_sandbox_must_go() {
        assert_eq!(max_age(&WEEK, 0.9), Duration::ZERO);
        assert_eq!(max_age(&WEEK, 0.99), Duration::ZERO);
        let half = max_age(&WEEK, 0.4).as_secs_f64() / WEEK.delay.as_secs_f64();
        assert!((half - 0.5).abs() < 1e-9);
    }

    #[test]
    fn only_old_runs_that_are_not_live_are_due() {
        let candidate = |executor, age| Candidate {
            run: run(executor),
            age: Duration::from_secs(age),
        };
        let candidates = vec![
            candidate("old", 100),
            candidate("new", 5),
            candidate("live", 100),
        ];
        let live = BTreeSet::from([run("live")]);
        assert_eq!(
            due(candidates, &live, Duration::from_secs(60)),
            [run("old")]
        );
    }

    #[test]
    fn a_checkpoint_whose_run_is_over_is_collected_also_when_there_is_no_sandbox() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        for executor in ["over", "unfinished", "not_begun"] {
            fs::create_dir_all(paths.meta_tasks(&run(executor))).unwrap();
        }
        for executor in ["over", "unfinished"] {
            fs::write(paths.executor_info(&run(executor)), "").unwrap();
        }
        fs::write(paths.sentinel(&run("over")), "").unwrap();
        let now = Policy {
            delay: Duration::ZERO,
            headroom: 0.1,
        };
        let none = BTreeSet::new();
        let collected = collect(&paths, &now, candidates(&paths).unwrap(), &none).unwrap();
        assert_eq!(collected.removed, 2);
        assert!(!paths.meta_run(&run("over")).exists());
        assert!(!paths.meta_run(&run("not_begun")).exists());
        assert!(paths.meta_run(&run("unfinished")).exists());
    }

    #[test]
    fn a_collected_run_leaves_nothing_and_a_live_one_everything() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        let again = Run {
            container: "again".into(),
            ..run("live")
        };
        for run in [run("dead"), run("live"), again] {
            crate::sandbox::create(&paths, &run, None).unwrap();
            let (executor, task) = (v1::ExecutorInfo::default(), v1::TaskInfo::default());
            TaskJournal::create(&paths, &run, &executor, &task).unwrap();
        }
        let now = Policy {
            delay: Duration::ZERO,
            headroom: 0.1,
        };
        let live = BTreeSet::from([run("live")]);
        let collected = collect(&paths, &now, candidates(&paths).unwrap(), &live).unwrap();
        assert_eq!(
            collected,
            Collected {
                removed: 2,
                ..Collected::default()
            }
        );
        assert!(!paths.runs(&run("dead")).exists());
        let executors = fs::read_dir(paths.meta_executors("S0", "F")).unwrap();
        let executors = executors.map(|entry| entry.unwrap().file_name());
        assert_eq!(executors.collect::<Vec<_>>(), ["live"]);
        assert!(paths.executor_info(&run("live")).exists());
        assert!(paths.sandbox(&run("live")).join("stdout").exists());
    }
}
