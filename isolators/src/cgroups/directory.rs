//! Directories of cgroups: made with what a child needs of its parents, and removed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use failpoint::{Point, reach};

use super::act;
use super::error::CgroupError;
use super::hierarchy::REQUIRED;

/// Directories that a launch has made, to be taken away again when it fails.
#[derive(Debug, Default)]
pub(super) struct Made(Vec<PathBuf>);

impl Made {
    /// Whether it is new. Parents that are not there are made, too.
    pub fn add(&mut self, path: &Path) -> Result<bool, CgroupError> {
        let before = self.0.len();
        make(path, &mut self.0)?;
        Ok(self.has_grown(before))
    }

    /// The same where the parent must be there: it is not ours to make anew when it is just going.
    pub fn add_within(&mut self, path: &Path) -> Result<bool, CgroupError> {
        let before = self.0.len();
        if make_within(path)? {
            self.0.push(path.to_owned());
        }
        Ok(self.has_grown(before))
    }

    fn has_grown(&self, before: usize) -> bool {
        reach(Point::CgroupMade);
        self.0.len() > before
    }

    pub fn unmake(&self) {
        for path in self.0.iter().rev() {
            // The first failure is what the caller must hear; these directories are empty, or somebody
            // else has put something there.
            let _ = fs::remove_dir(path);
        }
    }
}

/// With its parents, and says which of them were not there before.
pub(super) fn make(path: &Path, made: &mut Vec<PathBuf>) -> Result<(), CgroupError> {
    // From the inside outwards, since the parent is nearly always there.
    let mut waiting = vec![path];
    while let Some(directory) = waiting.last().copied() {
        match (fs::create_dir(directory), directory.parent()) {
            (Ok(()), _) => {
                made.push(directory.to_owned());
                waiting.pop();
            }
            (Err(e), _) if e.kind() == io::ErrorKind::AlreadyExists => drop(waiting.pop()),
            (Err(e), Some(parent)) if e.kind() == io::ErrorKind::NotFound => waiting.push(parent),
            (Err(source), _) => {
                let path = directory.to_owned();
                return Err(CgroupError::Create { path, source });
            }
        }
    }
    Ok(())
}

fn make_within(path: &Path) -> Result<bool, CgroupError> {
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => {
            let path = path.to_owned();
            Err(CgroupError::Create { path, source })
        }
    }
}

/// Makes what nested containers lie in, below the cgroup of a container that is there. It goes with that one.
pub(super) fn make_nest(nest: &Path) -> Result<(), CgroupError> {
    make_within(nest).map(drop)
}

/// The same on v2, and has it hand on what they need.
pub(super) fn make_handing_nest(nest: &Path, needed: &BTreeSet<&str>) -> Result<(), CgroupError> {
    let all: Vec<_> = PREPARED.iter().chain(needed).copied().collect();
    let above = nest.parent().unwrap_or(nest);
    hand_on_by(above, &all)?;
    make_nest(nest)?;
    // Also when it was there: another launch may have made it, and not have come to this.
    hand_on_by(nest, &all)
}

/// What the subtree of all containers hands on.
const PREPARED: &[&str] = &["cpu", "memory", "pids"];

/// Gives the children of a v2 cgroup their controllers: those we need, and pids where there is it.
pub(super) fn hand_on_required(directory: &Path) -> Result<(), CgroupError> {
    let file = directory.join(CONTROL);
    for needed in REQUIRED {
        act::write(&file, &format!("+{needed}"))?;
    }
    // Only for counting.
    let _ = act::write(&file, "+pids");
    Ok(())
}

const CONTROL: &str = "cgroup.subtree_control";

/// Makes the parents of a v2 cgroup, and lets them hand on what it needs.
pub(super) fn hand_on(
    mount: &Path,
    path: &Path,
    needed: &BTreeSet<&str>,
    made: &mut Made,
) -> Result<(), CgroupError> {
    let directory = mount.join(path);
    let prepared = needed.iter().all(|needed| PREPARED.contains(needed));
    if prepared && directory.parent().is_some_and(Path::exists) {
        return Ok(());
    }
    let all: Vec<_> = PREPARED.iter().chain(needed).copied().collect();
    hand_on_to(&directory, mount, &all, made)
}

/// The same for whatever the host has.
pub(super) fn hand_on_all(mount: &Path, path: &Path, made: &mut Made) -> Result<(), CgroupError> {
    let all = act::read(&mount.join("cgroup.controllers"))?;
    let all: Vec<_> = all.split_whitespace().collect();
    hand_on_to(&mount.join(path), mount, &all, made)
}

fn hand_on_to(
    directory: &Path,
    mount: &Path,
    controllers: &[&str],
    made: &mut Made,
) -> Result<(), CgroupError> {
    let parents = directory.ancestors().skip(1);
    let parents: Vec<_> = parents.take_while(|path| path.starts_with(mount)).collect();
    for parent in parents.into_iter().rev() {
        if parent != mount {
            made.add(parent)?;
        }
        hand_on_by(parent, controllers)?;
    }
    Ok(())
}

/// One cgroup gives its children these.
fn hand_on_by(directory: &Path, controllers: &[&str]) -> Result<(), CgroupError> {
    let file = directory.join(CONTROL);
    let handed_on = act::read(&file)?;
    let has = |controller: &&&str| handed_on.split_whitespace().any(|has| has == **controller);
    for controller in controllers.iter().filter(|controller| !has(controller)) {
        // As far as it is allowed: the file that is missing then is named, if it is needed.
        let _ = act::write(&file, &format!("+{controller}"));
    }
    Ok(())
}

/// A new cpuset of v1 has no processors and no memory, and then takes no process.
pub(super) fn inherit_cpuset(mount: &Path, path: &Path) -> Result<(), CgroupError> {
    let mut directory = mount.to_owned();
    for component in path.components() {
        let parent = directory.clone();
        directory.push(component);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if act::read(&directory.join(file))?.trim().is_empty() {
                let of_parent = act::read(&parent.join(file))?;
                act::write(&directory.join(file), of_parent.trim())?;
            }
        }
    }
    Ok(())
}

/// With everything below it: a container may have made cgroups of its own where it could.
pub(super) fn remove(path: &Path) -> Result<(), CgroupError> {
    let removed = match fs::remove_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::ResourceBusy => remove_children(path),
        removed => removed,
    };
    reach(Point::CgroupRemoved);
    told(path, removed)
}

/// Removing what is gone is not an error.
pub(super) fn remove_empty(path: &Path) -> Result<(), CgroupError> {
    let removed = fs::remove_dir(path);
    reach(Point::CgroupRootRemoved);
    told(path, removed)
}

fn told(path: &Path, removed: io::Result<()>) -> Result<(), CgroupError> {
    let path = || path.to_owned();
    removed.or_else(|e| match e.kind() {
        io::ErrorKind::NotFound => Ok(()),
        io::ErrorKind::ResourceBusy => Err(CgroupError::Busy { path: path() }),
        _ => Err(CgroupError::Remove {
            path: path(),
            source: e,
        }),
    })
}

/// Depth first, without recursion: how deep they lie is not for us to say.
fn remove_children(path: &Path) -> io::Result<()> {
    let mut found = vec![path.to_owned()];
    let mut seen = 0;
    while let Some(directory) = found.get(seen).cloned() {
        seen += 1;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                found.push(entry.path());
            }
        }
    }
    found.iter().rev().try_for_each(fs::remove_dir)
}
