//! What should be there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::error::chain;
use crate::identity::Identity;
use crate::record;
use crate::runtime_dir;

use super::{AuditError, Scope};

/// What is recorded of containers, and who answers for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// By container.
    pub records: BTreeMap<String, Recorded>,
    /// Which container has the ids of the host from a first one on.
    pub ids: BTreeMap<u32, String>,
    /// Containers that are ours, also when no record says so: something else of theirs is here.
    pub known: BTreeSet<String>,
    pub keeper: Keeper,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// `None` while it is being launched, and when that was cut off.
    pub process: Option<Identity>,
    /// Why nobody can tell which process it is.
    pub damage: Option<String>,
    /// The name below our subtree that its cgroup has, when it is not the container's.
    pub cgroup: Option<String>,
}

/// Who answers for the containers that are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// No agent runs. The next one takes over these, and ends all others.
    Next(BTreeSet<String>),
    /// An agent runs: it has whatever is recorded.
    Running,
    /// The agent that asks, which has these.
    Us(BTreeSet<String>),
}

impl Keeper {
    pub fn has(&self, container: &str) -> bool {
        match self {
            Self::Next(theirs) | Self::Us(theirs) => theirs.contains(container),
            Self::Running => true,
        }
    }
}

pub(super) fn read(
    scope: &Scope,
    known: BTreeSet<String>,
    keeper: Keeper,
) -> Result<Journal, AuditError> {
    let recorded = |record: &record::Record| {
        let (process, damage) = match record.process() {
            Ok(process) => (process, None),
            Err(error) => (None, Some(chain(&error))),
        };
        Recorded {
            process,
            damage,
            cgroup: None,
        }
    };
    let records = record::found(&scope.runtime_dir)?;
    let records = records.iter();
    Ok(Journal {
        records: records
            .map(|record| (record.id.to_string(), recorded(record)))
            .collect(),
        ids: ids(&runtime_dir::ids(&scope.runtime_dir)),
        known,
        keeper,
    })
}

/// A link that cannot be read says nothing.
fn ids(directory: &Path) -> BTreeMap<u32, String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| {
        let first = entry.file_name().to_str()?.parse().ok()?;
        let holder = fs::read_link(entry.path()).ok()?;
        Some((first, holder.to_string_lossy().into_owned()))
    });
    links.collect()
}
