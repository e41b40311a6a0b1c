//! The root as it was: the newest changes are kept, and taken back one by one to look behind them.

use super::{Effects, Engine, GroupId, Refusal, Write, is_below};
use crate::app::{AppId, Timestamp};
use crate::root::{Root, RootChange};

impl Engine {
    pub(super) fn record_change(&mut self, change: RootChange, effects: &mut Effects) {
        effects.writes.push(Write::Change(change.clone()));
        self.changes.push_back(change);
        while self.changes.len() > self.config.max_versions.max(1) {
            if let Some(oldest) = self.changes.pop_front() {
                effects.writes.push(Write::ForgetChange(oldest.version));
            }
        }
    }

    /// Newest first, the current one included.
    pub fn group_versions(&self, group: &GroupId) -> Vec<Timestamp> {
        let changes = self.changes.iter().rev();
        let touching = changes.filter(|c| c.touches(group.as_ref()));
        let versions: Vec<Timestamp> = touching.map(|c| c.version).collect();
        if !versions.is_empty() {
            return versions;
        }
        // Its last change is forgotten; the apps remember theirs.
        let apps = self.root.apps.values();
        let apps = apps.filter(|r| is_below(&r.app.id, group));
        let newest = apps.map(|r| r.version).max();
        vec![newest.unwrap_or(self.last_version)]
    }

    /// When `group` or anything below it was last changed.
    pub fn group_version(&self, group: &GroupId) -> Timestamp {
        let versions = self.group_versions(group);
        versions.first().copied().unwrap_or(self.last_version)
    }

    /// The root in which `group` had `version`; outside of the group it is the root of that time.
    pub fn root_in_version(&self, group: &GroupId, version: Timestamp) -> Result<Root, Refusal> {
        let mut root = self.root.clone();
        let known = self.group_versions(group).contains(&version);
        let newer = self.changes.iter().rev();
        for change in newer.take_while(|c| c.version > version) {
            change.take_back(&mut root);
        }
        let exists = group.as_ref().is_none_or(|id| root.has_group(id));
        if known && exists {
            return Ok(root);
        }
        let name = group.as_ref().map_or("/", AppId::as_str).to_owned();
        Err(Refusal::NoGroupVersion(name, version))
    }
}
