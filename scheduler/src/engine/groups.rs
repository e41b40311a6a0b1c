//! Changes of groups. Source: spec/marathon-api.md, section 3.2.

use std::sync::Arc;

use serde_json::Value;

use super::{Effects, Engine, Refusal};
use crate::app::{App, AppId, Invalid, Timestamp};
use crate::engine::Done;
use crate::root::Root;

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
    Delete {
        group: GroupId,
    },
}

impl Engine {
    pub(super) fn change_group(
        &mut self,
        change: GroupChange,
        force: bool,
        version: Timestamp,
        effects: &mut Effects,
    ) -> Result<Done, Refusal> {
        let mut target = self.root.clone();
        match change {
            GroupChange::Create { group, body } => {
                let scales = body.get("scaleBy").is_some();
                if let Some(id) = &group
                    && !scales
                {
                    if target.has_group(id) {
                        return Err(Refusal::GroupExists(id.clone()));
                    }
                    if target.apps.contains_key(id) {
                        return Err(Refusal::PathExists(id.clone()));
                    }
                }
                self.update_group(&mut target, group, &body, version)?;
            }
            GroupChange::Update { group, body } => {
                self.update_group(&mut target, group, &body, version)?;
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
        self.deploy(target, version, force, effects)
    }

    fn update_group(
        &self,
        target: &mut Root,
        group: GroupId,
        body: &Value,
        version: Timestamp,
    ) -> Result<(), Refusal> {
        match body.get("scaleBy") {
            Some(factor) => scale(target, &group, factor, version),
            None => self.rebuild(target, group, body, version),
        }
    }

    /// Given `apps` or `groups` are the complete direct content; what is not given stays.
    fn rebuild(
        &self,
        target: &mut Root,
        group: GroupId,
        body: &Value,
        version: Timestamp,
    ) -> Result<(), Refusal> {
        if !body.is_object() {
            return Err(syntax("/", "error.expected.jsobject"));
        }
        if let Some(id) = &group {
            if target.apps.contains_key(id) {
                return Err(Refusal::PathExists(id.clone()));
            }
            target.groups.entry(id.clone()).or_default();
        }
        if let Some(bodies) = array(body, "dependencies")? {
            let resolve =
                |d: &Value| AppId::resolve(group.as_ref(), d.as_str().unwrap_or_default());
            let dependencies: Result<Vec<AppId>, _> = bodies.iter().map(resolve).collect();
            let dependencies = dependencies.map_err(|e| rule("/dependencies", e.to_string()))?;
            if let Some(stored) = group.as_ref().and_then(|id| target.groups.get_mut(id)) {
                stored.dependencies = dependencies;
            }
        }
        if let Some(bodies) = array(body, "groups")? {
            let mut inner = Vec::new();
            for (at, body) in bodies.iter().enumerate() {
                inner.push((child_id(&group, body, &format!("/groups({at})/id"))?, body));
            }
            let kept = |id: &AppId| {
                inner
                    .iter()
                    .any(|(kept, _)| id == kept || id.is_below(kept))
            };
            // Direct apps stand beside the subgroups and are not theirs to remove.
            let in_subgroup = |id: &AppId| id.parent() != group;
            target
                .apps
                .retain(|id, _| !is_below(id, &group) || !in_subgroup(id) || kept(id));
            target
                .groups
                .retain(|id, _| !is_below(id, &group) || kept(id));
            for (id, body) in inner {
                self.rebuild(target, Some(id), body, version)?;
            }
        }
        if let Some(bodies) = array(body, "apps")? {
            let mut apps = Vec::new();
            for (at, body) in bodies.iter().enumerate() {
                let id = child_id(&group, body, &format!("/apps({at})/id"))?;
                apps.push(App::create_as(&id, body)?);
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

fn is_below(id: &AppId, group: &GroupId) -> bool {
    group.as_ref().is_none_or(|group| id.is_below(group))
}

fn remove_below(target: &mut Root, group: &GroupId) {
    target.apps.retain(|id, _| !is_below(id, group));
    target.groups.retain(|id, _| !is_below(id, group));
}

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
    for (_, revision) in target.apps.iter_mut().filter(|(id, _)| is_below(id, group)) {
        let instances = (f64::from(revision.app.instances) * factor).ceil() as u32;
        if instances != revision.app.instances {
            *revision = Arc::new(revision.scaled(instances, version));
        }
    }
    Ok(())
}

/// The id of an app or group that stands in the document of `group`.
fn child_id(group: &GroupId, body: &Value, path: &str) -> Result<AppId, Refusal> {
    let id = match body.get("id") {
        Some(Value::String(id)) => id,
        Some(_) => return Err(syntax(path, "error.expected.jsstring")),
        None => return Err(syntax(path, "error.path.missing")),
    };
    let id = AppId::resolve(group.as_ref(), id).map_err(|e| rule(path, e.to_string()))?;
    if id.parent() != *group {
        let name = group.as_ref().map_or("/", AppId::as_str);
        let hint = format!("Identifier is not child of '{name}'. Hint: use relative paths.");
        return Err(rule(path, hint));
    }
    Ok(id)
}

fn array<'a>(body: &'a Value, key: &str) -> Result<Option<&'a Vec<Value>>, Refusal> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(_) => Err(syntax(&format!("/{key}"), "error.expected.jsarray")),
    }
}

fn syntax(path: &str, error: &str) -> Refusal {
    Invalid::syntax(vec![(path.to_owned(), vec![error.to_owned()])]).into()
}

fn rule(path: &str, error: String) -> Refusal {
    Invalid::rules(vec![(path.to_owned(), vec![error])]).into()
}
