//! Disk quotas: what of the disk each sandbox takes, and what becomes of those that take too much.
//!
//! Where the file system counts by project, each sandbox is a project of its own: its use is read at once,
//! and the file system itself refuses what is too much. Elsewhere the agent measures each sandbox from
//! time to time, and kills a task that has taken too much. Rotated logs are in the sandbox and count;
//! volumes do not.
//!
//! | module | is |
//! |---|---|
//! | `policy` | what is too much, and who holds a task to it |
//! | `projects` | whose project is which, by what sandboxes themselves carry |
//! | `measure`, `pace` | a look at a whole tree that a task has made |

mod measure;
mod pace;
mod policy;
mod projects;

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use containerizer::project_quota::{ProjectQuota, ProjectUse, QuotaError};
use failpoint::{Point, reach};
use proto::error::chain;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::excess::Excess;
use crate::paths::Paths;
use crate::supervisor::Event;
use crate::task::Key;
use measure::measure;
use pace::Pace;
pub use policy::{Holder, Overrun, Policy, amount, quota};
use projects::Projects;
pub use projects::{ProjectRange, UnownedError, disown, unowned};

/// Trees that are measured at one time.
const HANDS: usize = 2;

/// How many times as long as a look took the next one waits at least.
const RARELY: u32 = 4;

/// Looks at what a project uses, after which the sandbox is measured all the same: the owner of a file can
/// give it another project, unless it is in a user namespace.
const TRUST: u32 = 20;

/// What the two may differ by, for the task writes while they are compared.
const SLACK: u64 = 1 << 20;

/// A zero interval would be a busy loop.
const SHORTEST: Duration = Duration::from_millis(100);

/// What is known of one sandbox, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Use {
    /// `None` before it was measured for the first time.
    pub used: Option<u64>,
    /// What its task asked for; `None` for nothing.
    pub limit: Option<u64>,
    /// Where the file system counts it by project.
    pub project: Option<u32>,
}

#[derive(Debug)]
pub struct Quotas {
    policy: Policy,
    projects: Option<Projects>,
    watched: Mutex<HashMap<PathBuf, Watched>>,
    hands: Arc<Semaphore>,
    events: mpsc::Sender<Event>,
}

#[derive(Debug)]
struct Watched {
    latest: Use,
    watch: AbortHandle,
}

impl Quotas {
    /// Finds out what the file system of the work directory can do. Blocks.
    pub fn open(
        paths: &Paths,
        policy: Policy,
        range: ProjectRange,
        events: mpsc::Sender<Event>,
    ) -> Quotas {
        let projects = match projects(paths, range) {
            Ok(projects) => projects,
            Err(error) => {
                let error = chain(&*error);
                tracing::warn!(
                    error,
                    "sandboxes are measured, for their projects cannot be told"
                );
                None
            }
        };
        let holds = projects.as_ref().is_some_and(Projects::file_system_holds);
        if policy.inodes.is_some() && !holds {
            let work_dir = paths.work_dir().display();
            tracing::warn!(
                %work_dir,
                "--sandbox_inodes_limit is not held to: the file system of --work_dir has no project quotas"
            );
        }
        Quotas {
            policy,
            projects,
            watched: Mutex::default(),
            hands: Arc::new(Semaphore::new(HANDS)),
            events,
        }
    }

    /// Makes a sandbox that nobody uses yet count for itself: `files` are it and what is in it. Where that
    /// fails it will be measured. Blocks.
    pub fn admit(&self, sandbox: &Path, files: &[BorrowedFd<'_>], quota: Option<u64>) {
        let Some(projects) = &self.projects else {
            return;
        };
        if let Err(error) = projects.admit(sandbox, files, self.policy.hard_limit(quota)) {
            let (error, sandbox) = (chain(&error), sandbox.display());
            tracing::warn!(error, %sandbox, "a sandbox has no project and will be measured");
        }
    }

    /// Looks after the sandbox of a task that runs.
    pub fn watch(self: &Arc<Self>, key: Key, sandbox: &Path, quota: Option<u64>) {
        let watch = Watch {
            quotas: Arc::clone(self),
            key,
            sandbox: sandbox.to_owned(),
        };
        let latest = Use {
            used: None,
            limit: quota,
            project: None,
        };
        let mut watched = self.watched();
        let watch = tokio::spawn(watch.run()).abort_handle();
        if let Some(earlier) = watched.insert(sandbox.to_owned(), Watched { latest, watch }) {
            earlier.watch.abort();
        }
    }

    /// A sandbox that is looked after may take another amount from now on. Blocks.
    pub fn adjust(&self, sandbox: &Path, quota: Option<u64>) {
        match self.watched().get_mut(sandbox) {
            Some(watched) if watched.latest.limit != quota => watched.latest.limit = quota,
            Some(_) | None => return,
        }
        if let Some(projects) = &self.projects
            && let Some(project) = projects.of(sandbox)
        {
            // One that fails is tried again with each look.
            let _ = self.hold(projects, project, sandbox);
        }
    }

    /// Its task writes no more.
    pub fn release(&self, sandbox: &Path) {
        if let Some(watched) = self.watched().remove(sandbox) {
            watched.watch.abort();
        }
    }

    /// Of the sandbox of a task that runs. Asks the kernel, at most.
    pub fn of(&self, sandbox: &Path) -> Option<Use> {
        let latest = self.watched().get(sandbox)?.latest;
        let project = self.projects.as_ref().and_then(|projects| {
            let project = projects.of(sandbox)?;
            projects.read(project).ok()
        });
        Some(Use {
            used: project.map(|project| project.bytes).or(latest.used),
            project: project.map(|project| project.project),
            ..latest
        })
    }

    /// Frees what sandboxes held that have gone. Blocks.
    pub fn sweep(&self) {
        self.projects.iter().for_each(Projects::sweep);
    }

    /// How many projects there are and how many are free; `None` where there is no such thing.
    pub fn project_counts(&self) -> Option<(usize, usize)> {
        self.projects.as_ref().map(Projects::counts)
    }

    /// `None` when nobody looks after it.
    fn limit(&self, sandbox: &Path) -> Option<Option<u64>> {
        Some(self.watched().get(sandbox)?.latest.limit)
    }

    /// Has the file system hold a project to what is its sandbox's now. Blocks.
    fn hold(
        &self,
        projects: &Projects,
        project: u32,
        sandbox: &Path,
    ) -> Option<Result<ProjectUse, QuotaError>> {
        let mut quota = self.limit(sandbox)?;
        loop {
            let used = projects.hold(project, self.policy.hard_limit(quota));
            // Somebody else may have said and done something else meanwhile.
            match self.limit(sandbox)? {
                same if same == quota => return Some(used),
                other => quota = other,
            }
        }
    }

    /// What a look at a sandbox found, and whether that is too much. One that is `thorough` does not trust
    /// the project. Blocks.
    fn look(
        &self,
        sandbox: &Path,
        quota: Option<u64>,
        thorough: bool,
    ) -> Option<(u64, Option<Overrun>)> {
        let projects = self.projects.as_ref();
        let counted = projects.and_then(|projects| Some((projects, projects.of(sandbox)?)));
        let holder = match counted {
            Some((projects, _)) if projects.file_system_holds() => Holder::FileSystem,
            _ => Holder::Agent,
        };
        let counted = counted.and_then(|(projects, project)| {
            let used = self.hold(projects, project, sandbox)?;
            let used = used.inspect_err(|error| {
                let error = chain(error);
                tracing::debug!(error, "a sandbox is measured");
            });
            used.ok()
        });
        if let Some(used) = counted {
            let is_over = self.policy.is_over(quota, holder, used.bytes);
            if !is_over && !thorough {
                return Some((used.bytes, None));
            }
            let mut measured = measure(sandbox, Pace::gentle()).unwrap_or_default();
            if measured.bytes > used.bytes.saturating_add(SLACK) {
                // What counts for another project is nobody's but ours to hold to a limit.
                let overrun = self.policy.judge(quota, Holder::Agent, &measured);
                return Some((measured.bytes, overrun));
            }
            measured.bytes = used.bytes;
            return Some((used.bytes, self.policy.judge(quota, holder, &measured)));
        }
        match measure(sandbox, Pace::gentle()) {
            Ok(measured) => {
                let overrun = self.policy.judge(quota, holder, &measured);
                Some((measured.bytes, overrun))
            }
            Err(error) => {
                tracing::debug!(sandbox = %sandbox.display(), %error, "a sandbox cannot be measured");
                None
            }
        }
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<PathBuf, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn projects(
    paths: &Paths,
    range: ProjectRange,
) -> Result<Option<Projects>, Box<dyn std::error::Error + Send + Sync>> {
    let Some(quota) = ProjectQuota::at(paths.work_dir())? else {
        return Ok(None);
    };
    Ok(Some(Projects::recover(paths, quota, range)?))
}

/// Of one sandbox, for as long as its task runs.
struct Watch {
    quotas: Arc<Quotas>,
    key: Key,
    sandbox: PathBuf,
}

impl Watch {
    async fn run(self) {
        let interval = self.quotas.policy.interval.max(SHORTEST);
        let mut wait = interval;
        for look in 1_u32.. {
            let thorough = look.is_multiple_of(TRUST);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // The agent has gone.
                () = self.quotas.events.closed() => return,
            }
            let Ok(hand) = Arc::clone(&self.quotas.hands).acquire_owned().await else {
                return;
            };
            let Some(quota) = self.quotas.limit(&self.sandbox) else {
                return;
            };
            let (quotas, sandbox) = (Arc::clone(&self.quotas), self.sandbox.clone());
            let begun = Instant::now();
            let look = tokio::task::spawn_blocking(move || {
                let _hand = hand;
                quotas.look(&sandbox, quota, thorough)
            });
            let look = look.await;
            reach(Point::SandboxMeasured);
            // A huge tree is measured less often than it would be always.
            wait = interval.max(begun.elapsed().saturating_mul(RARELY));
            let Ok(Some((used, overrun))) = look else {
                continue;
            };
            if let Some(watched) = self.quotas.watched().get_mut(&self.sandbox) {
                watched.latest.used = Some(used);
            }
            // What was too much a moment ago may not be now.
            let is_current = self.quotas.limit(&self.sandbox) == Some(quota);
            if let Some(overrun) = overrun.filter(|_| is_current) {
                let overrun = Event::Exceeds {
                    key: self.key.clone(),
                    excess: Excess::Disk(overrun),
                };
                // The agent may have gone. Whoever is to end it may not have listened: it is said until he
                // has.
                let _ = self.quotas.events.send(overrun).await;
            }
        }
    }
}
