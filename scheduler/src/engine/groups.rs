//! Changes of groups. Source: spec/marathon-api.md, section 3.2.

use std::sync::Arc;

use serde_json::Value;

use super::{Effects, Engine, Refusal};
use crate::app::{App, AppId, Invalid, Timestamp};
use crate::deployment::Step;
use crate::engine::Done;
use crate::root::{Root, RootChange};

/// A group; None is the root.
pub type GroupId = Option<AppId>;

#[derive(Debug)]
pub enum GroupChange {
    /// Refused if there is such a group or app, unless `body` can only mean an existing one.
    Create {
        group: GroupId,
        body: Value,
    },
    Update {
        group: GroupId,
        body: Value,
    },
    /// Everything in the group as it was.
    RollBack {
        group: GroupId,
        version: Timestamp,
    },
    Delete {
        group: GroupId,
    },
}

impl GroupChange {
    /// Scaling and going back are only possible with what exists, whatever the method says.
    pub fn means_existing(body: &Value) -> bool {
        is_given(body, "scaleBy") || is_given(body, "version") && !has_content(body)
    }
}

fn is_given(body: &Value, key: &str) -> bool {
    body.get(key).is_some_and(|value| !value.is_null())
}

fn has_content(body: &Value) -> bool {
    is_given(body, "apps") || is_given(body, "groups")
}

impl Engine {
    pub(super) fn change_group(
        &mut self,
        change: GroupChange,
        force: bool,
        version: Timestamp,
        effects: &mut Effects,
    ) -> Result<Done, Refusal> {
        let target = self.group_target(change, version)?;
        self.deploy(target, version, force, effects)
    }

    /// The steps that `change` would take now.
    pub fn preview(&self, change: GroupChange, now: Timestamp) -> Result<Vec<Step>, Refusal> {
        let version = now.later_than(self.last_version);
        let target = self.group_target(change, version)?;
        let change = RootChange::between(&self.root, &target, version);
        self.steps_to(&target, &change)
    }

    fn group_target(&self, change: GroupChange, version: Timestamp) -> Result<Root, Refusal> {
        let mut target = self.root.clone();
        match change {
            GroupChange::Create { group, body } => {
                if !GroupChange::means_existing(&body) {
                    self.must_be_new(&group)?;
                }
                self.update_group(&mut target, group, &body, version)?;
            }
            GroupChange::Update { group, body } => {
                self.update_group(&mut target, group, &body, version)?;
            }
            GroupChange::RollBack { group, version: to } => {
                self.roll_back_group(&mut target, &group, to, version)?;
            }
            GroupChange::Delete { group } => {
                if let Some(id) = &group
                    && !target.has_group(id)
                {
                    return Err(Refusal::NoGroup(id.clone()));
                }
                remove_below(&mut target, &group);
                if let Some(id) = group {
                    target.groups.remove(&id);
                }
            }
        }
        Ok(target)
    }

    fn must_be_new(&self, group: &GroupId) -> Result<(), Refusal> {
        let Some(id) = group else {
            return Err(Refusal::GroupExists("/".to_owned()));
        };
        if self.root.has_group(id) {
            return Err(Refusal::GroupExists(id.to_string()));
        }
        if self.root.apps.contains_key(id) {
            return Err(Refusal::PathExists(id.clone()));
        }
        Ok(())
    }

    fn update_group(
        &self,
        target: &mut Root,
        group: GroupId,
        body: &Value,
        version: Timestamp,
    ) -> Result<(), Refusal> {
        if let Some(to) = body.get("version").filter(|v| !v.is_null()) {
            let to = self::version(to)?;
            let is_new = group.as_ref().is_some_and(|id| !target.has_group(id));
            // One that was read, edited and sent back, or was read elsewhere.
            let is_copy = is_new || to == self.group_version(&group);
            if !(has_content(body) && is_copy) {
                return self.roll_back_group(target, &group, to, version);
            }
        }
        match body.get("scaleBy").filter(|v| !v.is_null()) {
            Some(factor) => scale(target, &group, factor, version),
            None => self.rebuild(target, group, body, "", version),
        }
    }

    fn roll_back_group(
        &self,
        target: &mut Root,
        group: &GroupId,
        to: Timestamp,
        version: Timestamp,
    ) -> Result<(), Refusal> {
        let former = self.root_in_version(group, to)?;
        target
            .apps
            .retain(|id, _| !is_below(id, group) || former.apps.contains_key(id));
        for (id, revision) in former.apps.iter().filter(|(id, _)| is_below(id, group)) {
            let current = target.apps.get(id);
            // What is as it was keeps its version.
            if current.is_none_or(|current| current.app != revision.app) {
                let restored = Arc::new(revision.restored(version));
                target.apps.insert(id.clone(), restored);
            }
        }
        let is_of = |id: &AppId| group.as_ref() == Some(id) || is_below(id, group);
        target.groups.retain(|id, _| !is_of(id));
        let groups = former.groups.into_iter().filter(|(id, _)| is_of(id));
        target.groups.extend(groups);
        Ok(())
    }

    /// Given `apps` or `groups` are the complete direct content; what is not given stays. `at` is
    /// where `body` stands in the request.
    fn rebuild(
        &self,
        target: &mut Root,
        group: GroupId,
        body: &Value,
        at: &str,
        version: Timestamp,
    ) -> Result<(), Refusal> {
        if !body.is_object() {
            let at = if at.is_empty() { "/" } else { at };
            return Err(syntax(at, "error.expected.jsobject"));
        }
        if let Some(id) = &group {
            if target.apps.contains_key(id) {
                return Err(Refusal::PathExists(id.clone()));
            }
            target.groups.entry(id.clone()).or_default();
        }
        if let Some(bodies) = array(body, at, "dependencies")? {
            let dependencies = dependencies(&group, bodies, at)?;
            if let Some(stored) = group.as_ref().and_then(|id| target.groups.get_mut(id)) {
                stored.dependencies = dependencies;
            }
        }
        if let Some(bodies) = array(body, at, "groups")? {
            let inner = children(&group, bodies, &format!("{at}/groups"))?;
            let kept = |id: &AppId| {
                inner
                    .iter()
                    .any(|child| id == &child.id || id.is_below(&child.id))
            };
            // Direct apps stand beside the subgroups and are not theirs to remove.
            let in_subgroup = |id: &AppId| id.parent() != group;
            target
                .apps
                .retain(|id, _| !is_below(id, &group) || !in_subgroup(id) || kept(id));
            target
                .groups
                .retain(|id, _| !is_below(id, &group) || kept(id));
            for child in inner {
                self.rebuild(target, Some(child.id), child.body, &child.at, version)?;
            }
        }
        if let Some(bodies) = array(body, at, "apps")? {
            let mut apps = Vec::new();
            for child in children(&group, bodies, &format!("{at}/apps"))? {
                let app = App::create_as(&child.id, child.body);
                apps.push(app.map_err(|invalid| invalid.below(&child.at))?);
            }
            let listed = |id: &AppId| apps.iter().any(|app| app.id == *id);
            target
                .apps
                .retain(|id, _| id.parent() != group || listed(id));
            for app in apps {
                self.put(target, app, version)?;
            }
        }
        Ok(())
    }
}

/// Everything is below the root.
pub fn is_below(id: &AppId, group: &GroupId) -> bool {
    group.as_ref().is_none_or(|group| id.is_below(group))
}

fn remove_below(target: &mut Root, group: &GroupId) {
    target.apps.retain(|id, _| !is_below(id, group));
    target.groups.retain(|id, _| !is_below(id, group));
}

/// As many as an app can have; exact, as every 32-bit number is.
const MOST_INSTANCES: f64 = i32::MAX as f64;

fn scale(
    target: &mut Root,
    group: &GroupId,
    factor: &Value,
    version: Timestamp,
) -> Result<(), Refusal> {
    let factor = factor.as_f64().filter(|f| *f >= 0.0);
    let factor = factor.ok_or_else(|| rule("/scaleBy", "must be a number ≥ 0".to_owned()))?;
    if let Some(id) = group
        && !target.has_group(id)
    {
        return Err(Refusal::NoGroup(id.clone()));
    }
    for (id, revision) in target.apps.iter_mut().filter(|(id, _)| is_below(id, group)) {
        let instances = (f64::from(revision.app.instances) * factor).ceil();
        if instances > MOST_INSTANCES {
            let error = format!("{id} cannot have {instances:e} instances");
            return Err(rule("/scaleBy", error));
        }
        // Loses nothing: whole and within bounds, which is checked above.
        let instances = instances as u32;
        if instances != revision.app.instances {
            *revision = Arc::new(revision.scaled(instances, version));
        }
    }
    Ok(())
}

/// An app or a group in the document of its group.
struct Child<'a> {
    id: AppId,
    body: &'a Value,
    at: String,
}

fn children<'a>(
    group: &GroupId,
    bodies: &'a [Value],
    list: &str,
) -> Result<Vec<Child<'a>>, Refusal> {
    let child = |(at, body): (usize, &'a Value)| {
        let at = format!("{list}({at})");
        let id = child_id(group, body, &at)?;
        Ok(Child { id, body, at })
    };
    bodies.iter().enumerate().map(child).collect()
}

fn child_id(group: &GroupId, body: &Value, at: &str) -> Result<AppId, Refusal> {
    let path = format!("{at}/id");
    let id = match body.get("id") {
        Some(Value::String(id)) => id,
        Some(_) => return Err(syntax(&path, "error.expected.jsstring")),
        None if body.is_object() => return Err(syntax(&path, "error.path.missing")),
        None => return Err(syntax(at, "error.expected.jsobject")),
    };
    let id = AppId::resolve(group.as_ref(), id).map_err(|e| rule(&path, e.to_string()))?;
    if id.parent() != *group {
        let name = group.as_ref().map_or("/", AppId::as_str);
        let hint = format!("Identifier is not child of '{name}'. Hint: use relative paths.");
        return Err(rule(&path, hint));
    }
    Ok(id)
}

fn dependencies(group: &GroupId, bodies: &[Value], at: &str) -> Result<Vec<AppId>, Refusal> {
    let dependency = |(number, body): (usize, &Value)| {
        let path = format!("{at}/dependencies({number})");
        let text = body
            .as_str()
            .ok_or_else(|| syntax(&path, "error.expected.jsstring"))?;
        AppId::resolve(group.as_ref(), text).map_err(|e| rule(&path, e.to_string()))
    };
    bodies.iter().enumerate().map(dependency).collect()
}

fn version(value: &Value) -> Result<Timestamp, Refusal> {
    let text = value
        .as_str()
        .ok_or_else(|| syntax("/version", "error.expected.jsstring"))?;
    let bad = |e: crate::app::BadTimestamp| Refusal::from(Invalid::argument(e.to_string()));
    text.parse().map_err(bad)
}

fn array<'a>(body: &'a Value, at: &str, key: &str) -> Result<Option<&'a Vec<Value>>, Refusal> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(_) => Err(syntax(&format!("{at}/{key}"), "error.expected.jsarray")),
    }
}

fn syntax(path: &str, error: &str) -> Refusal {
    Invalid::syntax(vec![(path.to_owned(), vec![error.to_owned()])]).into()
}

fn rule(path: &str, error: String) -> Refusal {
    Invalid::rules(vec![(path.to_owned(), vec![error])]).into()
}
