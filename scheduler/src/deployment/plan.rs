//! The steps from one root to another. Source: spec/marathon-api.md, section 9.2.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Step};
use crate::app::AppId;
use crate::root::{Revision, Root};

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Dependency graph has cyclic dependencies.")]
pub struct Cyclic;

/// Pure. `stale` names apps that run instances of several definitions because an earlier replace
/// was cut short; if they change at all, the replace goes on.
pub fn plan(before: &Root, after: &Root, stale: &BTreeSet<AppId>) -> Result<Vec<Step>, Cyclic> {
    let levels = Levels::of(after)?;
    let mut stops = Step::new();
    let mut starts = Step::new();
    let mut by_level: BTreeMap<usize, Step> = BTreeMap::new();
    for (id, difference) in before.app_differences(after) {
        let (action, level) = match (&difference.before, &difference.after) {
            (_, None) => {
                stops.insert(id, Action::Stop);
                continue;
            }
            (None, Some(_)) => {
                starts.insert(id.clone(), Action::Start);
                (Some(Action::Scale), levels.level(&id))
            }
            (Some(old), Some(new)) => (action(old, new, stale.contains(&id)), levels.level(&id)),
        };
        if let Some(action) = action {
            by_level.entry(level).or_default().insert(id, action);
        }
    }
    let steps = [stops, starts].into_iter().chain(by_level.into_values());
    Ok(steps.filter(|step| !step.is_empty()).collect())
}

fn action(old: &Revision, new: &Revision, is_stale: bool) -> Option<Action> {
    if is_stale || old.last_config_change_at != new.last_config_change_at {
        Some(Action::Restart)
    } else if old.app.instances != new.app.instances {
        Some(Action::Scale)
    } else {
        None
    }
}

/// The length of the longest chain of dependencies below each app.
struct Levels(BTreeMap<AppId, usize>);

impl Levels {
    /// Layer by layer, without recursion: a chain of dependencies is as long as a user makes it.
    fn of(root: &Root) -> Result<Self, Cyclic> {
        let mut missing: BTreeMap<&AppId, usize> = BTreeMap::new();
        let mut dependents: BTreeMap<&AppId, Vec<&AppId>> = BTreeMap::new();
        for (app, revision) in &root.apps {
            let needed = dependencies(root, app, revision);
            missing.insert(app, needed.len());
            for dependency in needed {
                dependents.entry(dependency).or_default().push(app);
            }
        }
        let free = missing.iter().filter(|(_, count)| **count == 0);
        let mut layer: Vec<&AppId> = free.map(|(app, _)| *app).collect();
        let mut levels = BTreeMap::new();
        for level in 0.. {
            if layer.is_empty() {
                break;
            }
            levels.extend(layer.iter().map(|app| ((*app).clone(), level)));
            let mut next = Vec::new();
            for app in layer.iter().filter_map(|app| dependents.get(app)).flatten() {
                if let Some(count) = missing.get_mut(app) {
                    *count -= 1;
                    if *count == 0 {
                        next.push(*app);
                    }
                }
            }
            layer = next;
        }
        // What never got free waits for itself.
        if levels.len() < root.apps.len() {
            return Err(Cyclic);
        }
        Ok(Self(levels))
    }

    fn level(&self, app: &AppId) -> usize {
        self.0.get(app).copied().unwrap_or(0)
    }
}

/// All apps that `app` waits for. Ids that name nothing have no effect.
fn dependencies<'a>(root: &'a Root, app: &AppId, revision: &Revision) -> Vec<&'a AppId> {
    let enclosing = std::iter::successors(app.parent(), AppId::parent);
    let of_groups = enclosing
        .filter_map(|id| root.groups.get(&id))
        .flat_map(|g| &g.dependencies);
    let named: BTreeSet<&AppId> = revision.app.dependencies.iter().chain(of_groups).collect();
    let is_named = |id: &&AppId| named.iter().any(|named| id == named || id.is_below(named));
    root.apps.keys().filter(is_named).collect()
}
