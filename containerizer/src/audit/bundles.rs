//! Containers of `longshore oci`. Nobody watches them and no agent has them: each is its caller's, until that
//! deletes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Component, Path, PathBuf};

use isolators::cgroups::{Hierarchy, found};
use isolators::mountinfo::Mount;

use super::difference::{Member, list};
use super::inventory::member;
use super::{AuditError, Scope, kernel};
use crate::stored::{ROOT, Stored};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Where its state is.
    pub directory: PathBuf,
    pub condition: Condition,
    /// As its state has it, below each mount of a hierarchy.
    pub cgroup: Option<PathBuf>,
    /// Of one that does not live, what there is still.
    pub left: Left,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Its first process does.
    Lives,
    /// Its first process did, and it was not deleted.
    Ended,
    /// No process is known: it is being made, or that was cut off.
    Unmade,
    /// Why its state cannot be told.
    Damaged(String),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// In each hierarchy that has it.
    pub cgroups: Vec<PathBuf>,
    /// In these.
    pub processes: Vec<Member>,
    /// On the host's side of its place.
    pub mounts: Vec<Mount>,
}

/// All with their state below the scope's `oci_root`.
pub(super) fn look(
    scope: &Scope,
    hierarchy: &Hierarchy,
) -> Result<BTreeMap<String, Bundle>, AuditError> {
    let entries = fs::read_dir(&scope.oci_root).into_iter().flatten();
    let directories = entries.flatten().map(|entry| entry.path());
    let mut bundles = BTreeMap::new();
    for directory in directories.filter(|path| path.is_dir()) {
        let (condition, cgroup) = match Stored::read(&directory) {
            Ok(Some(stored)) if stored.process.lives() => (Condition::Lives, Some(stored.cgroup)),
            Ok(Some(stored)) => (Condition::Ended, Some(stored.cgroup)),
            Ok(None) => (Condition::Unmade, None),
            Err(error) => (Condition::Damaged(error.to_string()), None),
        };
        let left = match condition {
            Condition::Lives => Left::default(),
            _ => left(scope, hierarchy, &directory, cgroup.as_deref())?,
        };
        let name = directory.file_name().unwrap_or_default();
        let bundle = Bundle {
            condition,
            cgroup,
            left,
            directory: directory.clone(),
        };
        bundles.insert(name.to_string_lossy().into_owned(), bundle);
    }
    Ok(bundles)
}

fn left(
    scope: &Scope,
    hierarchy: &Hierarchy,
    directory: &Path,
    cgroup: Option<&Path>,
) -> Result<Left, AuditError> {
    let place = kernel::real(directory);
    let mut mounts = kernel::mounts(&[kernel::real(&scope.oci_root)])?;
    mounts.retain(|mount| mount.point.starts_with(&place));
    // One that was put above our subtree has all of ours in it.
    let own = cgroup.filter(|cgroup| !is_above(cgroup, &scope.cgroups_root));
    let climbs = |path: &&Path| path.components().any(|it| it == Component::ParentDir);
    let own = own.filter(|path| !climbs(path));
    let cgroups = own.map_or_else(Vec::new, |path| found::at(hierarchy, path));
    let processes = found::processes(&cgroups).into_iter().filter_map(member);
    Ok(Left {
        processes: processes.collect(),
        cgroups,
        mounts,
    })
}

/// Whether a cgroup is our subtree, or around it.
fn is_above(cgroup: &Path, root: &str) -> bool {
    Path::new("/").join(root).starts_with(cgroup)
}

impl Bundle {
    /// Its name directly below our subtree, when it is in there.
    pub(super) fn place_in(&self, root: &str) -> Option<String> {
        let below = self
            .cgroup
            .as_ref()?
            .strip_prefix(Path::new("/").join(root));
        match below.ok()?.components().next()? {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        }
    }

    /// Whether its processes are in our subtree itself.
    pub(super) fn is_in_root(&self, root: &str) -> bool {
        self.condition == Condition::Lives
            && self.cgroup.as_deref() == Some(&*Path::new("/").join(root))
    }

    /// Of one that does not live.
    pub(super) fn why(&self) -> String {
        let mut why = match &self.condition {
            Condition::Lives => "`longshore oci` made it, and it runs".to_owned(),
            Condition::Ended => {
                "`longshore oci` made it, its first process has ended, and nobody has deleted it"
                    .to_owned()
            }
            Condition::Unmade => {
                "`longshore oci` began to make it, and was cut off before it had a process"
                    .to_owned()
            }
            Condition::Damaged(damage) => {
                format!(
                    "`longshore oci` made it, and what it says of itself cannot be read: {damage}"
                )
            }
        };
        let Left {
            cgroups,
            processes,
            mounts,
        } = &self.left;
        let text = match (cgroups.as_slice(), processes.as_slice()) {
            ([], _) => String::new(),
            (_, []) => "; its cgroup is there, and empty".to_owned(),
            (_, some) => format!("; in its cgroup: {}", list(some)),
        };
        why.push_str(&text);
        for mount in mounts {
            // Writing to a string cannot fail.
            let _ = write!(why, "; {} is mounted on the host", mount.point.display());
        }
        why
    }

    /// In words for the caller: nothing of it is an agent's to remove.
    pub(super) fn advice(&self, container: &str, root: &str) -> String {
        let store = self.directory.parent().unwrap_or(&self.directory);
        let runtime = match store == Path::new(ROOT) {
            true => "longshore oci".to_owned(),
            false => format!("longshore oci --root {}", store.display()),
        };
        let holds_ours = self
            .cgroup
            .as_ref()
            .is_some_and(|cgroup| is_above(cgroup, root));
        let directory = self.directory.display();
        match &self.condition {
            _ if holds_ours => format!(
                "remove {directory}: its cgroup is around those of this agent, and to delete it would kill \
                 what is in there"
            ),
            Condition::Lives | Condition::Ended => format!("{runtime} delete {container}"),
            Condition::Unmade => format!("{runtime} delete --force {container}"),
            Condition::Damaged(_) => {
                format!("end what is left of it, and remove {directory}")
            }
        }
    }
}
