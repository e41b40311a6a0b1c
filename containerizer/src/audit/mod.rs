//! Compares what of ours the kernel has with what is recorded, and explains each difference.
//!
//! ```text
//!  kernel ──► Inventory ┐
//!                       ├──► compare (pure) ──► Difference ──► explained, or repair
//!  records ─► Journal ──┘
//! ```
//!
//! What is ours, and how one can tell:
//!
//! | thing | it is ours because |
//! |---|---|
//! | cgroup | it lies below our subtree, and a record, a sandbox, a checkpoint or its first process names it |
//! | process | it is in such a cgroup, or runs our `init` and holds the exit record of a container of ours |
//! | mount | it lies below `<runtime_dir>/containers`; a pinned namespace is one of them |
//! | record | it lies there, too |
//! | range of ids | `<runtime_dir>/ids` gives it to a container. One of a container that is gone counts for nothing |
//!
//! Containers of `longshore oci` have their cgroups where their specs say, and that may be in our subtree. Each is
//! told by its state below `/run/longshore-oci`, and is its caller's: one that lives is left alone, and of one that
//! does not it is told what is left of it. With another `--root` nobody knows of it.
//!
//! A launch writes its record before it makes anything else, and an end removes it last. So what is ours
//! and has no record is left over, whatever an agent does at the same time; but a look takes a moment, and
//! things come and go: only what two looks have in common is a difference ([`lasting`]).
//!
//! No container has a network link of the host's, or a namespace that is pinned elsewhere: one with a name of
//! ours, `longshore…`, is told of, and left to the operator. Tables of nf_tables are not looked at.

mod bundles;
mod compare;
mod difference;
mod inventory;
mod journal;
mod kernel;
mod listeners;
mod repair;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;

use isolators::cgroups::{BadHierarchy, CgroupError};

use crate::record::RecordError;

pub use bundles::{Bundle, Condition, Left};
pub use compare::{compare, lasting};
pub use difference::{Difference, Member, Remedy};
pub use inventory::{CgroupSeen, Inventory, look};
pub use isolators::mountinfo::Mount;
pub use journal::{Journal, Keeper, Recorded};
pub(crate) use kernel::runs_init;
pub use kernel::{LoopDevice, unmount_leftovers};
pub use listeners::{Listener, OwnListener, Protocol, foreign_listeners, own_listeners};
pub use repair::{RepairError, repair};

/// Where to look.
#[derive(Debug, Clone)]
pub struct Scope {
    pub runtime_dir: PathBuf,
    pub cgroups_hierarchy: PathBuf,
    pub cgroups_root: String,
    /// Further directories whose mounts, and loop devices on files below, are of interest.
    pub directories: Vec<PathBuf>,
    /// Where `longshore oci` keeps the state of its containers: [`crate::stored::ROOT`].
    pub oci_root: PathBuf,
}

/// One look, compared. Blocks.
pub fn differences(
    scope: &Scope,
    known: BTreeSet<String>,
    keeper: Keeper,
) -> Result<Vec<Difference>, AuditError> {
    let (inventory, journal) = look(scope, known, keeper)?;
    Ok(compare(scope, &inventory, &journal))
}

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Hierarchy(#[from] BadHierarchy),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot unmount {}", point.display())]
    Unmount {
        point: PathBuf,
        source: std::io::Error,
    },
}
