//! Which project counts for which sandbox, where the file system counts by project.
//!
//! The tree itself is the record: each sandbox carries its number. So an agent that starts reads them
//! there, and there is nothing that could be out of step.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use containerizer::project_quota::{
    ProjectLimit, ProjectQuota, ProjectUse, QuotaError, project_of,
};
use nix::fcntl::OFlag;
use proto::error::chain;

use crate::paths::Paths;
use crate::runs::{ListError, Tree, runs};

/// The project that files have by themselves.
const EVERYTHING_ELSE: u32 = 0;

/// From the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectRange {
    pub first: u32,
    pub last: u32,
}

#[derive(Debug)]
pub struct Projects {
    quota: ProjectQuota,
    range: ProjectRange,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, thiserror::Error)]
pub enum NoProject {
    #[error(
        "all of the {0} projects of --xfs_project_range are in use: choose a larger one, or let sandboxes \
         be collected sooner"
    )]
    AllTaken(usize),
    #[error(transparent)]
    Quota(#[from] QuotaError),
}

impl ProjectRange {
    fn len(self) -> usize {
        (self.last - self.first) as usize + 1
    }

    fn contains(self, project: u32) -> bool {
        (self.first..=self.last).contains(&project)
    }
}

impl Projects {
    /// Takes the numbers from the sandboxes that are there. Blocks.
    pub fn recover(
        paths: &Paths,
        quota: ProjectQuota,
        range: ProjectRange,
    ) -> Result<Projects, ListError> {
        let mut ledger = Ledger::default();
        for (sandbox, project) in carried(paths, range)? {
            let place = sandbox.display().to_string();
            if let Some(other) = ledger.note(project, sandbox) {
                let other = other.display();
                tracing::warn!(project, sandbox = place, %other, "two sandboxes have one project");
            }
        }
        Ok(Projects {
            quota,
            range,
            ledger: Mutex::new(ledger),
        })
    }

    pub fn file_system_holds(&self) -> bool {
        self.quota.enforces()
    }

    /// Gives a sandbox a project of its own: `files` are it and what is in it. Blocks.
    pub fn admit(
        &self,
        sandbox: &Path,
        files: &[BorrowedFd<'_>],
        limit: ProjectLimit,
    ) -> Result<u32, NoProject> {
        // Who is in the ledger has it to himself; what the kernel counts besides is told by an audit.
        let project = loop {
            let taken = self.ledger().take(self.range, sandbox);
            let project = taken.ok_or(NoProject::AllTaken(self.range.len()))?;
            match self.quota.read(project) {
                Ok(used) if is_unused(&used) => break project,
                Ok(_used_by_others) => self.ledger().spoil(project),
                Err(error) => {
                    self.ledger().free(project);
                    return Err(error.into());
                }
            }
        };
        let assigned = self.quota.limit(project, limit).and_then(|()| {
            let mut files = files.iter();
            files.try_for_each(|file| self.quota.assign(*file, project))
        });
        match assigned {
            Ok(()) => Ok(project),
            Err(error) => {
                self.call_off(project, files);
                Err(error.into())
            }
        }
    }

    /// As it was before, as far as that can be.
    fn call_off(&self, project: u32, files: &[BorrowedFd<'_>]) {
        let mut undone = files
            .iter()
            .map(|file| self.quota.assign(*file, EVERYTHING_ELSE));
        let failed = undone.find_map(Result::err);
        match failed.or(self.quota.limit(project, ProjectLimit::default()).err()) {
            None => self.ledger().free(project),
            Some(error) => {
                let error = chain(&error);
                tracing::warn!(error, project, "a project stays in use that no sandbox has");
                self.ledger().spoil(project);
            }
        }
    }

    pub fn of(&self, sandbox: &Path) -> Option<u32> {
        self.ledger().by_sandbox.get(sandbox).copied()
    }

    pub fn read(&self, project: u32) -> Result<ProjectUse, QuotaError> {
        self.quota.read(project)
    }

    /// The same, with `limit` in force from now on: an earlier agent may have had other flags.
    pub fn hold(&self, project: u32, limit: ProjectLimit) -> Result<ProjectUse, QuotaError> {
        let used = self.quota.read(project)?;
        if !limit.is_that_of(&used) {
            self.quota.limit(project, limit)?;
        }
        Ok(used)
    }

    /// Frees the projects of sandboxes that have gone. Blocks.
    pub fn sweep(&self) {
        let held = self.ledger().by_sandbox.clone();
        let gone = |sandbox: &Path| {
            let found = std::fs::symlink_metadata(sandbox);
            found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        for (sandbox, project) in held.iter().filter(|(sandbox, _)| gone(sandbox)) {
            match self.quota.limit(*project, ProjectLimit::default()) {
                Ok(()) => self.ledger().free(*project),
                Err(error) => {
                    let (error, sandbox) = (chain(&error), sandbox.display());
                    tracing::warn!(error, %sandbox, "cannot free the project of a sandbox");
                }
            }
        }
    }

    /// How many there are, and how many of them are free.
    pub fn counts(&self) -> (usize, usize) {
        let total = self.range.len();
        (total, total - self.ledger().by_project.len())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum UnownedError {
    #[error(transparent)]
    Quota(#[from] QuotaError),
    #[error(transparent)]
    List(#[from] ListError),
    #[error("a sandbox has got project {0} meanwhile, or something uses it")]
    InUse(u32),
}

/// Projects of `range` that are in use, by nothing of ours: no sandbox carries them. Blocks.
pub fn unowned(paths: &Paths, range: ProjectRange) -> Result<Vec<ProjectUse>, UnownedError> {
    // A node that never had an agent has no such directory.
    let quota = match paths.work_dir().exists() {
        true => ProjectQuota::at(paths.work_dir())?,
        false => None,
    };
    let Some(quota) = quota else {
        return Ok(vec![]);
    };
    let mut in_use = quota.in_use(range.first, range.last)?;
    // Read last: a sandbox that was made meanwhile is not taken for none.
    let carried = carried(paths, range)?;
    let carried: BTreeSet<_> = carried.into_iter().map(|(_, project)| project).collect();
    in_use.retain(|used| !carried.contains(&used.project));
    Ok(in_use)
}

/// Takes away the limit of a project that is nobody's and that nothing counts for. Blocks.
pub fn disown(paths: &Paths, range: ProjectRange, project: u32) -> Result<(), UnownedError> {
    let unowned = unowned(paths, range)?;
    let is_free = |used: &ProjectUse| used.project == project && is_unused(used);
    match (
        unowned.iter().any(is_free),
        ProjectQuota::at(paths.work_dir())?,
    ) {
        (true, Some(quota)) => Ok(quota.limit(project, ProjectLimit::default())?),
        _ => Err(UnownedError::InUse(project)),
    }
}

fn is_unused(used: &ProjectUse) -> bool {
    (used.bytes, used.inodes) == (0, 0)
}

/// What sandboxes carry of `range`. Blocks.
fn carried(paths: &Paths, range: ProjectRange) -> Result<Vec<(PathBuf, u32)>, ListError> {
    let mut found = Vec::new();
    for run in runs(paths, Tree::Sandboxes)? {
        let sandbox = paths.sandbox(&run);
        // One that has gone carries none.
        let project = open(&sandbox).and_then(|directory| project_of(directory.as_fd()));
        if let Some(project) = project.ok().filter(|project| range.contains(*project)) {
            found.push((sandbox, project));
        }
    }
    Ok(found)
}

fn open(sandbox: &Path) -> io::Result<File> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = File::options();
    options.read(true).custom_flags(flags.bits()).open(sandbox)
}

#[derive(Debug, Default)]
struct Ledger {
    by_project: BTreeMap<u32, Option<PathBuf>>,
    by_sandbox: HashMap<PathBuf, u32>,
    /// The one that was given last: those that were freed are left alone for as long as can be.
    last: Option<u32>,
}

impl Ledger {
    /// The sandbox that had it already, if one has.
    fn note(&mut self, project: u32, sandbox: PathBuf) -> Option<PathBuf> {
        self.by_sandbox.insert(sandbox.clone(), project);
        self.by_project.insert(project, Some(sandbox)).flatten()
    }

    fn take(&mut self, range: ProjectRange, sandbox: &Path) -> Option<u32> {
        let after = self.last.map_or(range.first, |last| last.saturating_add(1));
        let mut candidates = (after.max(range.first)..=range.last).chain(range.first..=range.last);
        let project = candidates.find(|project| !self.by_project.contains_key(project))?;
        self.last = Some(project);
        self.note(project, sandbox.to_owned());
        Some(project)
    }

    /// It is in use by something else, and not given until the next start.
    fn spoil(&mut self, project: u32) {
        self.free(project);
        self.by_project.insert(project, None);
    }

    fn free(&mut self, project: u32) {
        if let Some(Some(sandbox)) = self.by_project.remove(&project) {
            self.by_sandbox.remove(&sandbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RANGE: ProjectRange = ProjectRange {
        first: 5000,
        last: 5002,
    };

    #[test]
    fn those_that_were_freed_are_given_last() {
        let mut ledger = Ledger::default();
        let take = |ledger: &mut Ledger, name: &str| ledger.take(RANGE, Path::new(name));
        assert_eq!(take(&mut ledger, "/a"), Some(5000));
        assert_eq!(take(&mut ledger, "/b"), Some(5001));
        ledger.free(5000);
        assert_eq!(take(&mut ledger, "/c"), Some(5002));
        assert_eq!(take(&mut ledger, "/d"), Some(5000));
        assert_eq!(take(&mut ledger, "/e"), None);
        assert_eq!(ledger.by_sandbox[Path::new("/d")], 5000);
    }

    #[test]
    fn what_others_use_and_what_sandboxes_carry_is_not_given() {
        let mut ledger = Ledger::default();
        ledger.note(5000, "/recovered".into());
        assert_eq!(ledger.take(RANGE, Path::new("/a")), Some(5001));
        ledger.spoil(5001);
        assert_eq!(ledger.by_sandbox.get(Path::new("/a")), None);
        assert_eq!(ledger.take(RANGE, Path::new("/a")), Some(5002));
        assert_eq!(ledger.take(RANGE, Path::new("/b")), None);
    }

    proptest! {
        #[test]
        fn no_project_is_given_twice(steps in prop::collection::vec(any::<Option<u8>>(), 0..60)) {
            let range = ProjectRange { first: 1, last: 8 };
            let (mut ledger, mut held) = (Ledger::default(), BTreeSet::new());
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    None => match ledger.take(range, &PathBuf::from(format!("/{n}"))) {
                        Some(project) => {
                            prop_assert!(range.contains(project) && held.insert(project));
                        }
                        None => prop_assert_eq!(held.len(), range.len()),
                    },
                    Some(project) => {
                        let project = u32::from(project) % 8 + 1;
                        ledger.free(project);
                        held.remove(&project);
                    }
                }
                prop_assert_eq!(ledger.by_sandbox.len(), held.len());
            }
        }
    }
}
