//! What is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use isolators::cgroups::{Hierarchy, found};
use isolators::mountinfo::Mount;
use isolators::{ContainerId, IdRange};

use super::bundles::{self, Bundle};
use super::difference::Member;
use super::journal::{self, Journal, Keeper};
use super::kernel::{self, LoopDevice};
use super::{AuditError, Scope};
use crate::identity::Identity;
use crate::record::Record;
use crate::runtime_dir;

/// What of ours the kernel has. What the journal accounts for is not looked into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// By their names directly below our subtree.
    pub cgroups: BTreeMap<String, CgroupSeen>,
    /// Processes in our subtree itself.
    pub in_root: Vec<Member>,
    /// Containers whose recorded process lives.
    pub living: BTreeSet<String>,
    /// Processes that run our `init` for a container of ours and that no record names.
    pub inits: Vec<(String, Member)>,
    /// Ids of the host that living containers have for themselves.
    pub ids: BTreeMap<String, IdRange>,
    /// Newest first.
    pub mounts: Vec<Mount>,
    pub loop_devices: Vec<LoopDevice>,
    /// Network links of this node with a name of ours.
    pub links: Vec<String>,
    /// Containers of `longshore oci`, by their names.
    pub bundles: BTreeMap<String, Bundle>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CgroupSeen {
    /// In each hierarchy that has it.
    pub directories: Vec<PathBuf>,
    pub processes: Vec<Member>,
}

/// Looks at both. Blocks, on a node with many containers for some tens of milliseconds.
///
/// `known`: containers that are ours because something else says so.
pub fn look(
    scope: &Scope,
    known: BTreeSet<String>,
    keeper: Keeper,
) -> Result<(Inventory, Journal), AuditError> {
    let hierarchy = Hierarchy::detect(&scope.cgroups_hierarchy)?;
    let mut journal = journal::read(scope, known, keeper)?;
    let cgroups = found::children(&hierarchy, &scope.cgroups_root)?;
    note_places(&mut journal, scope, &cgroups);
    let accounted = accounted(&journal);
    let seen = |(name, directories): (String, Vec<PathBuf>)| {
        let processes = match accounted.contains(name.as_str()) {
            true => Vec::new(),
            false => members(found::processes(&directories)),
        };
        let seen = CgroupSeen {
            directories,
            processes,
        };
        (name, seen)
    };
    let cgroups = cgroups.into_iter().map(seen).collect();
    let recorded = journal.records.iter();
    let living: BTreeMap<String, Identity> = recorded
        .filter_map(|(id, record)| Some((id.clone(), record.process.filter(|it| it.lives())?)))
        .collect();
    let directories: Vec<_> = std::iter::once(&scope.runtime_dir)
        .chain(&scope.directories)
        .map(|directory| kernel::real(directory))
        .collect();
    let ids = living.iter();
    let inventory = Inventory {
        cgroups,
        in_root: members(found::in_root(&hierarchy, &scope.cgroups_root)),
        inits: inits(scope, &living),
        ids: ids
            .filter_map(|(id, process)| Some((id.clone(), kernel::ids(*process)?)))
            .collect(),
        living: living.into_keys().collect(),
        mounts: kernel::mounts(&directories)?,
        loop_devices: kernel::loop_devices(Path::new("/sys/block"), &directories),
        links: kernel::links(),
        bundles: bundles::look(scope, &hierarchy)?,
    };
    Ok((inventory, journal))
}

/// A spec may have put a container elsewhere in our subtree. Specs are large: only those that matter are
/// read.
fn note_places(journal: &mut Journal, scope: &Scope, cgroups: &BTreeMap<String, Vec<PathBuf>>) {
    let elsewhere = journal.records.iter_mut();
    for (id, record) in elsewhere.filter(|(id, _)| !cgroups.contains_key(*id)) {
        record.cgroup = named(scope, id);
    }
}

fn named(scope: &Scope, id: &str) -> Option<String> {
    let id = ContainerId::try_from(id.to_owned()).ok()?;
    let spec = Record::of(&scope.runtime_dir, &id).spec().ok()?;
    let path = spec.linux().as_ref()?.cgroups_path().clone()?;
    let root = Path::new("/").join(&scope.cgroups_root);
    match path.strip_prefix(&root).ok()?.components().next()? {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    }
}

/// Names of cgroups that containers with a record have.
pub(super) fn accounted(journal: &Journal) -> BTreeSet<&str> {
    let names = journal.records.iter();
    let names = names.flat_map(|(id, record)| [Some(id.as_str()), record.cgroup.as_deref()]);
    names.flatten().collect()
}

fn inits(scope: &Scope, living: &BTreeMap<String, Identity>) -> Vec<(String, Member)> {
    let recorded = living.values().map(|process| process.pid).collect();
    let containers = runtime_dir::containers(&kernel::real(&scope.runtime_dir));
    let ours = kernel::inits(&recorded).into_iter().filter_map(|pid| {
        let container = kernel::container_of(pid, &containers)?;
        Some((container, member(pid)?))
    });
    ours.collect()
}

fn members(pids: BTreeSet<u32>) -> Vec<Member> {
    pids.into_iter().filter_map(member).collect()
}

pub(super) fn member(pid: u32) -> Option<Member> {
    Some(Member {
        process: Identity::of(pid)?,
        name: kernel::name(pid),
    })
}
