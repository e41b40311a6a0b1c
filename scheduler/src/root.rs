//! What the users want: every app with its versions, and what groups add to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::app::{App, AppId, Timestamp};

/// One version of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    pub app: App,
    pub version: Timestamp,
    pub last_scaling_at: Timestamp,
    /// Names the definition: instances started from revisions with the same value are alike.
    pub last_config_change_at: Timestamp,
}

impl Revision {
    pub fn first(app: App, version: Timestamp) -> Self {
        Self {
            app,
            version,
            last_scaling_at: version,
            last_config_change_at: version,
        }
    }

    /// The revision that follows with `app`, or none if `app` changes nothing.
    pub fn followed_by(&self, app: App, version: Timestamp) -> Option<Self> {
        if app == self.app {
            return None;
        }
        if app.same_definition(&self.app) {
            return Some(self.scaled(app.instances, version));
        }
        Some(Self::first(app, version))
    }

    pub fn scaled(&self, instances: u32, version: Timestamp) -> Self {
        let app = App {
            instances,
            ..self.app.clone()
        };
        Self {
            app,
            version,
            last_scaling_at: version,
            ..*self
        }
    }

    /// The same app under a new definition name, so that every instance is replaced.
    pub fn restarted(&self, version: Timestamp) -> Self {
        Self::first(self.app.clone(), version)
    }

    /// This revision made current again. Its definition keeps its name: instances that still run
    /// it are what is wanted.
    pub fn restored(&self, version: Timestamp) -> Self {
        Self {
            version,
            last_scaling_at: version,
            ..self.clone()
        }
    }
}

/// What is known of a group beside the apps whose ids lie below it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Group {
    /// Apps or groups that every app of this group depends on.
    pub dependencies: Vec<AppId>,
}

/// All apps and groups. A group exists because it is here or because an app lies below it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Root {
    pub apps: BTreeMap<AppId, Arc<Revision>>,
    pub groups: BTreeMap<AppId, Group>,
}

/// One thing before and after a change. None: not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference<T> {
    pub before: Option<T>,
    pub after: Option<T>,
}

/// What one change did to the root; enough to look at the root as it was before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RootChange {
    pub version: Timestamp,
    pub apps: BTreeMap<AppId, Difference<Arc<Revision>>>,
    pub groups: BTreeMap<AppId, Difference<Group>>,
}

impl RootChange {
    pub fn between(before: &Root, after: &Root, version: Timestamp) -> Self {
        Self {
            version,
            apps: before.app_differences(after),
            groups: before.group_differences(after),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.apps.is_empty() && self.groups.is_empty()
    }

    /// Whether it changed `group` or anything below; None is the root.
    pub fn touches(&self, group: Option<&AppId>) -> bool {
        let is_in = |id: &AppId| group.is_none_or(|group| id == group || id.is_below(group));
        self.apps.keys().any(is_in) || self.groups.keys().any(is_in)
    }

    /// Makes of `root`, as this change left it, what it was before.
    pub fn take_back(&self, root: &mut Root) {
        for (id, difference) in &self.apps {
            put_back(&mut root.apps, id, &difference.before);
        }
        for (id, difference) in &self.groups {
            put_back(&mut root.groups, id, &difference.before);
        }
    }
}

/// Makes `things` hold what was `before` under `id`, which may be nothing.
pub fn put_back<T: Clone>(things: &mut BTreeMap<AppId, T>, id: &AppId, before: &Option<T>) {
    match before {
        Some(before) => things.insert(id.clone(), before.clone()),
        None => things.remove(id),
    };
}

impl Root {
    pub fn app_differences(&self, after: &Root) -> BTreeMap<AppId, Difference<Arc<Revision>>> {
        differences(&self.apps, &after.apps)
    }

    pub fn group_differences(&self, after: &Root) -> BTreeMap<AppId, Difference<Group>> {
        differences(&self.groups, &after.groups)
    }

    /// An id that is both an app and a group.
    pub fn app_and_group(&self) -> Option<AppId> {
        self.all_groups().find(|id| self.apps.contains_key(id))
    }

    /// The groups directly below `group`, stored or implied; None is the root.
    pub fn children(&self, group: &Option<AppId>) -> BTreeSet<AppId> {
        let all = self.all_groups();
        all.filter(|id| id.parent() == *group).collect()
    }

    /// Every group, stored or implied by what lies below it; some more than once.
    fn all_groups(&self) -> impl Iterator<Item = AppId> {
        let above_apps = self.apps.keys().filter_map(AppId::parent);
        let groups = above_apps.chain(self.groups.keys().cloned());
        groups.flat_map(|id| std::iter::successors(Some(id), AppId::parent))
    }

    /// Whether `id` is a group, stored or implied by an app.
    pub fn has_group(&self, id: &AppId) -> bool {
        let holds = |other: &AppId| other == id || other.is_below(id);
        self.groups.keys().any(holds) || self.apps.keys().any(|app| app.is_below(id))
    }
}

fn differences<T: Clone + PartialEq>(
    before: &BTreeMap<AppId, T>,
    after: &BTreeMap<AppId, T>,
) -> BTreeMap<AppId, Difference<T>> {
    before
        .keys()
        .chain(after.keys())
        .filter(|id| before.get(id) != after.get(id))
        .map(|id| {
            let (before, after) = (before.get(id).cloned(), after.get(id).cloned());
            (id.clone(), Difference { before, after })
        })
        .collect()
}
