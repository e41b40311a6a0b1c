//! Reads `meta`, whatever has become of it. Changes nothing.

use std::fs;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::thread::ScopedJoinHandle;
use std::time::SystemTime;

use prost::Message;
use proto::v1;

use super::loss::{Earlier, Kind, Loss};
use super::{RecoveryError, Stored, StoredFramework, StoredRun, StoredTask};
use crate::book;
use crate::checkpoint::{self, CheckpointError, Directories, Fault, Journalled, damage};
use crate::group::record::Groups;
use crate::paths::{Paths, Run};
use crate::task::journal::{Record, TaskJournal, history};
use crate::task::killing::Killing;

/// Reads the agent that `latest` names. Blocks.
///
/// Errors: a newer program has been here.
pub fn read(paths: &Paths, boot_id: Option<&str>) -> Result<Stored, RecoveryError> {
    let mut reading = Reading {
        paths,
        stored: Stored::default(),
    };
    reading.boot(boot_id)?;
    reading.agent()?;
    Ok(reading.stored)
}

struct Reading<'a> {
    paths: &'a Paths,
    stored: Stored,
}

/// The run of an executor that is of interest.
struct Last {
    run: Run,
    completed: bool,
    modified: SystemTime,
}

/// Why something is not there that should be.
enum Why {
    Unread(CheckpointError),
    SetAside(std::path::PathBuf),
}

impl From<CheckpointError> for Why {
    fn from(error: CheckpointError) -> Self {
        Self::Unread(error)
    }
}

/// Only what a newer program wrote ends the reading.
type Read = Result<(), RecoveryError>;

impl Reading<'_> {
    fn boot(&mut self, now: Option<&str>) -> Read {
        let is_id = |text: &str| uuid::Uuid::try_parse(text).is_ok();
        match checkpoint::read_text(&self.paths.boot_id(), is_id) {
            Ok(before) => self.stored.boot_id = before,
            Err(error) => self.lose("whether this host was rebooted", error)?,
        }
        let before = self.stored.boot_id.as_deref();
        self.stored.rebooted = before.zip(now).is_some_and(|(before, now)| before != now);
        Ok(())
    }

    fn agent(&mut self) -> Read {
        const WHAT: &str = "the id of the agent, and with it all tasks,";
        let (agents, latest) = (self.paths.meta_agents(), self.paths.latest_agent());
        for place in [&agents, &latest] {
            if let Some(aside) = checkpoint::was_set_aside(place) {
                self.lose_all(WHAT, Why::SetAside(aside))?;
            }
        }
        if let Err(error) = checkpoint::directories(&agents) {
            return self.lose_all(WHAT, error);
        }
        let is_id = |id: &str| proto::ids::check(id).is_ok();
        match checkpoint::read_link(&latest, is_id) {
            Ok(None) => Ok(()),
            Ok(Some(agent)) => {
                self.stored.id = Some(agent.clone());
                self.agent_of(&agent)
            }
            Err(error) => self.lose_all(WHAT, error),
        }
    }

    fn agent_of(&mut self, agent: &str) -> Read {
        const WHAT: &str = "how this agent was started before";
        let directory = self.paths.meta_agent(agent);
        if let Some(aside) = checkpoint::was_set_aside(&directory) {
            self.lose_all("all tasks", Why::SetAside(aside))?;
        }
        if let Err(error) = checkpoint::directories(&directory) {
            return self.lose_all("all tasks", error);
        }
        let file = self.paths.agent_info(agent);
        let of = |info: &v1::AgentInfo| info.id.as_ref().map(|id| id.value.clone());
        match info(&file, agent, of) {
            Ok(Some(info)) => self.stored.info = Some(info),
            Ok(None) if directory.exists() => self.lose(WHAT, damage(&file, Fault::Missing))?,
            Ok(None) if checkpoint::was_set_aside(&directory).is_some() => {}
            Ok(None) => self.lose_all(WHAT, damage(&file, Fault::Missing))?,
            Err(why) => self.lose(WHAT, why)?,
        }
        let frameworks = self.paths.meta_frameworks(agent);
        for framework in self.list(&frameworks, "all tasks", |unread, _| unread.add_all())? {
            self.framework(agent, &framework)?;
        }
        Ok(())
    }

    fn framework(&mut self, agent: &str, id: &str) -> Read {
        let file = self.paths.framework_info(agent, id);
        let of = |info: &v1::FrameworkInfo| info.id.as_ref().map(|id| id.value.clone());
        let info = match info(&file, id, of) {
            Ok(Some(info)) => info,
            // Without it nothing was begun for the framework.
            Ok(None) => return Ok(()),
            Err(why) => {
                self.stored.unread.add_framework(self.paths, agent, id);
                return self.lose(&format!("framework {id} with all its tasks"), why);
            }
        };
        let executors = self.paths.meta_executors(agent, id);
        let what = format!("a task of framework {id}");
        let executors = self.list(&executors, &what, |unread, _| unread.add_all())?;
        let last = self.each(&executors, |reading, executor| {
            reading.executor(Run {
                agent: agent.to_owned(),
                framework: id.to_owned(),
                executor: executor.clone(),
                container: String::new(),
            })
        })?;
        let runs = self.each(&of_interest(last, COMPLETED), |reading, last| {
            reading.run(last)
        })?;
        self.stored.frameworks.push(StoredFramework { info, runs });
        Ok(())
    }

    /// Many at once: there may be thousands, and each takes a dozen system calls.
    fn each<T: Sync, R: Send>(
        &mut self,
        all: &[T],
        read: impl Fn(&mut Reading<'_>, &T) -> Result<Option<R>, RecoveryError> + Sync,
    ) -> Result<Vec<R>, RecoveryError> {
        let hands = std::thread::available_parallelism().map_or(1, NonZero::get);
        let share = all.len().div_ceil(hands).max(1);
        let (paths, read) = (self.paths, &read);
        let read_all = move |some: &[T]| {
            let stored = Stored::default();
            let mut reading = Reading { paths, stored };
            let found = some
                .iter()
                .filter_map(|one| read(&mut reading, one).transpose());
            let found = found.collect::<Result<Vec<R>, RecoveryError>>();
            found.map(|found| (found, reading.stored))
        };
        let parts = std::thread::scope(|scope| {
            let begin = |some| scope.spawn(move || read_all(some));
            let begun: Vec<_> = all.chunks(share).map(begin).collect();
            let end = |part: ScopedJoinHandle<'_, _>| {
                part.join().unwrap_or_else(|panic| resume_unwind(panic))
            };
            begun.into_iter().map(end).collect::<Vec<_>>()
        });
        let mut found = Vec::new();
        for part in parts {
            let (part, stored) = part?;
            found.extend(part);
            self.stored.losses.extend(stored.losses);
            self.stored.earlier.extend(stored.earlier);
            self.stored.unread.add_those(stored.unread);
        }
        Ok(found)
    }

    /// Its run that is of interest: the last one that is not over, or else the last one.
    fn executor(&mut self, run: Run) -> Result<Option<Last>, RecoveryError> {
        let what = format!("task {} of framework {}", run.executor, run.framework);
        let runs = self.list(
            &self.paths.meta_runs(&run),
            &what,
            |unread, name| match name {
                Some(container) => unread.add(container),
                None => unread.add_all(),
            },
        )?;
        let last = |container: String| {
            let run = Run {
                container,
                ..run.clone()
            };
            Last {
                completed: self.paths.sentinel(&run).exists(),
                modified: modified(&self.paths.meta_run(&run)),
                run,
            }
        };
        let all = runs.into_iter().map(last);
        Ok(all.max_by_key(|last| (!last.completed, last.modified)))
    }

    fn run(&mut self, last: &Last) -> Result<Option<StoredRun>, RecoveryError> {
        let Last { run, completed, .. } = last;
        let what = format!(
            "task {} of framework {}, which is in container {},",
            run.executor, run.framework, run.container
        );
        let of = |info: &v1::ExecutorInfo| Some(info.executor_id.value.clone());
        let executor = match info(&self.paths.executor_info(run), &run.executor, of) {
            Ok(Some(executor)) => executor,
            Ok(None) => return Ok(None),
            Err(why) => return self.lose_run(run, &what, why),
        };
        let mut tasks = Vec::new();
        let paths = self.paths;
        let of_run = |unread: &mut super::Unread, _: Option<&str>| unread.add_run(paths, run);
        for id in self.list(&self.paths.meta_tasks(run), &what, of_run)? {
            let of = |info: &v1::TaskInfo| Some(info.task_id.value.clone());
            let info = match info(&self.paths.task_info(run, &id), &id, of) {
                Ok(Some(info)) => info,
                // Without it nothing was begun for the task.
                Ok(None) => continue,
                Err(why) => return self.lose_run(run, &what, why),
            };
            let file = self.paths.task_updates(run, &id);
            let mut journal = match Journalled::<Record>::read(&file) {
                Ok(journal) => journal,
                Err(error) => return self.lose_run(run, &what, error.into()),
            };
            if let Some(damage) = journal.damage.take() {
                let what = format!("a part of what was said of {what}");
                self.lose_of(&what, CheckpointError::from(damage).into(), Kind::Journal)?;
            }
            if journal.torn > 0 {
                let (file, torn) = (file.display(), journal.torn);
                tracing::info!(%file, torn, "the last record was not written to its end, and is left out");
            }
            let (journal, records) = journal.resume(&file);
            tasks.push(StoredTask {
                info,
                journal: TaskJournal::of(journal),
                history: history(records),
            });
        }
        let brings_one = |task: &StoredTask| task.info.executor.is_some();
        let is_marked = self.paths.http_marker(run).exists();
        let groups = match executor.r#type() {
            v1::executor_info::Type::Default => match groups(&self.paths.executor_groups(run)) {
                Ok(groups) => Some(groups),
                Err(why) => return self.lose_run(run, &what, why),
            },
            _ => None,
        };
        let kind = match is_marked || tasks.iter().any(brings_one) {
            _ if groups.is_some() => book::Kind::Group,
            true => book::Kind::Custom,
            false => book::Kind::Command,
        };
        let killing = match checkpoint::read::<Killing>(&self.paths.executor_killing(run)) {
            Ok(killing) => killing,
            Err(error) => return self.lose_run(run, &what, error.into()),
        };
        Ok(Some(StoredRun {
            run: run.clone(),
            executor,
            kind,
            killing,
            groups: groups.unwrap_or_default(),
            completed: *completed,
            tasks,
        }))
    }

    /// Any container may be one of those that are lost.
    fn lose_all(&mut self, what: &str, why: impl Into<Why>) -> Read {
        self.stored.unread.add_all();
        self.lose(what, why)
    }

    fn lose_run(
        &mut self,
        run: &Run,
        what: &str,
        why: Why,
    ) -> Result<Option<StoredRun>, RecoveryError> {
        self.stored.unread.add_run(self.paths, run);
        self.lose(what, why)?;
        Ok(None)
    }

    /// The directories in one. What is in it and is none was one, perhaps: `spare` is told the name that it
    /// had, or that nothing at all can be listed.
    fn list(
        &mut self,
        directory: &Path,
        what: &str,
        spare: impl Fn(&mut super::Unread, Option<&str>),
    ) -> Result<Vec<String>, RecoveryError> {
        let found = match checkpoint::directories(directory) {
            Ok(found) => found,
            Err(error) => {
                spare(&mut self.stored.unread, None);
                self.lose(what, error)?;
                return Ok(vec![]);
            }
        };
        let Directories { names, others } = found;
        let is_missing = names.is_empty();
        if let Some(aside) = is_missing
            .then(|| checkpoint::was_set_aside(directory))
            .flatten()
        {
            spare(&mut self.stored.unread, None);
            self.lose(what, Why::SetAside(aside))?;
        }
        for other in others {
            let name = other.file_name().and_then(|name| name.to_str());
            match name.and_then(|name| name.rsplit_once(checkpoint::SUFFIX)) {
                Some((name, _number)) => {
                    spare(&mut self.stored.unread, Some(name));
                    self.lose(what, Why::SetAside(other.clone()))?;
                }
                None => {
                    spare(&mut self.stored.unread, name);
                    self.lose(what, damage(&other, Fault::NoFile("no directory")))?;
                }
            }
        }
        Ok(names)
    }

    fn lose(&mut self, what: &str, why: impl Into<Why>) -> Read {
        self.lose_of(what, why.into(), Kind::Whole)
    }

    fn lose_of(&mut self, what: &str, why: Why, kind: Kind) -> Read {
        let what = what.to_owned();
        match why {
            Why::Unread(newer @ CheckpointError::Newer { .. }) => return Err(newer.into()),
            Why::Unread(cause) => self.stored.losses.push(Loss {
                what,
                cause: Arc::new(cause),
                kind,
                aside: None,
            }),
            Why::SetAside(aside) => self.stored.earlier.push(Earlier { what, aside }),
        }
        Ok(())
    }
}

/// Runs that are over and are read: thousands may wait for their sandboxes to be collected, the agent
/// remembers fewer, and a master takes no more than these.
const COMPLETED: usize = 1000;

/// All that are not over, and the youngest of the others, oldest first.
fn of_interest(mut runs: Vec<Last>, most: usize) -> Vec<Last> {
    runs.sort_by_key(|last| (last.completed, last.modified));
    let over = runs.partition_point(|last| !last.completed);
    let old = (runs.len() - over).saturating_sub(most);
    runs.drain(over..over + old);
    runs
}

/// What is in `file`, which must be about `id`.
fn info<M: Message + Default>(
    file: &Path,
    id: &str,
    of: impl Fn(&M) -> Option<String>,
) -> Result<Option<M>, Why> {
    match checkpoint::read(file)? {
        Some(info) => match of(&info) {
            Some(other) if other == id => Ok(Some(info)),
            other => {
                let other = other.unwrap_or_else(|| "nothing that has an id".to_owned());
                Err(damage(file, Fault::Misplaced(other)).into())
            }
        },
        None => checkpoint::was_set_aside(file).map_or(Ok(None), |aside| Err(Why::SetAside(aside))),
    }
}

/// Which tasks of an executor came together. It was written before anything was done for them.
fn groups(file: &Path) -> Result<Groups, Why> {
    match checkpoint::read(file)? {
        Some(groups) => Ok(groups),
        None => Err(match checkpoint::was_set_aside(file) {
            Some(aside) => Why::SetAside(aside),
            None => damage(file, Fault::Missing).into(),
        }),
    }
}

/// The oldest, when that cannot be told.
fn modified(path: &Path) -> SystemTime {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    modified.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn of_runs_that_are_over_the_youngest_are_read() {
        let last = |container: &str, completed, age: u64| Last {
            run: Run {
                container: container.to_owned(),
                ..Run::default()
            },
            completed,
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(100 - age),
        };
        let all = vec![
            last("oldest", true, 50),
            last("young", true, 1),
            last("runs", false, 90),
            last("old", true, 10),
        ];
        let read = of_interest(all, 2);
        let read: Vec<_> = read
            .iter()
            .map(|last| last.run.container.as_str())
            .collect();
        assert_eq!(read, ["runs", "old", "young"]);
    }
}
