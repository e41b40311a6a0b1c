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
    fn of(root: &Root) -> Result<Self, Cyclic> {
        let mut levels = BTreeMap::new();
        for app in root.apps.keys() {
            visit(root, app, &mut levels)?;
        }
        Ok(Self(
            levels
                .into_iter()
                .filter_map(|(app, mark)| Some((app, mark?)))
                .collect(),
        ))
    }

    fn level(&self, app: &AppId) -> usize {
        self.0.get(app).copied().unwrap_or(0)
    }
}

/// Marks `app` with its level; None while its dependencies are being looked at.
fn visit(
    root: &Root,
    app: &AppId,
    levels: &mut BTreeMap<AppId, Option<usize>>,
) -> Result<usize, Cyclic> {
    match levels.get(app) {
        Some(Some(level)) => return Ok(*level),
        Some(None) => return Err(Cyclic),
        None => {}
    }
    levels.insert(app.clone(), None);
    let mut level = 0;
    for dependency in dependencies(root, app) {
        level = level.max(visit(root, &dependency, levels)? + 1);
    }
    levels.insert(app.clone(), Some(level));
    Ok(level)
}

/// All apps that `app` waits for. Ids that name nothing have no effect.
fn dependencies(root: &Root, app: &AppId) -> BTreeSet<AppId> {
    let Some(revision) = root.apps.get(app) else {
        return BTreeSet::new();
    };
    let enclosing = std::iter::successors(app.parent(), AppId::parent);
    let of_groups = enclosing
        .filter_map(|id| root.groups.get(&id))
        .flat_map(|g| &g.dependencies);
    let named: BTreeSet<&AppId> = revision.app.dependencies.iter().chain(of_groups).collect();
    let is_named = |id: &AppId| named.iter().any(|named| id == *named || id.is_below(named));
    root.apps
        .keys()
        .filter(|id| is_named(id))
        .cloned()
        .collect()
}
